"""Sampling in several steps: the generator's output, with less of the same noise, is the source of the next step.

Legend: B samples, D channels, T positions; sources are normalised.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from curriculum.mixing import mean_alpha, per_sample, remix_noise

LOWEST = 1e-4  # noise level of a sample that takes several steps
Make = Callable[[Tensor, Tensor, float | Tensor], Tensor]


def sample(
    make: Make,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float | Tensor = 1.0,
    steps: int = 1,
    channels: tuple[int, int] | None = None,
    within: Callable[[Tensor], Tensor] = lambda made_BDT: made_BDT,
) -> Tensor:
    """Samples from two sources with noise level `alpha`, by calls of `make(input, target, alpha) -> [B, D, T]`.

    The noise level decreases as in `noise_levels`; the last output is the result. From the second step on, a step uses
    the line through the last two outputs, at the step's mean alpha. This is a second-order multistep method like
    DPM-Solver++(2M) (Lu et al. 2022, alg. 2), which is linear in log((1 - alpha) / alpha), while this one is linear in
    alpha. First-order steps, which use their own output alone, lose variety.
    alpha: one number, or one for each sample [B].
    channels: the only ones with noise (from, up to); the others keep their values in every step. Sources without noise
    take one step.
    within: limits the output of each step to the range of real samples; otherwise values outside it grow from step to
    step (static thresholding: Saharia et al. 2022, sec. 2.3).
    """
    if steps == 1 or (not isinstance(alpha, Tensor) and alpha == 0):
        return make(input_BDT, target_BDT, alpha)
    noisy_B = None
    if isinstance(alpha, Tensor):
        noisy_B, alpha = alpha > 0, alpha.clamp_min(LOWEST)
    shares, levels = noise_levels(1.0, steps), noise_levels(alpha, steps)
    sources = (input_BDT, target_BDT)
    first_BDT = earlier_BDT = made_BDT = within(make(*sources, alpha))
    for k, (level, lower) in enumerate(pairwise(levels)):
        reach = 1.0 if k == 0 else _reach(*shares[k - 1 : k + 2])
        ahead_BDT = within(torch.lerp(earlier_BDT, made_BDT, reach))
        sources = tuple(in_channels(channels, x_BDT, remix_noise(x_BDT, ahead_BDT, level, lower)) for x_BDT in sources)
        earlier_BDT, made_BDT = made_BDT, within(make(*sources, lower))
    if noisy_B is None:
        return made_BDT
    return torch.where(per_sample(noisy_B, made_BDT), made_BDT, first_BDT)


def _reach(before: float, level: float, lower: float) -> float:
    """Where between the last two outputs, of the levels `before` (0) and `level` (1), lies the mean alpha of the step
    to `lower`; levels relative to the first."""
    return (mean_alpha(level, lower) - before) / (level - before)


def noise_levels(alpha: float | Tensor, steps: int) -> list[float] | list[Tensor]:
    """The noise level of step k = 0, 1, ...: alpha (1 - (k / steps)^2).

    Steps are closer at high noise, where most of a sample is determined (docs/experiments.md compares spacings).
    """
    return [alpha * (1 - (k / steps) ** 2) for k in range(steps)]


def in_channels(channels: tuple[int, int] | None, old_BDT: Tensor, new_BDT: Tensor) -> Tensor:
    """The new values in the given channels (None: all), the old ones in the others."""
    if channels is None:
        return new_BDT
    first, last = channels
    return torch.cat([old_BDT[:, :first], new_BDT[:, first:last], old_BDT[:, last:]], dim=1)
