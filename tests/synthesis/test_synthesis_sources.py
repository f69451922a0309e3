"""Sources and the noise in them, bit for bit where that is promised."""

import math

import pytest
import torch
from tiny_generators import RATE, build

from config import make_config
from curriculum.mixing import sample_std
from runtime.seeding import Purpose
from synthesis import draws
from synthesis.draws import Draw, Origin, slerp
from synthesis.noise import source_noise
from synthesis.sources import NoiseMix, Sources

T = 40


def music(seed):
    return 3 * torch.randn(1, 128, T, generator=torch.Generator().manual_seed(seed)) + 1


def sources_of(**options) -> Sources:
    config = make_config(options)
    return Sources(config.sampling, config.chosen("mask_type"), RATE)


def noise_sources(loaded, some, frames=T, temperature=1.0):
    return loaded.sources.from_noise(loaded.space, some, (128, frames), "cpu", temperature)


@pytest.fixture(scope="module", params=[{}, {"offset_noise": 0.5, "offset_seconds": 1}], ids=str)
def sources(request):
    return sources_of(**request.param)


def test_music_without_noise_is_untouched(sources):
    a, b = music(1), music(2)
    input_BDT, target_BDT = sources.from_music(a, b, draws.plain(0, 1), NoiseMix(0.0))
    assert torch.equal(input_BDT, a) and torch.equal(target_BDT, b)


def test_noise_alone_knows_of_the_music_but_its_level(sources):
    a, b = music(1), music(2)
    of_a, _ = sources.from_music(a, a, draws.plain(0, 1), NoiseMix(1.0))
    of_b, _ = sources.from_music(b, b, draws.plain(0, 1), NoiseMix(1.0))
    torch.testing.assert_close(of_a / sample_std(a), of_b / sample_std(b))
    noise = source_noise(sources.sampling, RATE, 0, Purpose.INPUT_NOISE, [0], (128, T), "cpu")
    torch.testing.assert_close(of_a, sample_std(a) * noise)


def test_offset_noise_is_the_same_over_a_long_clip_and_another_in_the_next(codec):
    loaded = build("patch", codec, offset_noise=0.5)
    made = noise_sources(loaded, draws.plain(3, 2), 4000)
    first, last = (torch.cat([x[:, :, piece].mean(2) for x in made]) for piece in (slice(1000), slice(3000, None)))
    assert torch.corrcoef(torch.stack([first.flatten(), last.flatten()]))[0, 1] > 0.98
    between = torch.corrcoef(first)
    assert (between - torch.eye(4)).abs().max() < 0.35  # input and target of two clips: four draws of 128 numbers


def test_offset_noise_of_some_seconds_is_another_much_later(codec):
    """Means over a second, of both sources of two clips: alike a second on, another after 50."""
    loaded = build("patch", codec, offset_noise=0.5, offset_seconds=5)
    made = noise_sources(loaded, draws.plain(3, 2), 4000)
    first, next_one, last = (
        torch.cat([x[:, :, start : start + 75].mean(2) for x in made]).flatten() for start in (0, 75, 3900)
    )
    assert torch.corrcoef(torch.stack([first, next_one]))[0, 1] > 0.7
    assert torch.corrcoef(torch.stack([first, last]))[0, 1].abs() < 0.2


@pytest.mark.parametrize("fraction", [0.0, 0.23, 1.0])
def test_sources_are_those_of_training(sources, fraction):
    a, b = music(1), music(2)
    ours = sources.from_music(a, b, [Draw(Origin(9, 4))], NoiseMix(fraction))
    for x, y in zip(ours, sources.mixed(a, b, fraction, [4], 9), strict=True):
        assert torch.equal(x, y)


def test_channels_without_noise_are_exact(sources):
    a, b = music(1), music(2)
    for mixed, clean in zip(sources.from_music(a, b, draws.plain(0, 1), NoiseMix(0.7, (16, 64))), (a, b), strict=True):
        assert torch.equal(mixed[:, :16], clean[:, :16]) and torch.equal(mixed[:, 64:], clean[:, 64:])
        assert (mixed[:, 16:64] != clean[:, 16:64]).float().mean() > 0.99
    everywhere, _ = sources.from_music(a, b, draws.plain(0, 1), NoiseMix(0.7))
    partly, _ = sources.from_music(a, b, draws.plain(0, 1), NoiseMix(0.7, (16, 64)))
    assert torch.equal(everywhere[:, 16:64], partly[:, 16:64])


def test_temperature_scales_the_noise(codec):
    loaded = build("patch", codec)
    cool, warm = (noise_sources(loaded, draws.plain(3, 2), temperature=temperature) for temperature in (0.5, 1.0))
    for x, y in zip(cool, warm, strict=True):
        torch.testing.assert_close(2 * x, y)
    a = music(1)
    noise = [loaded.sources.from_music(a, a, draws.plain(0, 1), NoiseMix(0.5, None, t))[0] - a / 2 for t in (1, 3)]
    torch.testing.assert_close(3 * noise[0], noise[1], rtol=1e-4, atol=1e-4)


def test_slerp_goes_by_even_angles_and_keeps_the_norm():
    a, b = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.5, math.sqrt(0.75), 0.0])
    for share in (0.0, 0.2, 0.5, 1.0):
        angle = share * math.pi / 3
        torch.testing.assert_close(slerp(a, b, share), torch.tensor([math.cos(angle), math.sin(angle), 0.0]))
    assert torch.equal(slerp(a, b, 0.0), a) and torch.equal(slerp(a, b, 1.0), b) and torch.equal(slerp(a, a, 0.5), a)


@pytest.mark.parametrize("mask_type", ["none", "temporal", "spectral"])
def test_interpolation_ends_at_the_plain_clips(codec, mask_type):
    loaded = build("patch", codec, mask_type=mask_type)
    way = noise_sources(loaded, draws.interpolation(5, 6, 4))
    for seed, row in ((5, 0), (6, 3)):
        plain = noise_sources(loaded, draws.plain(seed, 1))
        for x, y in zip(way, plain, strict=True):
            assert torch.equal(x[row], y[0])
    steps = torch.cat(way, dim=1).diff(dim=0).flatten(1).norm(dim=1)
    assert steps.min() > 0
    assert mask_type != "none" or steps.max() < 1.2 * steps.min()


def test_variations_stay_near_the_clip_and_differ(codec):
    loaded = build("patch", codec)
    (origin, *_) = noise_sources(loaded, draws.plain(5, 1))

    def similarity(strength):
        varied = noise_sources(loaded, draws.variations(5, 3, strength))[0]
        assert not torch.equal(varied[0], varied[1]) or strength == 0
        return torch.cosine_similarity(varied.flatten(1), origin.flatten(1)).mean()

    assert similarity(0) > 0.9999
    assert abs(similarity(0.2) - math.cos(0.2 * math.pi / 2)) < 0.02
    assert abs(similarity(1)) < 0.03


@pytest.mark.parametrize("mask_type", ["none", "temporal", "hybrid", "spectral"])
def test_a_clip_depends_on_its_draw_alone(codec, mask_type):
    loaded = build("patch", codec, mask_type=mask_type)
    many = noise_sources(loaded, draws.plain(7, 3))
    alone = noise_sources(loaded, [Draw(Origin(7, 2))])
    assert all(torch.equal(x[2:], y) for x, y in zip(many, alone, strict=True))
    bare = noise_sources(build("patch", codec), [Draw(Origin(7, 2))])
    assert all(torch.equal(x, y) for x, y in zip(loaded.sources.masked(*bare, [2], 7), alone, strict=True))
