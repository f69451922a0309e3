"""Sources and the noise in them, bit for bit where that is promised."""

import dataclasses
import math

import pytest
import torch
from tiny_generators import build

from curriculum.pure_gan import sample_std
from runtime.seeding import Purpose
from synthesis import draws
from synthesis.draws import Draw, Origin, slerp
from synthesis.noise import source_noise
from synthesis.render import clips_from_noise, generate
from synthesis.sampler import in_passes
from synthesis.sources import NoiseMix, music_sources, noise_sources, normalise
from training.steps import masked_sources, noised_sources

T = 40


def music(seed):
    return 3 * torch.randn(1, 128, T, generator=torch.Generator().manual_seed(seed)) + 1


@pytest.fixture(
    scope="module",
    params=[{}, {"noise_mix": "variance_preserving"}, {"offset_noise": 0.5, "offset_seconds": 1}],
    ids=str,
)
def config(request, codec):
    return build("patch", codec, **request.param).config


def test_music_without_noise_is_untouched(config):
    a, b = music(1), music(2)
    input_BDT, target_BDT = music_sources(config, a, b, draws.plain(0, 1), NoiseMix(0.0))
    assert torch.equal(input_BDT, a) and torch.equal(target_BDT, b)


def test_noise_alone_knows_of_the_music_but_its_level(config):
    a, b = music(1), music(2)
    of_a, _ = music_sources(config, a, a, draws.plain(0, 1), NoiseMix(1.0))
    of_b, _ = music_sources(config, b, b, draws.plain(0, 1), NoiseMix(1.0))
    torch.testing.assert_close(of_a / sample_std(a), of_b / sample_std(b))
    torch.testing.assert_close(of_a, sample_std(a) * source_noise(config, 0, Purpose.INPUT_NOISE, [0], (128, T), "cpu"))


def test_offset_noise_is_the_same_over_a_long_clip_and_another_in_the_next(codec):
    loaded = build("patch", codec, offset_noise=0.5)
    sources = noise_sources(loaded.config, loaded.space, draws.plain(3, 2), 4000, "cpu")
    first, last = (torch.cat([x[:, :, piece].mean(2) for x in sources]) for piece in (slice(1000), slice(3000, None)))
    assert torch.corrcoef(torch.stack([first.flatten(), last.flatten()]))[0, 1] > 0.98
    between = torch.corrcoef(first)
    assert (between - torch.eye(4)).abs().max() < 0.35  # input and target of two clips: four draws of 128 numbers


def test_offset_noise_of_some_seconds_is_another_much_later(codec):
    """Means over a second, of both sources of two clips: alike a second on, another after 50."""
    loaded = build("patch", codec, offset_noise=0.5, offset_seconds=5)
    sources = noise_sources(loaded.config, loaded.space, draws.plain(3, 2), 4000, "cpu")
    first, next_one, last = (
        torch.cat([x[:, :, start : start + 75].mean(2) for x in sources]).flatten() for start in (0, 75, 3900)
    )
    assert torch.corrcoef(torch.stack([first, next_one]))[0, 1] > 0.7
    assert torch.corrcoef(torch.stack([first, last]))[0, 1].abs() < 0.2


@pytest.mark.parametrize("fraction", [0.0, 0.23, 1.0])
def test_sources_are_those_of_training(config, fraction):
    a, b = music(1), music(2)
    ours = music_sources(config, a, b, [Draw(Origin(9, 4))], NoiseMix(fraction))
    for x, y in zip(ours, noised_sources(config, a, b, fraction, [4], 9), strict=True):
        assert torch.equal(x, y)


def test_channels_without_noise_are_exact(config):
    a, b = music(1), music(2)
    for mixed, clean in zip(
        music_sources(config, a, b, draws.plain(0, 1), NoiseMix(0.7, (16, 64))), (a, b), strict=True
    ):
        assert torch.equal(mixed[:, :16], clean[:, :16]) and torch.equal(mixed[:, 64:], clean[:, 64:])
        assert (mixed[:, 16:64] != clean[:, 16:64]).float().mean() > 0.99
    everywhere, _ = music_sources(config, a, b, draws.plain(0, 1), NoiseMix(0.7))
    partly, _ = music_sources(config, a, b, draws.plain(0, 1), NoiseMix(0.7, (16, 64)))
    assert torch.equal(everywhere[:, 16:64], partly[:, 16:64])


