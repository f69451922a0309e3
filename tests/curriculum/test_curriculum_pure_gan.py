"""Shapes: B batch, D latent channels, T frames."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curriculum.alpha import alpha_at, ease_alpha, phase_at
from curriculum.fades import known_fade
from curriculum.mixing import mean_alpha, mix_noise, offset_noise, remix_noise, sample_std, slow_noise
from curriculum.options import FADES

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
    mixed_BDT = mix_noise(x_BDT, torch.zeros(3), noise_BDT)
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
    torch.testing.assert_close(mix_noise(x_BDT, 1.0, noise_BDT), std_B11 * noise_BDT)


def test_an_alpha_for_each_sample_equals_the_number(clips):
    x_BDT, noise_BDT = clips
    alphas = [0.2, 0.7, 1.0]
    mixed_BDT = mix_noise(x_BDT, torch.tensor(alphas), noise_BDT)
    for i, alpha in enumerate(alphas):
        one_BDT = mix_noise(x_BDT[i : i + 1], alpha, noise_BDT[i : i + 1])
        torch.testing.assert_close(mixed_BDT[i : i + 1], one_BDT)


def test_at_one_nothing_of_the_music_is_left_but_its_scale(clips):
    x_BDT, noise_BDT = clips
    backwards_BDT = x_BDT.flip(-1)
    torch.testing.assert_close(mix_noise(x_BDT, 1.0, noise_BDT), mix_noise(backwards_BDT, 1.0, noise_BDT))


@pytest.mark.parametrize("alpha", [0.2, 0.5, 0.9])
def test_the_mix_shrinks_the_deviation(clips, alpha):
    x_BDT, noise_BDT = clips
    shrunk_B = sample_std(mix_noise(x_BDT, alpha, noise_BDT)) / sample_std(x_BDT)
    torch.testing.assert_close(shrunk_B, torch.full((3,), math.hypot(1 - alpha, alpha)), atol=0.02, rtol=0)


def test_mix_keeps_the_dtype(clips):
    x_BDT, noise_BDT = (t.bfloat16() for t in clips)
    assert mix_noise(x_BDT, torch.tensor([0.1, 0.2, 0.3]), noise_BDT).dtype == torch.bfloat16
    assert mix_noise(x_BDT, 0.1, noise_BDT).dtype == torch.bfloat16


def test_sample_std_is_the_populations(clips):
    expected = [x.numpy().std() for x in clips[0]]
    torch.testing.assert_close(sample_std(clips[0]), torch.tensor(expected))
    assert sample_std(torch.full((1, 1, 1), 7.0)).item() == 0.0


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


def test_remixing_takes_noise_away(clips):
    """Where the generator finds the music itself, the result is that music, mixed with the same noise at a lower
    alpha; at 0 it is what was made."""
    x_BDT, noise_BDT = (t.double() for t in clips)
    mixed_BDT = mix_noise(x_BDT, 0.8, noise_BDT)
    remixed_BDT = remix_noise(mixed_BDT, x_BDT, 0.8, 0.3)
    torch.testing.assert_close(remixed_BDT, mix_noise(x_BDT, 0.3, noise_BDT))
    again_BDT = remix_noise(remixed_BDT, x_BDT, 0.3, 0.1)
    torch.testing.assert_close(again_BDT, remix_noise(mixed_BDT, x_BDT, 0.8, 0.1))
    torch.testing.assert_close(remix_noise(mixed_BDT, x_BDT, 0.8, 0.0), x_BDT)


@pytest.mark.parametrize(("alpha", "lower"), [(0.3, 0.3), (0.3, 0.5), (0.3, -0.1)])
def test_remixing_never_adds_noise(clips, alpha, lower):
    with pytest.raises(AssertionError, match="taken away"):
        remix_noise(*clips, alpha, lower)


def images(*clips_BDT):
    """The same numbers as [B, C, H, W]."""
    return [clip_BDT.view(3, 16, 20, 25) for clip_BDT in clips_BDT]


def test_samples_of_more_axes_have_one_deviation_each(clips):
    (image,) = images(clips[0])
    torch.testing.assert_close(sample_std(image), sample_std(clips[0]))
    torch.testing.assert_close(sample_std(image), image.std(dim=(1, 2, 3), correction=0))


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0, torch.tensor([0.0, 0.4, 1.0])])
def test_samples_of_more_axes_are_mixed_as_those_of_two(clips, alpha):
    image, noise = images(*clips)
    mixed = mix_noise(image, alpha, noise)
    assert mixed.shape == image.shape
    torch.testing.assert_close(mixed.flatten(2), mix_noise(*(clips[0], alpha, clips[1])))
    if isinstance(alpha, torch.Tensor):
        assert torch.equal(mixed[0], image[0])


def test_samples_of_more_axes_are_remixed_as_those_of_two(clips):
    image, noise = (t.double() for t in images(*clips))
    mixed = mix_noise(image, 0.8, noise)
    remixed = remix_noise(mixed, image, 0.8, 0.3)
    torch.testing.assert_close(remixed, mix_noise(image, 0.3, noise))
    torch.testing.assert_close(remixed.flatten(2), remix_noise(mixed.flatten(2), clips[0].double(), 0.8, 0.3))


def test_noise_of_another_shape_is_refused(clips):
    with pytest.raises(AssertionError, match="noise"):
        mix_noise(clips[0], 0.5, clips[1][:, :, :1])


@given(st.floats(0.02, 1.0), st.floats(0.01, 0.99))
def test_the_mean_alpha_of_a_step_is_weighed_as_the_step_is(alpha, share):
    """Against the sum over small pieces of (1 - alpha) / alpha."""
    lower = alpha * share
    edges = torch.linspace(alpha, lower, 4001, dtype=torch.float64)
    pieces = ((1 - edges) / edges).diff()
    expected = float((pieces * (edges[1:] + edges[:-1]) / 2).sum() / pieces.sum())
    assert mean_alpha(alpha, lower) == pytest.approx(expected, rel=2e-3)
    assert lower <= mean_alpha(alpha, lower) <= alpha


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


def test_slow_noise_wanders_along_the_last_axis():
    """Each row of an image by itself, whatever lies before its last axis."""
    white = torch.randn(2, 3, 4, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = slow_noise(white.view(2, 12, 50), 10).view_as(white)
    torch.testing.assert_close(slow_noise(white, 10), wanted)


def fade(name):
    return FADES[name].load()


@given(st.sampled_from(sorted(FADES)), st.floats(0, 1))
def test_what_is_left_of_a_weight_is_a_share(name, alpha):
    assert 0 <= fade(name)(alpha) <= 1 + 1e-12


@given(st.sampled_from(sorted(FADES)), st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_a_fade_of_many_alphas_is_that_of_each(name, alphas):
    shares_B = fade(name)(torch.tensor(alphas, dtype=torch.float64))
    assert shares_B.tolist() == pytest.approx([fade(name)(alpha) for alpha in alphas])


def test_what_fades_between_counts_where_half_is_known():
    shares = fade("between")(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]))
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.36, 1.0, 0.36, 0.0]))


@pytest.mark.parametrize(
    ("name", "alpha", "weight"),
    [("off", 1.0, 1.0), ("linear", 0.25, 0.75), ("linear", 1.0, 0.0), ("known", 0.5, 0.5), ("known", 0.25, 0.9)],
)
def test_fades_by_their_formulas(name, alpha, weight):
    assert fade(name)(alpha) == pytest.approx(weight)
    torch.testing.assert_close(fade(name)(torch.tensor([alpha])), torch.tensor([weight]))


@given(st.sampled_from(["off", "linear", "known"]), st.floats(0, 1), st.floats(0, 1))
def test_fades_but_the_one_between_fall_from_one(name, alpha, more):
    low, high = sorted((alpha, more))
    assert fade(name)(high) <= fade(name)(low) + 1e-12
    assert fade(name)(0.0) == 1.0 and fade(name)(1.0) == (1.0 if name == "off" else 0.0)


def test_the_known_fade_is_the_share_of_variance_explained(clips):
    x_BDT, noise_BDT = clips
    mixed = mix_noise(x_BDT[1:2], 0.4, noise_BDT[1:2]).flatten()
    correlation = torch.corrcoef(torch.stack([x_BDT[1].flatten(), mixed]))[0, 1].item()
    assert known_fade(0.4) == pytest.approx(correlation**2, abs=0.02)
