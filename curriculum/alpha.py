"""Alpha, the noise level of the pure-GAN curriculum: the share of noise in the generator's input, epoch by epoch.

Epochs are counted from 1, as users say them. `alpha` lies between 0 (music) and 1 (noise). Shapes: B batch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def alpha_at(epoch: int, rate: float, start_epoch: int, ceiling: float) -> float:
    """min(ceiling, rate * max(0, epoch - max(start_epoch, 1) + 1)): the first noisy epoch is `start_epoch` itself.

    A start of 0 means 1; with a rate of 0, alpha stays 0.
    """
    assert epoch >= 1, f"epochs count from 1, not {epoch}"
    return min(ceiling, rate * max(0, epoch - max(start_epoch, 1) + 1))


def phase_at(alpha: float, ceiling: float, rate: float) -> str:
    """ "music" before the curriculum begins (or where its rate is 0), "noise" at its ceiling, "transition" between."""
    if rate <= 0 or alpha <= 0:
        return "music"
    rounding = 1e-9  # rate * epochs may miss the ceiling by a rounding error
    return "noise" if alpha >= ceiling - rounding else "transition"


def ease_alpha(alpha_B: Tensor, uniform_B2: Tensor, share: float) -> Tensor:
    """With probability `share` a sample's alpha is drawn evenly from 0 to its own instead, from uniforms in [0, 1).

    So the network still sees lower noise levels when the schedule has reached pure noise. With share 1 it is trained at
    all noise levels, and generation may use several sampling steps.
    """
    return torch.where(uniform_B2[:, 0] < share, uniform_B2[:, 1] * alpha_B, alpha_B)


@dataclass(frozen=True)
class AdaptiveAlpha:
    """State of the adaptive curriculum; plain numbers, so that checkpoints can hold it (`dataclasses.asdict`)."""

    alpha: float = 0.0
    speed: float = 1.0


def adapt_alpha(
    state: AdaptiveAlpha,
    val_loss: float | None,
    *,
    epoch: int,
    rate: float,
    start_epoch: int,
    ceiling: float,
    threshold: float,
    slow: float = 0.9,
    fast: float = 1.1,
    floor: float = 0.0,
) -> AdaptiveAlpha:
    """The state for `epoch` (from 1), given the state of the epoch before and its validation loss (None: none yet).

    Noise begins at `start_epoch` with alpha = rate, or the floor if that is higher. From then on a loss over the
    threshold (or NaN) multiplies alpha by `slow`, one under it by `fast`; alpha stays between the floor (0: the rate)
    and the ceiling, which wins. Without a validation alpha is unchanged.
    """
    if rate <= 0 or epoch < max(start_epoch, 1):
        return state
    if state.alpha == 0:
        return AdaptiveAlpha(min(ceiling, max(floor, rate)))
    factor = _reaction(val_loss, threshold, slow, fast)
    return AdaptiveAlpha(min(ceiling, max(floor or rate, state.alpha * factor)))


def _reaction(val_loss: float | None, threshold: float, slow: float, fast: float) -> float:
    """`fast` for a loss under the threshold, `slow` for one over it or NaN, 1 at it or without one."""
    if val_loss is None or val_loss == threshold:
        return 1.0
    return fast if val_loss < threshold else slow


def adapt_speed(
    state: AdaptiveAlpha,
    val_loss: float | None,
    *,
    epoch: int,
    rate: float,
    start_epoch: int,
    ceiling: float,
    threshold: float,
    slow: float = 0.9,
    fast: float = 1.1,
    speed_range: tuple[float, float] = (0.1, 10.0),
    floor: float = 0.0,
) -> AdaptiveAlpha:
    """The state for `epoch` (from 1), given the state of the epoch before and its validation loss (None: none yet).

    Once the curriculum has begun, a loss over the threshold (or NaN) multiplies its speed by `slow`, one under it by
    `fast`, within `speed_range`; then alpha moves by rate * speed, up to the ceiling. It never decreases (unless
    the run is resumed with a lower ceiling), and is never below `floor` from `start_epoch` on.
    At speed 1 this is `alpha_at`.
    """
    if rate <= 0 or epoch < max(start_epoch, 1):
        return state
    speed = state.speed
    if state.alpha > 0:
        speed *= _reaction(val_loss, threshold, slow, fast)
        speed = min(max(speed, speed_range[0]), speed_range[1])
    alpha = min(ceiling, max(floor, state.alpha + rate * speed))
    return AdaptiveAlpha(alpha, speed)
