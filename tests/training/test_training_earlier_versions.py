"""What the version before this one left behind goes on in this one: checkpoints of schema 1, exports, options.

`fixtures/schema1` holds files that it wrote, untouched: a run of six epochs on the pairs of `TRAINED_ON`. `last.pt` is
of step 7, in the middle of epoch 4, after the run had gone back once to an older save; everything else is of its end.
`made.safetensors` holds two sources and what its generators made of them.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_parts import WholePairs, identical, train_on

from config import make_config
from earlier_versions import current_options
from errors import UserError
from monitoring.log import read_metrics
from runtime import checkpoint
from runtime.run_folder import furthest_good, progress_of, saves
from synthesis.loading import load_generator
from training.resume import resumed_config

OLD = Path(__file__).parent / "fixtures" / "schema1"
TRAINED_ON = {"count": 8, "frames": 12, "channels": 4, "random": True, "seed": 8}
PATCH = {"generator": "patch", "nhead": 6}


@pytest.fixture
def folder(tmp_path) -> Path:
    """The old run's folder, to write to."""
    return Path(shutil.copytree(OLD, tmp_path / "run"))


@pytest.fixture(scope="module")
def state() -> dict:
    return checkpoint.load(OLD / "last.pt")


@pytest.fixture(scope="module")
def original() -> dict:
    """The file's content as it was written."""
    return torch.load(OLD / "last.pt", weights_only=True)


# --- checkpoints ---------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_upgraded_when_it_is_read(state, original):
    assert original["schema"] == 1 and state["schema"] == checkpoint.SCHEMA == 2
    assert state["counters"] == {
        "step": 7,
        "samples_seen": 28,
        "finished_epochs": 3,
        "best": original["counters"]["best"],
        "since_best": 0,
        "phase": "transition",
        "rewinds": 1,
        "rollbacks": 0,
        "lr_factor": 1.0,
    }
    assert (state["global_batch"], state["pairs"]) == (4, 8)
    assert identical(state["config"], original["config"]) and identical(state["ema"], original["ema"])
    trainer = state["trainer"]
    assert set(trainer) == {"generator", "discriminator", "optimizer_g", "optimizer_d", "skipped"}
    assert all(identical(trainer[name], original[name]) for name in trainer)
    assert trainer["optimizer_g"]["state"] and trainer["optimizer_d"]["state"]


def test_what_reacts_to_validation_is_kept(state, original):
    reactions = original["counters"]["reactions"]
    assert state["schedules"] == {
        "adaptive": {"alpha": 0.42000000000000004, "speed": 1.1, "began": reactions["began"]},
        "rates": {
            "g": {"multiplier": 1.0, "best": reactions["plateaus"]["g"]["best"], "stale": 0, "measured_at": 0.2},
            "d": {"multiplier": 0.5, "best": reactions["plateaus"]["d"]["best"], "stale": 0, "measured_at": 0.2},
        },
    }


def test_the_space_of_latents_is_kept(state, original):
    space, latents = state["space"], original["latents"]
    assert (space["kind"], space["identity"], list(space["shape"])) == ("audio", "mel-fake", [4, 12])
    assert space["rate"] == 75 and space["about"] == {"codec": "mel", "sample_rate": 24_000}
    for name in ("mean_D", "std_D", "noise_scales_K2", "lowest_D", "highest_D"):
        assert torch.equal(space[name], latents[name])


def write_as(path: Path, state: dict) -> None:
    """A checkpoint of whatever schema the state names."""
    checkpoint.save(state, path)
    assert torch.load(path, weights_only=True)["schema"] == state["schema"]


def test_the_earliest_checkpoints_lack_what_came_later(original, tmp_path):
    early = {name: value for name, value in original.items() if name != "pairs"}
    early["counters"] = {n: v for n, v in original["counters"].items() if n not in ("reactions", "turn")}
    early["latents"] = {n: v for n, v in original["latents"].items() if n not in ("lowest_D", "highest_D")}
    write_as(tmp_path / "early.pt", early)
    state = checkpoint.load(tmp_path / "early.pt")
    assert state["counters"]["rewinds"] == 0 and state["schedules"] == {} and not state["pairs"]
    assert state["space"]["lowest_D"] is None and state["space"]["highest_D"] is None
    assert load_generator(tmp_path / "early.pt").space.within(x := 1e3 * torch.ones(1, 4, 12)) is x


@pytest.mark.parametrize("missing", ["latents", "counters", "generator", "config", "ema"])
def test_a_file_of_schema_1_that_lacks_a_part_is_refused(missing, original, tmp_path):
    write_as(tmp_path / "last.pt", {name: value for name, value in original.items() if name != missing})
    assert checkpoint.peek(tmp_path / "last.pt") is None
    with pytest.raises(UserError, match="last.pt") as caught:
        checkpoint.load(tmp_path / "last.pt")
    assert "\n" not in str(caught.value)


