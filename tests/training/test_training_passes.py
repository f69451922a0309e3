"""Several passes: the same noise, less of it each time, until means have become samples."""

import pytest
import torch
from training_parts import tiny_config

from curriculum.pure_gan import mix_noise, remix_noise
from synthesis.sampler import in_passes, noise_levels


def passes(count: int, **more):
    return tiny_config(unity_test=True, easy_share=1.0, passes=count, mask_type="none", **more)


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("noise_mix", ["linear", "variance_preserving"])
def test_each_pass_sees_the_music_it_will_make_under_less_of_the_same_noise(noise_mix):
    music, seen = 2 * noise(0, 2, 4, 30), []
    noises = noise(1, 2, 4, 30), noise(2, 2, 4, 30)
    preserve = noise_mix == "variance_preserving"

    def knowing(*sources):
        seen.append(sources)
        return music

    start = [mix_noise(music, 0.8, n, preserve) for n in noises]
    assert torch.equal(in_passes(passes(4, noise_mix=noise_mix), knowing, *start, 0.8), music)
    assert len(seen) == 4
    for sources, alpha in zip(seen, (0.8, 0.75, 0.6, 0.35), strict=True):
        for x, n in zip(sources, noises, strict=True):
            torch.testing.assert_close(x, mix_noise(music, alpha, n, preserve))


@pytest.mark.parametrize("noise_mix", ["linear", "variance_preserving"])
def test_means_become_samples(noise_mix):
    """For music that is itself N(0, 1), the best guess from two noisy views is known; in one pass it is 0, the mean,
    and the more passes, the nearer the answer comes to a sample of the right deviation (Song et al. 2021, sec. 4.3).

    The two views share what they know, so the limit of many passes has deviation 1. By steps of first order, eight
    passes of the linear mix would end at 0.82.
    """
    level = iter(())

    def best_guess(a, b):
        alpha = next(level)
        keep = (1 - alpha**2) ** 0.5 if noise_mix == "variance_preserving" else 1 - alpha
        return keep * (a + b) / (alpha**2 + 2 * keep**2)

    deviations = []
    for count in (1, 8, 32, 512):
        level, sources = iter(noise_levels(1.0, count)), (noise(3, 8, 16, 50), noise(4, 8, 16, 50))
        deviations.append(float(in_passes(passes(count, noise_mix=noise_mix), best_guess, *sources).std()))
    assert deviations == pytest.approx([0.0, 1.06, 1.0, 1.0], abs=0.03)


@pytest.mark.parametrize("noise_mix", ["linear", "variance_preserving"])
def test_answers_along_a_line_in_alpha_are_followed_exactly(noise_mix):
    """d(x / alpha) = made d(keep / alpha), summed here in small steps; the first step has no line to go by."""
    preserve, levels = noise_mix == "variance_preserving", noise_levels(0.9, 5)
    slope, start, seen = noise(11, 1, 2, 3), noise(12, 1, 2, 3), []

    def made(alpha):
        return 2 + (alpha - 0.5) * slope

    def along(a, b):
        seen.append(a)
        return made(levels[len(seen) - 1])

    in_passes(passes(5, noise_mix=noise_mix), along, start, start, 0.9)
    x, fine = seen[1], torch.linspace(levels[1], levels[-1], 20_001, dtype=torch.float64).tolist()
    for alpha, lower in zip(fine, fine[1:], strict=False):
        x = remix_noise(x, made((alpha + lower) / 2), alpha, lower, preserve)
    torch.testing.assert_close(seen[-1], x, rtol=1e-6, atol=1e-6)


def test_untouched_channels_are_seen_exact_in_every_pass():
    seen, a, b = [], noise(5, 1, 6, 20), noise(6, 1, 6, 20)

    def making(*sources):
        seen.append(sources)
        return 0.3 * sources[0] + 1

    in_passes(passes(3), making, a, b, 0.9, (2, 4))
    assert len(seen) == 3
    for sources in seen:
        for x, given in zip(sources, (a, b), strict=True):
            assert torch.equal(x[:, :2], given[:, :2]) and torch.equal(x[:, 4:], given[:, 4:])
    assert not torch.equal(seen[0][0][:, 2:4], seen[1][0][:, 2:4])


def test_what_a_pass_makes_is_kept_in_range_before_the_next():
    seen = []

    def overshooting(a, b):
        seen.append(a)
        return 3 * a

    a, b = noise(9, 1, 4, 30), noise(10, 1, 4, 30)
    made = in_passes(passes(2), overshooting, a, b, within=lambda x: x.clamp(-1, 1))
    torch.testing.assert_close(seen[1], 0.25 * (3 * a).clamp(-1, 1) + 0.75 * a)
    assert torch.equal(made, (3 * seen[1]).clamp(-1, 1))
    for count, alpha in ((1, 1.0), (2, 0.0)):  # music keeps its own range, and so does a game without passes
        assert torch.equal(in_passes(passes(count), overshooting, a, b, alpha, within=lambda x: x.clamp(-1, 1)), 3 * a)


@pytest.mark.parametrize(("count", "alpha"), [(1, 1.0), (5, 0.0)])
def test_one_pass_suffices_for_one_and_for_music_without_noise(count, alpha):
    calls = []
    in_passes(passes(count), lambda a, b: calls.append(0) or a, noise(7, 1, 2, 3), noise(8, 1, 2, 3), alpha)
    assert len(calls) == 1
