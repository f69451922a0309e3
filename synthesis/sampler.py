"""From noise to music in several sampling steps: what the generator made is its next source, under the same noise, but
less.

Legend: B samples, D channels, T positions; sources are normalised.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from curriculum.pure_gan import mean_alpha, remix_noise

Make = Callable[[Tensor, Tensor, float | Tensor], Tensor]


def sample(
    make: Make,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float = 1.0,
    steps: int = 1,
    channels: tuple[int, int] | None = None,
    within: Callable[[Tensor], Tensor] = lambda made_BDT: made_BDT,
) -> Tensor:
    """What `make(input, target, alpha) -> [B, D, T]` makes of two sources with a share `alpha` of noise.

    Noise goes down as `noise_levels` says; the last output is the answer. From the second step on, a step goes by a
    line through the last two outputs: by its value at the step's mean alpha. That is a multistep method of second
    order, like DPM-Solver++(2M) (Lu et al. 2022, alg. 2), whose line runs over log((1 - alpha) / alpha), this one over
    alpha. Steps that go by their own outputs alone lose variety.
    channels: the only ones with noise (from, up to); the others stay as they were given in every step. Sources without
    noise are passed through once.
    within: keeps what each of several steps makes in the range of real samples; where a step goes beyond it, the next
    one goes further (static thresholding: Saharia et al. 2022, sec. 2.3).
    """
    if steps == 1 or alpha == 0:
        return make(input_BDT, target_BDT, alpha)
    levels = noise_levels(alpha, steps)
    sources = (input_BDT, target_BDT)
    earlier_BDT = made_BDT = within(make(*sources, alpha))
    for before, level, lower in zip([None, *levels], levels, levels[1:], strict=False):
        reach = 1.0 if before is None else (mean_alpha(level, lower) - before) / (level - before)
        ahead_BDT = within(torch.lerp(earlier_BDT, made_BDT, reach))
        sources = tuple(_only(channels, x_BDT, remix_noise(x_BDT, ahead_BDT, level, lower)) for x_BDT in sources)
        earlier_BDT, made_BDT = made_BDT, within(make(*sources, lower))
    return made_BDT


def noise_levels(alpha: float, steps: int) -> list[float]:
    """The share of noise in step k = 0, 1, ...: alpha (1 - (k / steps)^2).

    Steps are closer where there is much noise, since there the music is decided (docs/experiments.md compares).
    """
    return [alpha * (1 - (k / steps) ** 2) for k in range(steps)]


def _only(channels: tuple[int, int] | None, old_BDT: Tensor, new_BDT: Tensor) -> Tensor:
    if channels is None:
        return new_BDT
    first, last = channels
    return torch.cat([old_BDT[:, :first], new_BDT[:, first:last], old_BDT[:, last:]], dim=1)