def test_old_and_new_saves_are_ranked_together(folder, state):
    assert progress_of(state) == (1, 28, 3)
    newer = state | {"counters": state["counters"] | {"samples_seen": 32, "finished_epochs": 4}}
    checkpoint.save(newer, folder / "checkpoint_epoch_4.pt")
    assert [(progress, path.name) for progress, path in saves(folder)] == [
        ((1, 32, 4), "checkpoint_epoch_4.pt"),
        ((1, 28, 3), "last.pt"),
    ]
    path, found = furthest_good(folder, pytest.fail)
    assert path.name == "checkpoint_epoch_4.pt" and found["schema"] == 2


# --- generators ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "path", "trained_to"),
    [("checkpoint", OLD / "last.pt", "epoch 3, step 7"), ("export", OLD, "epoch 6, step 12")],
)
def test_its_generators_make_what_they_made(source, path, trained_to):
    kept = load_file(OLD / "made.safetensors")
    loaded = load_generator(path)
    with torch.no_grad():
        made_BDT = loaded.network(kept["input"], kept["target"]).output_BDT
    torch.testing.assert_close(made_BDT, kept[f"made_by_{source}"])
    assert loaded.trained_to == trained_to
    assert (loaded.config.sampling.passes, loaded.config.model.generator) == (2, "patch")
    assert (loaded.space.kind, loaded.space.identity, loaded.space.shape) == ("audio", "mel-fake", (4, 12))
    assert loaded.space.length == pytest.approx(12 / 75) and loaded.space.lowest_D is not None


def described_with(folder: Path, **options) -> Path:
    path = folder / "config.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps(described | {"config": described["config"] | options}))
    return folder


@pytest.mark.parametrize("change", [{"discriminator": "multiscale"}, {"alpha_jitter": 0.1}, {"penalty_form": "exact"}])
def test_generators_do_not_ask_how_they_were_trained(change, folder):
    assert load_generator(described_with(folder, **change)).trained_to == "epoch 6, step 12"


ESSENTIAL = {"noise_mix": "variance_preserving", "conv_kernel": 3, "attention_window": 32, "residual": 0.5}


@pytest.mark.parametrize("name", ESSENTIAL)
def test_generators_that_this_version_cannot_make_are_refused(name, folder):
    with pytest.raises(UserError, match=f"trained with {name} {ESSENTIAL[name]}") as caught:
        load_generator(described_with(folder, **{name: ESSENTIAL[name]}))
    assert "\n" not in str(caught.value)


# --- options of a resumed run --------------------------------------------------------------------------------------


def test_the_options_of_an_old_run_are_those_of_today(state):
    config, remarks = resumed_config(make_config({"resume": "auto"}), state, "last.pt")
    assert remarks == ["note: tf32 False of the earlier run is ignored: it is no longer an option"]
    assert config.health.health.window == 10 and config.health.health.on_collapse == "warn"
    assert (config.optimizer.optimizer, config.optimizer.disc_lr) == ("adamw", 2e-3)
    assert config.chosen("gan_loss").options.centring_weight == 0.01
    assert config.chosen("lr_schedule").options.plateau_patience == 0
    assert config.chosen("generator").options.width == 8
    assert (config.curriculum.adaptive_alpha, config.sampling.passes, config.data.unity_test) == ("speed", 2, True)


IGNORED = {"alpha_jitter": 0.1, "ema_rampup": 0.2, "lr_min_ratio": 0.1, "penalty_form": "exact", "penalty_sigma": 0.1}
IGNORED |= {"plateau_cooldown": 2, "plateau_min_ratio": 0.1, "recon_floor": 0.1, "tf32": False, "disc_beta1": 0.0}
IGNORED |= {"disc_beta2": 0.9, "disc_plateau_factor": 0.8, "disc_plateau_patience": 3}


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_no_longer_an_option_is_named(name, original):
    saved = original["config"] | {"tf32": True, name: IGNORED[name]}
    _, remarks = resumed_config(make_config({}), {"config": saved}, "last.pt")
    assert remarks == [f"note: {name} {IGNORED[name]} of the earlier run is ignored: it is no longer an option"]


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"adaptive_alpha": True}, {"adaptive_alpha": "speed"}),
        ({"adaptive_alpha": False}, {"adaptive_alpha": "none"}),
        ({"gan_loss": "wgan-gp"}, {"gp_distance": "rms"}),
        ({"optimizer": "adam", "weight_decay": 0.01}, {"weight_decay": 0.0, "decay": "l2"}),
        ({"optimizer": "sgd", "weight_decay": 0.01}, {"weight_decay": 0.01, "decay": "l2"}),
        ({"optimizer": "adamw", "weight_decay": 0.01}, {"weight_decay": 0.01}),
    ],
)
def test_what_was_built_in_stays_so_in_an_old_run(then, now, original):
    values, _ = current_options(original["config"] | then)
    assert {name: values[name] for name in now} == now
    by_hand, _ = current_options(then)  # a file of a few options follows the defaults of today
    assert by_hand == then
    again, _ = current_options(values)
    assert again == values