def test_temperature_scales_the_noise(codec):
    loaded = build("patch", codec)
    cool, warm = (
        noise_sources(loaded.config, loaded.space, draws.plain(3, 2), T, "cpu", temperature)
        for temperature in (0.5, 1.0)
    )
    for x, y in zip(cool, warm, strict=True):
        torch.testing.assert_close(2 * x, y)
    a = music(1)
    noise = [music_sources(loaded.config, a, a, draws.plain(0, 1), NoiseMix(0.5, None, t))[0] - a / 2 for t in (1, 3)]
    torch.testing.assert_close(3 * noise[0], noise[1], rtol=1e-4, atol=1e-4)


def test_slerp_turns_by_even_angles_and_keeps_the_norm():
    a, b = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.5, math.sqrt(0.75), 0.0])
    for share in (0.0, 0.2, 0.5, 1.0):
        angle = share * math.pi / 3
        torch.testing.assert_close(slerp(a, b, share), torch.tensor([math.cos(angle), math.sin(angle), 0.0]))
    assert torch.equal(slerp(a, b, 0.0), a) and torch.equal(slerp(a, b, 1.0), b) and torch.equal(slerp(a, a, 0.5), a)


@pytest.mark.parametrize("mask_type", ["none", "temporal", "spectral"])
def test_interpolation_ends_at_the_plain_clips(codec, mask_type):
    loaded = build("patch", codec, mask_type=mask_type)
    way = noise_sources(loaded.config, loaded.space, draws.interpolation(5, 6, 4), T, "cpu")
    for seed, row in ((5, 0), (6, 3)):
        plain = noise_sources(loaded.config, loaded.space, draws.plain(seed, 1), T, "cpu")
        for x, y in zip(way, plain, strict=True):
            assert torch.equal(x[row], y[0])
    steps = torch.cat(way, dim=1).diff(dim=0).flatten(1).norm(dim=1)
    assert steps.min() > 0
    assert mask_type != "none" or steps.max() < 1.2 * steps.min()


def test_interpolated_clips_end_at_the_plain_clips_bit_for_bit(codec):
    loaded = build("patch", codec)
    way = list(clips_from_noise(loaded, codec, draws.interpolation(5, 6, 3), 0.5))
    for seed, clip in ((5, way[0]), (6, way[-1])):
        (plain,) = clips_from_noise(loaded, codec, draws.plain(seed, 1), 0.5)
        assert (plain == clip).all()


def test_variations_stay_near_the_clip_and_differ(codec):
    loaded = build("patch", codec)
    (origin, *_) = noise_sources(loaded.config, loaded.space, draws.plain(5, 1), T, "cpu")

    def similarity(strength):
        varied = noise_sources(loaded.config, loaded.space, draws.variations(5, 3, strength), T, "cpu")[0]
        assert not torch.equal(varied[0], varied[1]) or strength == 0
        return torch.cosine_similarity(varied.flatten(1), origin.flatten(1)).mean()

    assert similarity(0) > 0.9999
    assert abs(similarity(0.2) - math.cos(0.2 * math.pi / 2)) < 0.02
    assert abs(similarity(1)) < 0.03


@pytest.mark.parametrize("mask_type", ["none", "temporal", "hybrid", "spectral"])
def test_a_clip_depends_on_its_draw_alone(codec, mask_type):
    loaded = build("patch", codec, mask_type=mask_type)
    many = noise_sources(loaded.config, loaded.space, draws.plain(7, 3), T, "cpu")
    alone = noise_sources(loaded.config, loaded.space, [Draw(Origin(7, 2))], T, "cpu")
    assert all(torch.equal(x[2:], y) for x, y in zip(many, alone, strict=True))
    bare = noise_sources(build("patch", codec).config, loaded.space, [Draw(Origin(7, 2))], T, "cpu")
    assert all(torch.equal(x, y) for x, y in zip(masked_sources(loaded.config, *bare, [2], 7), alone, strict=True))


def test_clips_of_training_length_see_no_windows(loaded):
    sources = noise_sources(loaded.config, loaded.space, draws.plain(0, 2), loaded.space.frames, "cpu")
    made = normalise(generate(loaded, *sources), loaded.space)
    whole = in_passes(loaded.config, lambda a, b: loaded.network(a, b).output_BDT, *sources)
    torch.testing.assert_close(made, whole, rtol=1e-4, atol=1e-5)


def test_several_passes_stay_in_the_range_of_training_latents(codec):
    loaded = build("patch in passes", codec)
    sources = noise_sources(loaded.config, loaded.space, draws.plain(0, 2), 3 * loaded.space.frames, "cpu")
    free = normalise(generate(loaded, *sources), loaded.space)
    ends = torch.full((128,), 0.5)
    loaded.space = dataclasses.replace(loaded.space, lowest_D=-ends, highest_D=ends)
    kept = normalise(generate(loaded, *sources), loaded.space)
    assert free.abs().max() > 1 and kept.abs().max() <= 0.5 + 1e-5
