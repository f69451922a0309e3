"""Several sampling steps: the same noise, less of it each time, until means have become samples."""

import pytest
import torch

from curriculum.mixing import mix_noise, remix_noise
from synthesis.sampler import noise_levels, sample


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_each_step_sees_the_music_it_will_make_under_less_of_the_same_noise():
    music, seen, levels = 2 * noise(0, 2, 4, 30), [], []
    noises = noise(1, 2, 4, 30), noise(2, 2, 4, 30)

    def knowing(source, target, alpha):
        seen.append((source, target))
        levels.append(alpha)
        return music

    start = [mix_noise(music, 0.8, n) for n in noises]
    assert torch.equal(sample(knowing, *start, 0.8, steps=4), music)
    assert levels == pytest.approx([0.8, 0.75, 0.6, 0.35]) and levels == noise_levels(0.8, 4)
    for sources, alpha in zip(seen, levels, strict=True):
        for x, n in zip(sources, noises, strict=True):
            torch.testing.assert_close(x, mix_noise(music, alpha, n))


def test_means_become_samples():
    """For music that is itself N(0, 1), the best guess from two noisy views is known; in one step it is 0, the mean,
    and the more steps, the nearer the answer comes to a sample of the right deviation (Song et al. 2021, sec. 4.3).

    The two views share what they know, so the limit of many steps has deviation 1. By a method of first order, eight
    steps would end at 0.82.
    """

    def best_guess(a, b, alpha):
        keep = 1 - alpha
        return keep * (a + b) / (alpha**2 + 2 * keep**2)

    deviations = []
    for count in (1, 8, 32, 512):
        sources = noise(3, 8, 16, 50), noise(4, 8, 16, 50)
        deviations.append(float(sample(best_guess, *sources, steps=count).std()))
    assert deviations == pytest.approx([0.0, 1.06, 1.0, 1.0], abs=0.03)


def test_answers_along_a_line_in_alpha_are_followed_exactly():
    """d(x / alpha) = made d((1 - alpha) / alpha), summed here in small steps; the first step has no line to go by."""
    levels = noise_levels(0.9, 5)
    slope, start, seen = noise(11, 1, 2, 3), noise(12, 1, 2, 3), []

    def made(alpha):
        return 2 + (alpha - 0.5) * slope

    def along(a, b, alpha):
        seen.append(a)
        return made(alpha)

    sample(along, start, start, 0.9, steps=5)
    x, fine = seen[1], torch.linspace(levels[1], levels[-1], 20_001, dtype=torch.float64).tolist()
    for alpha, lower in zip(fine, fine[1:], strict=False):
        x = remix_noise(x, made((alpha + lower) / 2), alpha, lower)
    torch.testing.assert_close(seen[-1], x, rtol=1e-6, atol=1e-6)


def test_untouched_channels_are_seen_exact_in_every_step():
    seen, a, b = [], noise(5, 1, 6, 20), noise(6, 1, 6, 20)

    def making(source, target, alpha):
        seen.append((source, target))
        return 0.3 * source + 1

    sample(making, a, b, 0.9, steps=3, channels=(2, 4))
    assert len(seen) == 3
    for sources in seen:
        for x, given in zip(sources, (a, b), strict=True):
            assert torch.equal(x[:, :2], given[:, :2]) and torch.equal(x[:, 4:], given[:, 4:])
    assert not torch.equal(seen[0][0][:, 2:4], seen[1][0][:, 2:4])


def test_what_a_step_makes_is_kept_in_range_before_the_next():
    seen = []

    def overshooting(a, b, alpha):
        seen.append(a)
        return 3 * a

    a, b = noise(9, 1, 4, 30), noise(10, 1, 4, 30)
    made = sample(overshooting, a, b, steps=2, within=lambda x: x.clamp(-1, 1))
    torch.testing.assert_close(seen[1], 0.25 * (3 * a).clamp(-1, 1) + 0.75 * a)
    assert torch.equal(made, (3 * seen[1]).clamp(-1, 1))
    for count, alpha in ((1, 1.0), (2, 0.0)):  # music keeps its own range, and so does what one step makes
        assert torch.equal(sample(overshooting, a, b, alpha, steps=count, within=lambda x: x.clamp(-1, 1)), 3 * a)


@pytest.mark.parametrize(("count", "alpha"), [(1, 1.0), (5, 0.0)])
def test_one_step_is_enough_for_one_and_for_music_without_noise(count, alpha):
    levels = []
    made = sample(lambda a, b, level: levels.append(level) or a, noise(7, 1, 2, 3), noise(8, 1, 2, 3), alpha, count)
    assert levels == [alpha]
    assert torch.equal(made, noise(7, 1, 2, 3))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_samples_of_a_batch_may_have_noise_levels_of_their_own(steps):
    sources, alphas = (noise(13, 4, 3, 8), noise(14, 4, 3, 8)), torch.tensor([1.0, 0.7, 0.2, 0.05], dtype=torch.float64)

    def guess(a, b, alpha):
        keep = 1 - (alpha[:, None, None] if isinstance(alpha, torch.Tensor) else alpha)
        return torch.tanh(keep * (a + b) + (1 - keep) * a)

    together = sample(guess, *sources, alphas, steps)
    for k, alpha in enumerate(alphas.tolist()):
        alone = sample(guess, *(x[k : k + 1] for x in sources), alpha, steps)
        torch.testing.assert_close(together[k : k + 1], alone)


def test_a_sample_without_noise_takes_one_step_also_among_others():
    music = noise(15, 2, 3, 8)
    made = sample(lambda a, b, alpha: 0.45 * (a + b), music, music, torch.tensor([0.0, 0.5]), 4)
    torch.testing.assert_close(made[0], 0.9 * music[0])
    assert not torch.allclose(made[1], 0.9 * music[1])
