"""Noise in some channels only: the same in training and generation."""

import pytest
import torch
from tiny_generators import RATE, build

from config import make_config
from errors import UserError
from synthesis import draws
from synthesis.draws import Draw, Origin
from synthesis.generation import generate
from synthesis.sources import NoiseMix, Sources

T = 40
PART = {"pure_gan_mode": 0.1, "noise_channels": "16:64"}


def music(seed):
    return 3 * torch.randn(2, 128, T, generator=torch.Generator().manual_seed(seed)) + 1


def sources_of(**options) -> Sources:
    config = make_config(options)
    return Sources(config.sampling, config.chosen("mask_type"), RATE)


@pytest.mark.parametrize("alpha", [0.4, torch.tensor([0.0, 1.0])], ids=["one", "each its own"])
def test_the_curriculum_leaves_the_other_channels_as_they_are(alpha):
    clean = music(1), music(2)
    partly, everywhere = (sources_of(**options).mixed(*clean, alpha, [4, 5], 9) for options in (PART, {}))
    for x, part, whole in zip(clean, partly, everywhere, strict=True):
        assert torch.equal(part[:, :16], x[:, :16]) and torch.equal(part[:, 64:], x[:, 64:])
        assert torch.equal(part[:, 16:64], whole[:, 16:64])
        noisy = torch.as_tensor(alpha).expand(2) > 0
        assert (part[noisy][:, 16:64] != x[noisy][:, 16:64]).float().mean() > 0.99


def test_generation_does_as_training_did_unless_asked_otherwise():
    clean, some = (music(1), music(2)), [Draw(Origin(9, k)) for k in (4, 5)]
    sources = sources_of(**PART)
    for x, y in zip(
        sources.from_music(*clean, some, NoiseMix(0.4)), sources.mixed(*clean, 0.4, [4, 5], 9), strict=True
    ):
        assert torch.equal(x, y)
    other, _ = sources.from_music(*clean, some, NoiseMix(0.4, (0, 8)))
    assert torch.equal(other[:, 8:], clean[0][:, 8:]) and not torch.equal(other[:, :8], clean[0][:, :8])


def test_several_steps_keep_the_other_channels(codec):
    loaded = build("patch in passes", codec, **PART)
    clean, seen = music(1), []
    loaded.network.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    sources = loaded.sources.from_music(clean, clean, draws.plain(0, 2), NoiseMix(0.5))
    generate(loaded, *sources, 0.5)
    assert len(seen) == 3
    for x in seen:
        assert torch.equal(x[:, :16], clean[:, :16]) and torch.equal(x[:, 64:], clean[:, 64:])
    assert not torch.equal(seen[0][:, 16:64], seen[2][:, 16:64])


def test_it_cannot_start_from_noise_alone(codec):
    loaded = build("patch", codec, **PART)
    with pytest.raises(UserError, match="noise in channels 16:64 only.*--input_audio") as caught:
        loaded.sources.from_noise(loaded.space, draws.plain(0, 1), (128, T), "cpu")
    assert "\n" not in str(caught.value)
    everywhere = build("patch", codec, pure_gan_mode=0.1, noise_channels="0:128")
    plain = build("patch", codec)
    made = [x.sources.from_noise(x.space, draws.plain(0, 1), (128, T), "cpu") for x in (everywhere, plain)]
    assert torch.equal(made[0][0], made[1][0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise_channels": "0:64"}, "noise_channels needs a curriculum: give --pure_gan_mode"),
        (PART | {"noise_channels": "0:129"}, "noise_channels 0:129 goes past the 128 channels"),
        (PART | {"noise_channels": "64:0"}, "--noise_channels 64:0 is not possible: it must be a range FIRST:END"),
        (PART | {"noise_channels": "all"}, "it must be a range"),
        (PART | {"generator": "dcgan"}, "noise_channels would have no effect"),
    ],
)
def test_ranges_that_do_not_fit(options, words):
    with pytest.raises(UserError, match=words):
        make_config(options)


def test_a_range_survives_a_yaml_file():
    import yaml

    config = make_config(PART | {"noise_channels": "1:30"})  # which YAML could take for a number of base 60
    assert yaml.safe_load(config.to_yaml())["noise_channels"] == "1:30" and config.sampling.channels == (1, 30)
