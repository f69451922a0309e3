"""Fades: what is left of a weight of 1 at a noise level alpha, one number or [B]."""

from torch import Tensor


def no_fade(alpha: float | Tensor) -> float | Tensor:
    """1 always."""
    return 0 * alpha + 1.0


def linear_fade(alpha: float | Tensor) -> float | Tensor:
    """1 - alpha."""
    return 1 - alpha


def known_fade(alpha: float | Tensor) -> float | Tensor:
    """k = (1 - alpha)^2 / ((1 - alpha)^2 + alpha^2): the share of the target's variance that the linear mix explains
    (R^2)."""
    return (1 - alpha) ** 2 / ((1 - alpha) ** 2 + alpha**2)


def between_fade(alpha: float | Tensor) -> float | Tensor:
    """4 k (1 - k): 1 at alpha = 0.5, where half of the target's variance is explained, 0 at both ends."""
    known = known_fade(alpha)
    return 4 * known * (1 - known)