def test_the_discriminators_optimizer_may_have_been_named_if_it_was_the_same(original):
    saved = original["config"] | {"tf32": True, "optimizer": "adam", "disc_optimizer": "adam"}
    assert resumed_config(make_config({}), {"config": saved}, "last.pt")[1] == []


@pytest.mark.parametrize("name", ESSENTIAL)
def test_a_run_that_this_version_cannot_go_on_with_is_refused(name, original):
    saved = {"config": original["config"] | {name: ESSENTIAL[name]}}
    expected = f"last.pt was trained with {name} {ESSENTIAL[name]}, which this version no longer has"
    with pytest.raises(UserError, match=expected) as caught:
        resumed_config(make_config({}), saved, "last.pt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "without_effect"),
    [
        ("noise_mix", {"pure_gan_mode": 0.0, "adaptive_alpha": False, "easy_share": 0.0, "passes": 1}),
        *((name, {"generator": "cascade"}) for name in ("conv_kernel", "attention_window", "residual")),
    ],
)
def test_an_option_that_had_no_effect_is_no_obstacle(name, without_effect, original):
    saved = original["config"] | {"tf32": True, name: ESSENTIAL[name]} | without_effect
    _, remarks = resumed_config(make_config({}), {"config": saved}, "last.pt")
    assert len(remarks) == 1 and name in remarks[0] and "ignored" in remarks[0]


def test_a_discriminator_that_is_gone_is_refused(original):
    saved = {"config": original["config"] | {"discriminator": "multiscale"}}
    with pytest.raises(UserError, match="multiscale.*must be 'conv', .*'multi_period' or 'multi_resolution'"):
        resumed_config(make_config({}), saved, "last.pt")


# --- a whole run ---------------------------------------------------------------------------------------------------


OTHER = {"time", "health"}
LATER = (
    "curriculum/alpha",
    "curriculum/sample_",
    "val/distance",
    "val/clean_and",
    "best_by",
    "generated/",
)  # not logged then
SELECTION = {"val/best", "val/since_best"}  # they go by another metric now


def test_an_old_run_goes_on_as_it_would_have(folder, monkeypatch, capsys):
    """Six epochs in all; what the old version logged and exported at its end is what this one comes to."""
    config = make_config({"resume": "auto", "checkpoint_dir": str(folder)})
    run = train_on(WholePairs(**TRAINED_ON), monkeypatch, config)
    said = capsys.readouterr().out
    assert "resumed from" in said and "tf32 False of the earlier run is ignored" in said
    assert (run.counters.step, run.counters.finished_epochs, run.counters.rewinds) == (12, 6, 1)
    before, after = (list(read_metrics(place / "metrics.jsonl")) for place in (OLD, folder))
    assert [line["step"] for line in after] == [line["step"] for line in before] == list(range(1, 13))
    for old, new in zip(before[7:], after[7:], strict=True):
        old["weight/gan_fade"] = old.pop("weight/game")
        assert new.pop("phase") == old.pop("phase")
        later = {name for name in new if name.startswith(LATER)} | SELECTION
        expected, reached = ({n: v for n, v in line.items() if n not in OTHER | later} for line in (old, new))
        assert reached == pytest.approx(expected, rel=1e-3, abs=1e-5)
    old, new = (load_file(place / "generator.safetensors") for place in (OLD, folder))
    assert old.keys() == new.keys()
    for name in old:
        torch.testing.assert_close(new[name], old[name], rtol=1e-4, atol=1e-6)


def test_a_resumed_old_run_is_saved_in_todays_schema(folder, monkeypatch):
    config = make_config({"resume": "auto", "checkpoint_dir": str(folder), "max_steps": 8})
    train_on(WholePairs(**TRAINED_ON), monkeypatch, config)
    content = torch.load(folder / "last.pt", weights_only=True)
    assert content["schema"] == 2 and content["counters"]["step"] == 8 and "turn" not in content["counters"]
    assert content["schedules"]["rates"]["d"]["multiplier"] == 0.5
    assert not {"tf32", "health_window"} & content["config"].keys()
    again = train_on(WholePairs(**TRAINED_ON), monkeypatch, config.replace(max_steps=9))
    assert again.counters.step == 9
