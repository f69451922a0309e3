"""Schedules by name: what the registries list, what the room exports."""

import pytest
import torch

import curriculum
from config import make_config
from curriculum import alpha, alpha_at, fades, mix_noise, mixing, schedules
from curriculum.options import DECAYS, FADES, SHAPES
from errors import UserError


def test_the_registries_list_these_schedules():
    assert {name: part.load() for name, part in FADES.items()} == {
        "off": fades.no_fade,
        "linear": fades.linear_fade,
        "known": fades.known_fade,
        "between": fades.between_fade,
    }
    assert {name: part.load() for name, part in SHAPES.items()} == {
        "linear": schedules.linear,
        "cosine": schedules.cosine,
    }
    assert {name: part.load() for name, part in DECAYS.items()} == {
        "constant": schedules.ConstantRate,
        "cosine": schedules.CosineRate,
        "plateau": schedules.PlateauRate,
    }
    assert not (FADES.joinable or SHAPES.joinable or DECAYS.joinable)


@pytest.mark.parametrize("name", FADES)
def test_facts_of_a_fade_agree_with_its_values(name):
    fade, facts = FADES[name].load(), FADES[name].facts
    assert bool(facts.get("fades")) == (fade(1.0) == 0.0), "at alpha 1 all weights are 0"
    assert bool(facts.get("needs_noise")) == (fade(0.0) == 0.0), "without noise all weights are 0"


@pytest.mark.parametrize("option", ["recon_fade", "gan_fade"])
@pytest.mark.parametrize("name", FADES)
def test_both_fades_are_any_of_the_four(option, name):
    config = make_config({option: name, "easy_share": 0.5, "pure_gan_mode": 0.1})
    assert config.chosen(option).part.load() is FADES[name].load()


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_chosen_by_its_name(name):
    assert make_config({"warmup_shape": name}).chosen("warmup_shape").part.load() is SHAPES[name].load()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recon_fade": "lineal"}, "recon_fade lineal .* 'off', 'linear', 'known' or 'between'"),
        ({"gan_fade": "lineal"}, "gan_fade lineal"),
        ({"warmup_shape": "cosin"}, "warmup_shape cosin .* 'linear' or 'cosine'"),
        ({"gan_fade": "known"}, "gan_fade known needs easy_share"),
        ({"gan_fade": "between", "easy_share": 0.5}, "gan_fade between needs pure_gan_mode"),
    ],
)
def test_schedules_that_do_not_fit_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        make_config(options)


def test_a_new_fade_is_one_line():
    FADES.add("squared", lambda alpha: (1 - alpha) ** 2, fades=True)
    try:
        config = make_config({"recon_fade": "squared"})
        assert config.chosen("recon_fade").part.load()(0.5) == 0.25
        with pytest.raises(UserError, match="easy_share"):
            make_config({"gan_fade": "squared"})
    finally:
        FADES._parts.pop("squared")


def test_the_room_exports_these_names():
    from curriculum import AdaptiveLevel, remix_noise, sample_std, warmup

    assert alpha_at is alpha.alpha_at and mix_noise is mixing.mix_noise
    assert alpha_at(3, 0.1, 2, 1.0) == pytest.approx(0.2)
    torch.testing.assert_close(mix_noise(torch.ones(1, 2, 3), 0.25, torch.ones(1, 2, 3)), torch.full((1, 2, 3), 0.75))
    assert all(map(callable, (AdaptiveLevel, remix_noise, sample_std, warmup)))
    wanted = {"DECAYS", "FADES", "SHAPES", "adapt_alpha", "adversarial_ramp", "ease_alpha", "instance_noise"}
    assert wanted | {"is_pretraining", "phase_at"} <= set(curriculum.__all__) <= set(dir(curriculum))
    with pytest.raises(AttributeError):
        curriculum.jitter_alpha  # noqa: B018
