"""Shapes: B batch, D latent channels, T frames."""

import math
from dataclasses import asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curriculum.pure_gan import (
    FADES,
    AdaptiveAlpha,
    adapt_alpha,
    alpha_at,
    ease_alpha,
    faded,
    jitter_alpha,
    mean_alpha,
    mix_noise,
    offset_noise,
    phase_at,
    recon_weight,
    remix_noise,
    sample_std,
    slow_noise,
)

TABLE = [(1, 0.0), (50, 0.0), (51, 0.01), (75, 0.25), (100, 0.5), (125, 0.75), (150, 1.0), (151, 1.0), (400, 1.0)]
CEILING_TABLE = [(85, 0.0), (86, 0.01), (100, 0.15), (115, 0.3), (116, 0.3), (150, 0.3)]
rates = st.floats(0.0, 2.0)
ceilings = st.floats(0.0, 1.0)


@pytest.fixture
def clips():
    generator = torch.Generator().manual_seed(0)
    x_BDT = torch.randn(3, 16, 500, generator=generator) * torch.tensor([0.3, 1.0, 4.0]).view(3, 1, 1)
    return x_BDT, torch.randn(3, 16, 500, generator=generator)


@pytest.mark.parametrize(("epoch", "alpha"), TABLE)
def test_alpha_equals_the_published_table(epoch, alpha):
    assert alpha_at(epoch, 0.01, 51, 1.0) == pytest.approx(alpha, abs=1e-12)


@pytest.mark.parametrize(("epoch", "alpha"), CEILING_TABLE)
def test_alpha_stops_at_the_ceiling(epoch, alpha):
    assert alpha_at(epoch, 0.01, 86, 0.3) == pytest.approx(alpha, abs=1e-12)


def test_a_large_rate_is_at_the_ceiling_from_the_start():
    assert [alpha_at(epoch, 100, 0, 0.25) for epoch in (1, 2, 9)] == [0.25] * 3


@given(st.integers(1, 500), rates, st.integers(0, 300), ceilings)
def test_alpha_is_bounded_and_never_falls(epoch, rate, start, ceiling):
    alpha = alpha_at(epoch, rate, start, ceiling)
    assert 0.0 <= alpha <= ceiling
    assert alpha <= alpha_at(epoch + 1, rate, start, ceiling)
    assert alpha == 0.0 or epoch >= start


@given(st.integers(1, 300), rates, ceilings)
def test_start_zero_means_one(epoch, rate, ceiling):
    assert alpha_at(epoch, rate, 0, ceiling) == alpha_at(epoch, rate, 1, ceiling)


def test_epochs_count_from_one():
    with pytest.raises(AssertionError):
        alpha_at(0, 0.01, 1, 1.0)


def test_phases_follow_one_another():
    phases = [phase_at(alpha_at(epoch, 0.01, 51, 1.0), 1.0, 0.01) for epoch in range(1, 201)]
    assert phases == ["music"] * 50 + ["transition"] * 99 + ["noise"] * 51


@given(st.integers(1, 1000), st.floats(0.001, 0.5), st.floats(0.05, 1.0))
def test_every_curriculum_ends_in_noise_whatever_the_rounding(epochs, rate, ceiling):
    needed = math.ceil(ceiling / rate - 1e-9)
    assert phase_at(alpha_at(needed, rate, 1, ceiling), ceiling, rate) == "noise"
    assert needed == 1 or phase_at(alpha_at(1, rate, 1, ceiling), ceiling, rate) == "transition"


def test_rounding_does_not_keep_the_last_phase_away():
    alpha = alpha_at(30, 0.03, 1, 0.9)
    assert alpha < 0.9  # 30 * 0.03 = 0.8999999999999999
    assert phase_at(alpha, 0.9, 0.03) == "noise"


def test_rate_or_ceiling_zero_is_music():
    assert phase_at(0.0, 1.0, 0.0) == "music"
    assert phase_at(0.0, 0.0, 0.01) == "music"


def test_mix_at_zero_is_bit_identical(clips):
    x_BDT, noise_BDT = clips
    x_BDT[0, 0, :3] = torch.tensor([-0.0, 1e-42, 3.0000002])
    assert mix_noise(x_BDT, 0.0, noise_BDT) is x_BDT
    for preserving in (False, True):
        mixed_BDT = mix_noise(x_BDT, torch.zeros(3), noise_BDT, preserving)
        assert torch.equal(mixed_BDT.view(torch.int32), x_BDT.view(torch.int32))


