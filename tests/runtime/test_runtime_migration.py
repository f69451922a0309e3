"""Saves of the first schema are read as those of today: nothing that a run remembers is lost."""

import io
from hashlib import sha256

import pytest
import torch

from audio_codecs import codec_identity
from curriculum.adaptive import AdaptiveSpeed
from curriculum.alpha import AdaptiveAlpha
from curriculum.options import AdaptiveOptions, CurriculumOptions, PlateauOptions
from curriculum.schedules import PlateauRate
from earlier_versions import upgraded, upgraded_space, with_current_codec
from runtime import checkpoint
from runtime.run_folder import load_for_resume, progress_of
from synthesis.space import Space
from training.counters import Counters

LATENTS = {
    "codec": "mel",
    "codec_identity": "mel-0123",
    "sample_rate": 24_000,
    "frames": 300,
    "mean_D": torch.arange(4.0),
    "std_D": torch.arange(1.0, 5.0),
    "noise_scales_K2": torch.rand(7, 2, generator=torch.Generator().manual_seed(0)),
}
REACTIONS = {
    "adaptive": {"alpha": 0.3, "speed": 0.9},
    "began": 0.7,
    "measured_at": 0.25,
    "plateaus": {
        "g": {"multiplier": 0.5, "best": 0.6, "stale": 2, "waiting": 1},
        "d": {"multiplier": 0.25, "best": None, "stale": 0, "waiting": 0},
    },
}
COUNTERS = {"step": 30, "samples_seen": 120, "finished_epochs": 2, "best": 0.5, "since_best": 1, "phase": "transition"}
COUNTERS |= {"turn": 1, "rollbacks": 1, "lr_factor": 0.5}


def first_schema(reactions=None) -> dict:
    """A checkpoint as the first version wrote it."""
    weights = {name: {"w": torch.full((2,), float(k))} for k, name in enumerate(("generator", "discriminator", "ema"))}
    optimizers = {name: {"state": {}, "param_groups": [{"lr": 1e-4}]} for name in ("optimizer_g", "optimizer_d")}
    return {
        "schema": 1,
        "config": {"lr": 1e-4, "health_window": 10},
        "counters": COUNTERS | {"reactions": reactions or {}},
        "global_batch": 4,
        "pairs": 60,
        "latents": LATENTS,
        "skipped": torch.tensor([1, 2, 0, 1]),
        **weights,
        **optimizers,
    }


def write(state: dict, path) -> None:
    """As the first version did, under a trailer that fits."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    path.write_bytes(body + b"N2MUSIC1" + sha256(body).digest())


def test_an_old_save_is_loaded_ranked_and_resumed_as_one_of_today(tmp_path):
    write(first_schema(REACTIONS), tmp_path / "last.pt")
    for state in (checkpoint.load(tmp_path / "last.pt"), checkpoint.peek(tmp_path / "last.pt")):
        assert state["schema"] == checkpoint.SCHEMA
        assert progress_of(state) == (1, 120, 2)
    path, state = load_for_resume("auto", tmp_path, pytest.fail)
    assert path == tmp_path / "last.pt"
    assert set(state) == {
        *("schema", "config", "global_batch", "pairs"),
        *("space", "counters", "trainer", "ema", "schedules"),
    }


def test_an_old_save_that_went_back_once_is_further_than_a_longer_one_that_did_not(tmp_path):
    write(first_schema(), tmp_path / "last.pt")
    counters = {"step": 90, "samples_seen": 400, "finished_epochs": 6, "rewinds": 0}
    checkpoint.save({"counters": counters}, tmp_path / "best.pt")
    assert load_for_resume("auto", tmp_path, pytest.fail)[0].name == "last.pt"


def test_counters_weights_and_optimizers_are_carried_over():
    old = first_schema()
    state = upgraded(old)
    counters = Counters()
    counters.load_state_dict(state["counters"])
    assert counters == Counters(30, 120, 2, 0.5, 1, "transition", rewinds=1, rollbacks=1, lr_factor=0.5)
    for name in ("generator", "discriminator", "optimizer_g", "optimizer_d", "skipped"):
        assert state["trainer"][name] is old[name]
    assert state["ema"] is old["ema"]
    assert (state["config"], state["global_batch"], state["pairs"]) == (old["config"], 4, 60)
    assert old["counters"]["turn"] == 1  # what was given is left as it is


def test_what_validation_changed_goes_on():
    schedules = upgraded(first_schema(REACTIONS))["schedules"]
    curriculum = AdaptiveSpeed(AdaptiveOptions(), CurriculumOptions(pure_gan_mode=0.1))
    curriculum.load_state_dict(schedules["adaptive"])
    assert curriculum.state == AdaptiveAlpha(0.3, 0.9)
    assert curriculum.threshold == pytest.approx(1.5 * 0.7)
    for network, multiplier, best, stale in (("g", 0.5, 0.6, 2), ("d", 0.25, None, 0)):
        rate = PlateauRate(PlateauOptions(), network)
        rate.load_state_dict(schedules["rates"][network])
        assert (rate.multiplier, rate.plateau.best, rate.plateau.stale) == (multiplier, best, stale)
        assert rate.state_dict()["measured_at"] == 0.25


def test_a_run_without_validation_had_nothing_to_remember():
    assert upgraded(first_schema())["schedules"] == {}


@pytest.mark.parametrize("ranges", [{}, {"lowest_D": -torch.ones(4), "highest_D": torch.ones(4)}], ids=["none", "both"])
def test_latents_become_the_space_of_audio(ranges):
    space = Space.from_state(upgraded_space(LATENTS | ranges))
    assert (space.kind, space.identity, space.shape) == ("audio", "mel-0123", (4, 300))
    assert (space.rate, space.length) == (75, 4.0)
    assert space.about == {"codec": "mel", "sample_rate": 24_000}
    for name in ("mean_D", "std_D", "noise_scales_K2"):
        assert torch.equal(getattr(space, name), LATENTS[name])
    assert (space.lowest_D is None) == (not ranges)


# --- codecs that have other names now ------------------------------------------------------------------------------


def saved_with(codec: str, identity: str) -> dict:
    return {"config": {"codec": None, "lr": 1e-3}, "space": {"identity": identity, "about": {"codec": codec}}}


def test_the_former_mel_codec_keeps_its_latents_under_its_present_name():
    state = with_current_codec(saved_with("mel", "mel-09117f97a404a52d"))
    assert state["config"] == {"codec": "mel_slaney", "lr": 1e-3}
    assert state["space"] == {"identity": codec_identity("mel_slaney"), "about": {"codec": "mel_slaney"}}


def test_the_codec_of_fine_bands_is_mel_now():
    state = with_current_codec(saved_with("mel_fine", "mel_fine-0f43fc7295c04f48"))
    assert state["config"]["codec"] == "mel"
    assert state["space"] == {"identity": codec_identity("mel"), "about": {"codec": "mel"}}


@pytest.mark.parametrize(
    "state", [saved_with("mel", "mel-0f43fc7295c04f48"), saved_with("encodec_24khz", "encodec_24khz-1"), {}]
)
def test_other_checkpoints_stay_as_they_are(state):
    assert with_current_codec(state) == state
