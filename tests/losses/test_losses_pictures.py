"""Spectral angle, PSNR and SSIM against closed forms."""

import math

import pytest
import torch

from losses.pictures import psnr, spectral_angle, ssim

RNG = torch.Generator().manual_seed(0)


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=RNG, dtype=torch.float64)


def colour(*values: float) -> torch.Tensor:
    """A picture 4 x 4 of one colour, [1, C, 4, 4]."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1).expand(1, -1, 4, 4)


@pytest.mark.parametrize(
    ("one", "other", "angle"),
    [
        ((1, 0, 0), (0, 1, 0), math.pi / 2),
        ((1, 0, 0), (1, 1, 0), math.pi / 4),
        ((0.2, 0.2, 0.2), (0.9, 0.9, 0.9), 0.0),
        ((1, 1, 1), (1, 0, 0), math.acos(1 / math.sqrt(3))),
        ((0, 0, 0), (1, 0, 0), 0.0),  # black has no hue
    ],
)
def test_the_spectral_angle_is_that_between_colours(one, other, angle):
    assert spectral_angle(colour(*one), colour(*other)).item() == pytest.approx(angle, abs=3e-4)


def test_the_spectral_angle_has_a_finite_slope_everywhere():
    x = pictures(2, 3, 5, 5).requires_grad_()
    y = x.detach().clone()
    y[:, :, 0] = 0
    spectral_angle(x, y).sum().backward()
    assert x.grad.isfinite().all()
    zero = torch.zeros(1, 3, 4, 4, requires_grad=True)
    spectral_angle(zero, colour(1, 0, 0)).sum().backward()
    assert zero.grad.isfinite().all()


def test_psnr_of_a_constant_error():
    x = pictures(3, 1, 8, 8)
    for error in (0.1, 0.01):
        assert psnr(x + error, x).tolist() == pytest.approx([-20 * math.log10(error)] * 3)
    assert psnr(x, x).tolist() == [100.0] * 3


def test_ssim_of_constant_pictures():
    """Without variance it is (2 a b + c1) / (a^2 + b^2 + c1)."""
    a, b, c1 = 0.3, 0.8, 0.01**2
    one, other = (torch.full((1, 1, 16, 16), value, dtype=torch.float64) for value in (a, b))
    assert ssim(one, other).item() == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_ssim_by_its_definition_at_one_window():
    x, y = pictures(1, 1, 11, 11), pictures(1, 1, 11, 11)
    place = torch.arange(11, dtype=torch.float64) - 5
    weights = torch.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    mean = lambda z: (weights * z[0, 0]).sum().item()  # noqa: E731
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    assert ssim(x, y).item() == pytest.approx(expected)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise():
    x = pictures(2, 3, 20, 20)
    noise = pictures(2, 3, 20, 20) - 0.5
    values = [ssim((x + level * noise).clamp(0, 1), x) for level in (0.0, 0.2, 1.0)]
    assert values[0].tolist() == pytest.approx([1.0, 1.0])
    assert (values[0] > values[1]).all() and (values[1] > values[2]).all()


@pytest.mark.parametrize("side", [4, 7, 10])
def test_small_pictures_have_an_ssim(side):
    x = pictures(1, 1, side, side)
    assert ssim(x, x).item() == pytest.approx(1.0)
