"""Shapes: B batch, D latent channels, T frames."""

import math

import pytest
import torch
from torch import nn

from losses import penalties
from losses.penalties import (
    exact_penalty,
    finite_difference_penalty,
    interpolate_penalty,
    join_perturbed,
    split_penalties,
)

SIGMA, RATE = 0.01, 75  # RATE: frames to a second, the unit of length


class AveragingCritic(nn.Module):
    """A smooth network over frames, its answer averaged over time; circular, so that a tiled clip has no seams."""

    def __init__(self, kernel=1):
        super().__init__()
        torch.manual_seed(0)
        pad = kernel // 2
        self.into = nn.Conv1d(4, 8, kernel, padding=pad, padding_mode="circular" if pad else "zeros")
        self.out = nn.Conv1d(8, 1, 1, bias=False)
        self.double()

    def forward(self, x_BDT):
        return self.out(torch.tanh(self.into(x_BDT))).mean(dim=(1, 2))


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def exact(critic, x_BDT):
    x_BDT = x_BDT.detach().requires_grad_()
    return exact_penalty(critic(x_BDT), x_BDT, x_BDT.shape[-1] / RATE)


def test_a_linear_critic_has_a_known_penalty():
    weight_DT = noise(4, 150)
    x_BDT = noise(3, 4, 150, seed=1)
    penalty_B = exact(lambda x: (x * weight_DT).sum(dim=(1, 2)), x_BDT)
    torch.testing.assert_close(penalty_B, torch.full((3,), 2.0, dtype=torch.float64) * weight_DT.square().sum())


def test_the_exact_penalty_teaches_the_critic():
    critic, x_BDT = AveragingCritic(3), noise(2, 4, 20)
    optimizer = torch.optim.SGD(critic.parameters(), lr=1.0)
    before = exact(critic, x_BDT).mean()
    before.backward()
    optimizer.step()
    assert exact(critic, x_BDT).mean() < 0.99 * before


def test_double_backward_of_the_exact_penalty_is_right():
    weight_DT = noise(4, 5).requires_grad_()
    x_BDT = noise(2, 4, 5, seed=1)
    assert torch.autograd.gradcheck(lambda w: exact(lambda x: torch.tanh(x * w).sum(dim=(1, 2)), x_BDT), (weight_DT,))


@pytest.mark.parametrize("penalty", ["exact", "interpolate"])
def test_gradients_of_the_joined_batch_are_the_mean_of_its_halves(penalty):
    critic, x_BDT, y_BDT, u_B = AveragingCritic(3), noise(4, 4, 20), noise(4, 4, 20, seed=1), noise(4).sigmoid()

    def gradient(rows):
        critic.zero_grad()
        joined = interpolate_penalty(critic, x_BDT[rows], y_BDT[rows], u_B[rows])
        (exact(critic, x_BDT[rows]) if penalty == "exact" else joined).mean().backward()
        return critic.into.weight.grad.clone()

    torch.testing.assert_close(gradient(slice(None)), (gradient(slice(2)) + gradient(slice(2, 4))) / 2)


def test_finite_differences_agree_with_the_exact_penalty_to_one_percent():
    """40 000 e for each of two clips: the standard error of the mean of squared normals is sqrt(2 / n) = 0.7 %."""
    critic, x_BDT = AveragingCritic(3), noise(2, 4, 12)
    exact_B = exact(critic, x_BDT)
    for clip_DT, exact_value in zip(x_BDT, exact_B, strict=True):
        e_BDT = noise(40_000, 4, 12, seed=3)
        copies_BDT = clip_DT.expand_as(e_BDT)
        with torch.no_grad():
            logits = critic(copies_BDT), critic(copies_BDT + SIGMA * e_BDT)
            penalty_B = finite_difference_penalty(*logits, 12 / RATE, SIGMA)
        assert penalty_B.mean().item() == pytest.approx(exact_value.item(), rel=0.01)