def test_mix_at_zero_is_bit_identical_per_sample(clips):
    x_BDT, noise_BDT = clips
    mixed_BDT = mix_noise(x_BDT, torch.tensor([0.0, 0.5, 0.0]), noise_BDT)
    assert torch.equal(mixed_BDT[[0, 2]], x_BDT[[0, 2]])
    assert not torch.equal(mixed_BDT[1], x_BDT[1])


def test_mix_equals_its_formula(clips):
    x_BDT, noise_BDT = clips
    std_B11 = torch.tensor([x.numpy().std() for x in x_BDT]).view(3, 1, 1)
    torch.testing.assert_close(mix_noise(x_BDT, 0.3, noise_BDT), 0.7 * x_BDT + 0.3 * std_B11 * noise_BDT)
    keep = math.sqrt(1 - 0.09)
    torch.testing.assert_close(mix_noise(x_BDT, 0.3, noise_BDT, True), keep * x_BDT + 0.3 * std_B11 * noise_BDT)
    torch.testing.assert_close(mix_noise(x_BDT, 1.0, noise_BDT), std_B11 * noise_BDT)


@pytest.mark.parametrize("preserving", [False, True])
def test_an_alpha_for_each_sample_equals_the_number(clips, preserving):
    x_BDT, noise_BDT = clips
    alphas = [0.2, 0.7, 1.0]
    mixed_BDT = mix_noise(x_BDT, torch.tensor(alphas), noise_BDT, preserving)
    for i, alpha in enumerate(alphas):
        one_BDT = mix_noise(x_BDT[i : i + 1], alpha, noise_BDT[i : i + 1], preserving)
        torch.testing.assert_close(mixed_BDT[i : i + 1], one_BDT)


def test_at_one_nothing_of_the_music_is_left_but_its_scale(clips):
    x_BDT, noise_BDT = clips
    backwards_BDT = x_BDT.flip(-1)
    torch.testing.assert_close(mix_noise(x_BDT, 1.0, noise_BDT), mix_noise(backwards_BDT, 1.0, noise_BDT))


def test_the_linear_mix_shrinks_and_the_other_keeps_the_deviation(clips):
    x_BDT, noise_BDT = clips
    shrunk_B = sample_std(mix_noise(x_BDT, 0.5, noise_BDT)) / sample_std(x_BDT)
    kept_B = sample_std(mix_noise(x_BDT, 0.5, noise_BDT, True)) / sample_std(x_BDT)
    torch.testing.assert_close(shrunk_B, torch.full((3,), 0.5**0.5), atol=0.02, rtol=0)
    torch.testing.assert_close(kept_B, torch.ones(3), atol=0.02, rtol=0)


def test_mix_keeps_the_dtype(clips):
    x_BDT, noise_BDT = (t.bfloat16() for t in clips)
    assert mix_noise(x_BDT, torch.tensor([0.1, 0.2, 0.3]), noise_BDT).dtype == torch.bfloat16
    assert mix_noise(x_BDT, 0.1, noise_BDT).dtype == torch.bfloat16


def test_sample_std_is_the_populations(clips):
    expected = [x.numpy().std() for x in clips[0]]
    torch.testing.assert_close(sample_std(clips[0]), torch.tensor(expected))
    assert sample_std(torch.full((1, 1, 1), 7.0)).item() == 0.0


@given(st.floats(0, 1), st.floats(0, 1), ceilings, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8))
def test_jitter_stays_within_the_schedule(share, width, ceiling, uniforms):
    alpha = share * ceiling
    u_B = torch.tensor(uniforms, dtype=torch.float64)
    jittered_B = jitter_alpha(alpha, u_B, width, ceiling)
    assert jittered_B.min() >= 0 and jittered_B.max() <= ceiling
    assert (jittered_B - alpha).abs().max() <= width + 1e-12
    mean_B = (jittered_B + jitter_alpha(alpha, 1 - u_B, width, ceiling)) / 2
    torch.testing.assert_close(mean_B, torch.full_like(mean_B, alpha))


@given(st.floats(0, 1), st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2), min_size=1, max_size=8))
def test_eased_alphas_lie_between_nothing_and_the_schedules(share, uniforms):
    alpha_B, u_B2 = torch.full((len(uniforms),), 0.8, dtype=torch.float64), torch.tensor(uniforms, dtype=torch.float64)
    eased_B = ease_alpha(alpha_B, u_B2, share)
    easy_B = u_B2[:, 0] < share
    assert torch.equal(eased_B[~easy_B], alpha_B[~easy_B])
    torch.testing.assert_close(eased_B[easy_B], 0.8 * u_B2[easy_B, 1])


