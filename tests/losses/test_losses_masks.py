"""Shapes: B batch, D latent channels, T frames."""

import pytest
import torch

from losses.masks import COMPLEMENTARITY_BASELINE, complementarity, mask_balance, mask_regularisation


def constant(value):
    return torch.full((2, 4, 6), value, dtype=torch.float64)


def alternating():
    """0, 1, 0, 1 ... in time: variance 1/4."""
    return (torch.arange(6, dtype=torch.float64) % 2).expand(2, 4, 6)


@pytest.mark.parametrize(
    ("input_mask", "target_mask", "expected"),
    [
        (constant(0.5), constant(0.5), 10 * 0.25 + 0 + 5 * 0.1),
        (constant(1.0), constant(1.0), 10 + 0.5 + 5 * 0.1),
        (constant(0.0), constant(0.0), 0 + 0.5 + 5 * 0.1),
        (alternating(), 1 - alternating(), 0.0),
        (alternating(), alternating(), 10 * 0.5 + 0.5 + 0),
        (0.4 * alternating(), 1 - 0.4 * alternating(), 10 * 0.12 + 0 + 5 * 2 * (0.05 - 0.04)),
    ],
)
def test_mask_regularisation_in_closed_form(input_mask, target_mask, expected):
    assert mask_regularisation(input_mask, target_mask).tolist() == pytest.approx([expected] * 2)


def test_a_mask_may_leave_some_channels_alone():
    half_BDT = alternating().clone()
    half_BDT[:, :2] = 1.0  # variance 1/4 in half of the channels: 1/8 on average
    assert mask_regularisation(half_BDT, 1 - half_BDT).tolist() == pytest.approx([0.0] * 2)


@pytest.mark.parametrize(("means", "expected"), [((0.5, 0.5), 0.0), ((1.0, 0.0), 0.5), ((0.6, 0.3), 0.05)])
def test_balance_in_closed_form(means, expected):
    assert mask_balance(constant(means[0]), constant(means[1])).tolist() == pytest.approx([expected] * 2)


def test_complementarity_and_its_baseline():
    assert complementarity(constant(0.5), constant(0.5)).tolist() == [COMPLEMENTARITY_BASELINE] * 2
    assert complementarity(alternating(), 1 - alternating()).tolist() == [1.0] * 2
    assert complementarity(constant(1.0), constant(1.0)).tolist() == [0.0] * 2


@pytest.mark.parametrize("loss", [mask_regularisation, mask_balance, complementarity])
def test_every_sample_counts_by_itself(loss):
    masks = [torch.rand(3, 4, 6, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    alone = torch.cat([loss(masks[0][b : b + 1], masks[1][b : b + 1]) for b in range(3)])
    torch.testing.assert_close(loss(*masks), alone)


@pytest.mark.parametrize("loss", [mask_regularisation, mask_balance])
def test_gradients(loss):
    generator = torch.Generator().manual_seed(0)
    masks = [torch.rand(2, 3, 4, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(loss, tuple(masks))


def test_a_single_frame_gives_no_nan():
    mask_BDT = torch.full((1, 3, 1), 0.5, requires_grad=True)
    mask_regularisation(mask_BDT, 1 - mask_BDT).sum().backward()
    assert torch.isfinite(mask_BDT.grad).all()