def test_finite_difference_gradients_agree_with_exact_ones():
    critic, x_BDT = AveragingCritic(3), noise(1, 4, 12)
    exact(critic, x_BDT).mean().backward()
    wanted = critic.into.weight.grad.clone()
    critic.zero_grad()
    e_BDT = noise(40_000, 4, 12, seed=5)
    copies_BDT = x_BDT.expand_as(e_BDT)
    logits = critic(copies_BDT), critic(copies_BDT + SIGMA * e_BDT)
    finite_difference_penalty(*logits, 12 / RATE, SIGMA).mean().backward()
    assert (critic.into.weight.grad - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize("length", [0.4, 1.0, 7.5])
def test_one_direction_is_the_closed_form(length):
    weight_DT, e_BDT = noise(4, 30), noise(2, 4, 30, seed=1)
    logits_B = torch.zeros(2, dtype=torch.float64)
    slope_B = (e_BDT * weight_DT).sum(dim=(1, 2))
    penalty_B = finite_difference_penalty(logits_B, logits_B + SIGMA * slope_B, length, SIGMA)
    torch.testing.assert_close(penalty_B, slope_B.square() * length)


def test_penalties_grow_with_the_length_that_they_are_given():
    critic, x_BDT, e_BDT = AveragingCritic(3), noise(3, 4, 20).requires_grad_(), noise(3, 4, 20, seed=1)
    logits_B = critic(x_BDT)
    for penalty in (
        lambda length: exact_penalty(logits_B, x_BDT, length),
        lambda length: finite_difference_penalty(logits_B, critic(x_BDT + SIGMA * e_BDT), length, SIGMA),
    ):
        torch.testing.assert_close(penalty(3.0), 3 * penalty(1.0))


def test_the_step_of_the_finite_differences_is_a_twentieth_unless_given():
    critic, e_BDT = AveragingCritic(3), noise(6, 4, 20, seed=2)
    real_BDT, fake_BDT = noise(3, 4, 20), noise(3, 4, 20, seed=1)
    joined = join_perturbed(real_BDT, fake_BDT, e_BDT)
    assert penalties.SIGMA == 0.05
    torch.testing.assert_close(joined, join_perturbed(real_BDT, fake_BDT, e_BDT, 0.05))
    for got, wanted in zip(
        split_penalties(critic(joined), 2.0), split_penalties(critic(joined), 2.0, 0.05), strict=True
    ):
        assert torch.equal(got, wanted)
    clean_B, moved_B = critic(joined)[:6], critic(joined)[6:]
    torch.testing.assert_close(
        finite_difference_penalty(clean_B, moved_B, 2.0), 2.0 * ((moved_B - clean_B) / 0.05) ** 2
    )


def test_a_joined_forward_equals_two():
    critic, real_BDT, fake_BDT, e_NDT = AveragingCritic(3), noise(3, 4, 20), noise(3, 4, 20, seed=1), noise(6, 4, 20)
    joined = join_perturbed(real_BDT, fake_BDT, e_NDT, SIGMA)
    assert joined.shape == (12, 4, 20)
    real_B, fake_B, r1_B, r2_B = split_penalties(critic(joined), 20 / RATE, SIGMA)
    torch.testing.assert_close(real_B, critic(real_BDT))
    torch.testing.assert_close(fake_B, critic(fake_BDT))
    for got_B, clean_BDT, e_BDT in ((r1_B, real_BDT, e_NDT[:3]), (r2_B, fake_BDT, e_NDT[3:])):
        moved_B = critic(clean_BDT + SIGMA * e_BDT)
        torch.testing.assert_close(got_B, finite_difference_penalty(critic(clean_BDT), moved_B, 20 / RATE, SIGMA))


def test_half_precision_logits_are_refused():
    half_B = torch.zeros(2, dtype=torch.bfloat16)
    with pytest.raises(AssertionError, match="float32"):
        finite_difference_penalty(half_B, half_B, 10 / RATE)


@pytest.mark.parametrize("kernel", [1, 5])
def test_the_weight_carries_over_from_4_to_16_seconds(kernel):
    critic = AveragingCritic(kernel)
    short_BDT, other_BDT = noise(3, 4, 300), noise(3, 4, 300, seed=1)
    long_BDT, other_long_BDT = short_BDT.repeat(1, 1, 4), other_BDT.repeat(1, 1, 4)
    torch.testing.assert_close(exact(critic, long_BDT), exact(critic, short_BDT))
    u_B = noise(3).sigmoid()
    torch.testing.assert_close(
        interpolate_penalty(critic, long_BDT, other_long_BDT, u_B, per_element=True),
        interpolate_penalty(critic, short_BDT, other_BDT, u_B, per_element=True),
    )


def test_the_finite_difference_weight_carries_over_in_expectation():
    """For a critic linear in x the penalty's expectation is exact; here a mean over 20 000 e (1 %) at two lengths."""
    weight_D1 = noise(4, 1)

    def mean_penalty(frames):
        e_BDT = noise(20_000, 4, frames, seed=7)
        logits_B = (weight_D1 * e_BDT).sum(1).mean(-1)
        none_B = torch.zeros_like(logits_B)
        return finite_difference_penalty(none_B, SIGMA * logits_B, frames / RATE, SIGMA).mean().item()

    short, long = mean_penalty(20), mean_penalty(80)
    assert short == pytest.approx(weight_D1.square().sum().item() / RATE, rel=0.03)
    assert long == pytest.approx(short, rel=0.04)


def test_interpolate_penalty_of_a_linear_critic():
    weight_DT = noise(4, 30)
    real_BDT, fake_BDT = noise(2, 4, 30), noise(2, 4, 30, seed=1)
    for per_element, scale in ((False, 1.0), (True, math.sqrt(120))):
        got_B = interpolate_penalty(
            lambda x: (x * weight_DT).sum(dim=(1, 2)), real_BDT, fake_BDT, torch.rand(2), per_element
        )
        slope = scale * weight_DT.norm().item()
        assert got_B.tolist() == pytest.approx([(slope - 1) ** 2] * 2)


@pytest.mark.parametrize("shape", [(2, 8), (4, 30), (128, 152)])
def test_a_critic_of_slope_one_has_no_penalty_whatever_the_size(shape):
    """So lambda 10 means what it means elsewhere: a critic of slope 2 pays 10, one of slope 0 as well."""
    weight_DT = noise(*shape) / noise(*shape).norm()
    real_BDT, fake_BDT = noise(2, *shape), noise(2, *shape, seed=1)
    for slope in (1.0, 2.0, 0.0):
        got_B = interpolate_penalty(
            lambda x, s=slope: s * (x * weight_DT).sum(dim=(1, 2)), real_BDT, fake_BDT, torch.rand(2)
        )
        assert (10 * got_B).tolist() == pytest.approx([10 * (slope - 1) ** 2] * 2, abs=1e-4)


def test_slope_one_per_element_means_the_gap_is_in_units_of_rmse():
    """A critic of slope 1 along the difference of two clips tells them apart by exactly their RMSE."""
    real_BDT, fake_BDT = noise(1, 4, 30), noise(1, 4, 30, seed=1)
    rmse = (real_BDT - fake_BDT).square().mean().sqrt()
    direction_BDT = (real_BDT - fake_BDT) / rmse / real_BDT[0].numel()

    def critic(x_BDT):
        return (x_BDT * direction_BDT).sum(dim=(1, 2))

    penalty_B = interpolate_penalty(critic, real_BDT, fake_BDT, torch.rand(1), per_element=True)
    assert penalty_B.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(critic(real_BDT) - critic(fake_BDT), rmse.view(1))


def test_interpolates_lie_between_real_and_fake():
    seen = []

    def critic(x_BDT):
        seen.append(x_BDT)
        return x_BDT.square().sum(dim=(1, 2))

    real_BDT, fake_BDT = noise(3, 4, 5), noise(3, 4, 5, seed=1)
    u_B = torch.tensor([1.0, 0.0, 0.25])
    interpolate_penalty(critic, real_BDT, fake_BDT, u_B)
    expected_BDT = torch.stack([real_BDT[0], fake_BDT[1], 0.25 * real_BDT[2] + 0.75 * fake_BDT[2]])
    torch.testing.assert_close(seen[0].detach(), expected_BDT)


def test_no_nan_where_the_critic_is_flat():
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    real_BDT = noise(2, 4, 5)
    penalty_B = interpolate_penalty(lambda x: (weight * x).sum(dim=(1, 2)), real_BDT, -real_BDT, torch.rand(2))
    penalty_B.sum().backward()
    torch.testing.assert_close(penalty_B, torch.ones_like(penalty_B), atol=1e-5, rtol=0)
    assert torch.isfinite(weight.grad).all()


def test_penalties_know_samples_of_more_axes():
    """Images [B, C, H, W] against the same numbers as [B, C, H W]; all axes but the batch's belong to the sample."""
    weight_CX = noise(4, 30)

    def critic(x):
        return torch.tanh(x.flatten(2) * weight_CX).sum(dim=(1, 2))

    real, fake, u_B = noise(3, 4, 30), noise(3, 4, 30, seed=1), torch.tensor([0.0, 0.3, 1.0])
    image = real.view(3, 4, 5, 6)
    shaped = image.clone().requires_grad_()
    flat = real.clone().requires_grad_()
    torch.testing.assert_close(exact_penalty(critic(shaped), shaped, 2.0), exact_penalty(critic(flat), flat, 2.0))
    assert exact_penalty(critic(shaped), shaped, 2.0).shape == (3,)
    torch.testing.assert_close(
        interpolate_penalty(critic, image, fake.view(3, 4, 5, 6), u_B), interpolate_penalty(critic, real, fake, u_B)
    )
    e = noise(6, 4, 30, seed=2)
    joined = join_perturbed(image, fake.view(3, 4, 5, 6), e.view(6, 4, 5, 6), SIGMA)
    assert joined.shape == (12, 4, 5, 6)
    torch.testing.assert_close(joined.flatten(2), join_perturbed(real, fake, e, SIGMA))