def test_a_share_of_alphas_is_eased():
    u_B2 = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0))
    eased_B = ease_alpha(torch.ones(2000), u_B2, 0.3)
    assert (eased_B < 1).float().mean() == pytest.approx(0.3, abs=0.04)
    assert eased_B[eased_B < 1].mean() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("preserving", [False, True])
def test_remixing_takes_noise_away(clips, preserving):
    """Where the generator finds the music itself, the result is that music, mixed with the same noise at a lower
    alpha; at 0 it is what was made."""
    x_BDT, noise_BDT = (t.double() for t in clips)
    mixed_BDT = mix_noise(x_BDT, 0.8, noise_BDT, preserving)
    remixed_BDT = remix_noise(mixed_BDT, x_BDT, 0.8, 0.3, preserving)
    torch.testing.assert_close(remixed_BDT, mix_noise(x_BDT, 0.3, noise_BDT, preserving))
    again_BDT = remix_noise(remixed_BDT, x_BDT, 0.3, 0.1, preserving)
    torch.testing.assert_close(again_BDT, remix_noise(mixed_BDT, x_BDT, 0.8, 0.1, preserving))
    torch.testing.assert_close(remix_noise(mixed_BDT, x_BDT, 0.8, 0.0, preserving), x_BDT)


@pytest.mark.parametrize("preserving", [False, True])
@given(st.floats(0.02, 1.0), st.floats(0.01, 0.99))
def test_the_mean_alpha_of_a_step_is_weighed_as_the_step_is(preserving, alpha, share):
    """Against the sum over small pieces of keep / alpha."""
    lower = alpha * share
    edges = torch.linspace(alpha, lower, 4001, dtype=torch.float64)
    keep = (1 - edges**2).clamp(min=0).sqrt() if preserving else 1 - edges
    pieces = (keep / edges).diff()
    expected = float((pieces * (edges[1:] + edges[:-1]) / 2).sum() / pieces.sum())
    assert mean_alpha(alpha, lower, preserving) == pytest.approx(expected, rel=2e-3)
    assert lower <= mean_alpha(alpha, lower, preserving) <= alpha


def test_part_of_the_noise_lasts():
    """The correlation of two frames is share^2; variance and independence of channels stay."""
    generator = torch.Generator().manual_seed(0)
    white_BDT, lasting_BD1 = (torch.randn(500, 8, T, generator=generator) for T in (20, 1))
    assert offset_noise(white_BDT, lasting_BD1, 0.0) is white_BDT
    noise_BDT = offset_noise(white_BDT, lasting_BD1, 0.6)
    torch.testing.assert_close(noise_BDT, 0.8 * white_BDT + 0.6 * lasting_BD1)
    assert noise_BDT.var() == pytest.approx(1.0, abs=0.03)
    assert (noise_BDT[:, :, 0] * noise_BDT[:, :, -1]).mean() == pytest.approx(0.36, abs=0.04)
    assert (noise_BDT[:, 0] * noise_BDT[:, 1]).mean() == pytest.approx(0.0, abs=0.04)


@pytest.mark.parametrize("frames", [0.5, 40.0, 1e5])
@pytest.mark.parametrize("T", [1, 2, 150, 333])
def test_slow_noise_is_summed_up_as_written(frames, T):
    """Against x_t = r x_(t-1) + sqrt(1 - r^2) white_t, frame by frame."""
    white_BDT = torch.randn(2, 3, T, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    r = math.exp(-1 / frames)
    x_BD = [white_BDT[:, :, 0]]
    for t in range(1, T):
        x_BD.append(r * x_BD[-1] + math.sqrt(1 - r * r) * white_BDT[:, :, t])
    torch.testing.assert_close(slow_noise(white_BDT, frames), torch.stack(x_BD, dim=2))


def test_slow_noise_forgets():
    """Variance 1 from the first frame to the last, a correlation of exp(-t / frames)."""
    white_BDT = torch.randn(4000, 2, 200, generator=torch.Generator().manual_seed(0))
    noise_BDT = slow_noise(white_BDT, 50)
    torch.testing.assert_close(noise_BDT.var(dim=(0, 1)), torch.ones(200), rtol=0, atol=0.1)
    for apart in (1, 50, 150):
        correlation = (noise_BDT[:, :, apart:] * noise_BDT[:, :, :-apart]).mean()
        assert correlation == pytest.approx(math.exp(-apart / 50), abs=0.02)
    assert (noise_BDT[:, 0] * noise_BDT[:, 1]).mean() == pytest.approx(0.0, abs=0.02)


@given(st.sampled_from(sorted(FADES)), st.floats(0, 1))
def test_what_is_left_of_a_weight_is_a_share(fade, alpha):
    assert 0 <= faded(alpha, fade) <= 1 + 1e-12


def test_what_fades_between_counts_where_half_is_known():
    shares = faded(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]), "between")
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.36, 1.0, 0.36, 0.0]))


