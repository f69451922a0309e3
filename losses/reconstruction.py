"""Regression losses of an output against a target: latents [B, D, T] or waveforms [B, 1, N].

Shapes: B batch. Each loss takes the mean over all but the batch and returns one value per sample. To add one: a
function and a line in `losses/options.py`.
"""

from torch import Tensor
from torch.nn import functional as F

SMOOTHING = 1e-8  # under the root of the RMSE, in squared units: its slope is 0, not infinite, at zero error


def _mean(error: Tensor) -> Tensor:
    return error.flatten(1).mean(1)


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, [B]."""
    return _mean((output - target).square())


def rmse(output: Tensor, target: Tensor) -> Tensor:
    """Root mean square error of each sample, smooth at zero: sqrt(mse + 1e-8), [B]; so it is 1e-4 at zero error."""
    return (mse(output, target) + SMOOTHING).sqrt()


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error, [B]."""
    return _mean((output - target).abs())


def huber(output: Tensor, target: Tensor) -> Tensor:
    """Huber 1964: half the squared error up to an error of 1, linear beyond; the mean, [B]."""
    return _mean(F.huber_loss(output, target, reduction="none"))
