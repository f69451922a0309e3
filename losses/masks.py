"""Losses and metrics of the two learned masks, m_i on the input and m_t on the target.

Shapes: B batch, D latent channels, T frames. Masks are [B, D, T] in [0, 1]; every function returns one value per
sample.
"""

import torch
from torch import Tensor
from torch.nn.functional import relu

COMPLEMENTARITY_BASELINE = 0.75  # value for constant masks of 0.5, logged for comparison
LEAST_VARIANCE = 0.05


def _too_still(mask_BDT: Tensor) -> Tensor:
    """How far the variance over time, averaged over channels, is under 0.05, [B]. A population variance: one frame has
    0. Averaged first, so that a mask may leave some channels alone."""
    return relu(LEAST_VARIANCE - mask_BDT.var(dim=2, correction=0).mean(1))


def mask_regularisation(input_mask_BDT: Tensor, target_mask_BDT: Tensor) -> Tensor:
    """10 mean(m_i m_t) + 0.5 mean((m_i + m_t - 1)^2) + 5 sum over both of relu(0.05 - Var_t m), [B].

    Masks should not overlap, should add up to one, and should vary over time.
    """
    overlap_B = (input_mask_BDT * target_mask_BDT).mean(dim=(1, 2))
    coverage_B = (input_mask_BDT + target_mask_BDT - 1).square().mean(dim=(1, 2))
    return 10 * overlap_B + 0.5 * coverage_B + 5 * (_too_still(input_mask_BDT) + _too_still(target_mask_BDT))


def mask_balance(input_mask_BDT: Tensor, target_mask_BDT: Tensor) -> Tensor:
    """(mean m_i - 0.5)^2 + (mean m_t - 0.5)^2, [B]: both sources should be used equally."""
    means = (mask_BDT.mean(dim=(1, 2)) for mask_BDT in (input_mask_BDT, target_mask_BDT))
    return sum((mean_B - 0.5).square() for mean_B in means)


def complementarity(input_mask_BDT: Tensor, target_mask_BDT: Tensor) -> Tensor:
    """1 - mean(m_i m_t), [B], a logged metric: 1 without overlap, `COMPLEMENTARITY_BASELINE` for masks of 0.5."""
    return 1 - (input_mask_BDT * target_mask_BDT).mean(dim=(1, 2))


def mask_metrics(input_mask_BDT: Tensor, target_mask_BDT: Tensor) -> dict[str, Tensor]:
    """Means over the batch of both losses and of what is logged beside them."""
    both = input_mask_BDT, target_mask_BDT
    metrics = {
        "loss/mask_reg": mask_regularisation(*both).mean(),
        "loss/balance": mask_balance(*both).mean(),
        "mask/complementarity": complementarity(*both).mean(),
    }
    return metrics | {"mask/baseline": torch.full_like(metrics["loss/balance"], COMPLEMENTARITY_BASELINE)}