def test_jitter_leaves_both_ends_alone():
    u_B = torch.rand(100, generator=torch.Generator().manual_seed(0))
    assert (jitter_alpha(0.0, u_B, 0.2, 1.0) == 0).all()
    assert (jitter_alpha(0.3, u_B, 0.2, 0.3) == 0.3).all()
    assert jitter_alpha(0.5, u_B, 0.2, 1.0).std() == pytest.approx(0.4 / 12**0.5, rel=0.15)


@pytest.mark.parametrize(
    ("fade", "alpha", "weight"),
    [("off", 1.0, 1.0), ("linear", 0.25, 0.75), ("linear", 1.0, 0.05), ("known", 0.5, 0.5), ("known", 0.25, 0.9)],
)
def test_recon_weight(fade, alpha, weight):
    assert recon_weight(alpha, fade, floor=0.05) == pytest.approx(weight)
    torch.testing.assert_close(recon_weight(torch.tensor([alpha]), fade, 0.05), torch.tensor([weight]))


@given(st.sampled_from(["off", "linear", "known"]), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_recon_weight_falls_from_one_to_its_floor(fade, alpha, more, floor):
    low, high = sorted((alpha, more))
    assert floor <= recon_weight(high, fade, floor) <= recon_weight(low, fade, floor) + 1e-12 <= 1 + 1e-9
    assert recon_weight(0.0, fade, floor) == 1.0


def test_the_known_fade_is_the_share_of_variance_explained(clips):
    x_BDT, noise_BDT = clips
    mixed = mix_noise(x_BDT[1:2], 0.4, noise_BDT[1:2]).flatten()
    correlation = torch.corrcoef(torch.stack([x_BDT[1].flatten(), mixed]))[0, 1].item()
    assert recon_weight(0.4, "known") == pytest.approx(correlation**2, abs=0.02)


def adapt_over(losses, **options):
    settings = {"rate": 0.01, "start_epoch": 1, "ceiling": 1.0, "threshold": 1.0} | options
    states = [AdaptiveAlpha()]
    for epoch, loss in enumerate(losses, start=1):
        states.append(adapt_alpha(states[-1], loss, epoch=epoch, **settings))
    return states[1:]


@given(st.integers(0, 60), st.floats(0.001, 0.3), ceilings)
def test_at_the_threshold_the_adaptive_curriculum_is_the_plain_one(start, rate, ceiling):
    states = adapt_over([1.0] * 80, rate=rate, start_epoch=start, ceiling=ceiling)
    plain = [alpha_at(epoch, rate, start, ceiling) for epoch in range(1, 81)]
    assert [state.alpha for state in states] == pytest.approx(plain)


def test_adaptive_alpha_slows_and_speeds_up():
    slowed = adapt_over([None, 2.0, 2.0, float("nan"), 0.5])
    speeds = [1.0, 0.9, 0.81, 0.729, 0.8019]
    assert [state.speed for state in slowed] == pytest.approx(speeds)
    assert [state.alpha for state in slowed] == pytest.approx([0.01 * sum(speeds[: i + 1]) for i in range(5)])


def test_losses_of_the_music_phase_do_not_count():
    assert [state.speed for state in adapt_over([9.0] * 10, start_epoch=11)] == [1.0] * 10


@given(st.lists(st.floats(0, 2) | st.just(float("nan")), min_size=1, max_size=80), st.floats(0, 0.5))
def test_adaptive_alpha_is_bounded_and_never_moves_backwards(losses, floor):
    states = adapt_over(losses, ceiling=0.6, floor=floor)
    alphas = [state.alpha for state in states]
    assert alphas == sorted(alphas) and floor <= alphas[0] and alphas[-1] <= 0.6
    assert all(0.1 <= state.speed <= 10 for state in states)


def test_adaptive_state_survives_a_checkpoint():
    whole = adapt_over([None, 2.0, 0.5, 0.5])
    kept = AdaptiveAlpha(**asdict(adapt_over([None, 2.0])[-1]))
    for epoch in (3, 4):
        kept = adapt_alpha(kept, 0.5, epoch=epoch, rate=0.01, start_epoch=1, ceiling=1.0, threshold=1.0)
    assert kept == whole[-1]
