"""The noise of a clip: plain draws, interpolation between two seeds, variations of one clip."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Origin:
    """Noise is a function of (seed, index), as training draws it for sample `index` of a run of that seed."""

    seed: int
    index: int = 0


@dataclass(frozen=True)
class Draw:
    """The noise of one clip: that of `start`, rotated by `share` (0 to 1) of the angle towards that of `end`."""

    start: Origin
    end: Origin | None = None
    share: float = 0.0


def plain(seed: int, num: int) -> list[Draw]:
    """Clips 0 to num - 1 of a seed."""
    return [Draw(Origin(seed, index)) for index in range(num)]


def interpolation(seed_a: int, seed_b: int, steps: int) -> list[Draw]:
    """From clip 0 of one seed to clip 0 of another in `steps` clips (2 or more), the ends included."""
    return [Draw(Origin(seed_a), Origin(seed_b), step / (steps - 1)) for step in range(steps)]


def variations(seed: int, num: int, strength: float) -> list[Draw]:
    """Clip 0 of a seed, moved by `strength` (0: itself, 1: another clip) towards clips 1 to num of that seed."""
    return [Draw(Origin(seed), Origin(seed, index), strength) for index in range(1, num + 1)]


def blend(draw: Draw, of: Callable[[Origin], Tensor], mix: Callable[[Tensor, Tensor, float], Tensor]) -> Tensor:
    """`of(start)` of a draw, mixed with `of(end)` by the draw's share."""
    start = of(draw.start)
    return start if draw.end is None else mix(start, of(draw.end), draw.share)


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Spherical interpolation (Shoemake 1985): share 0 is a and 1 is b, bit for bit; the norm is kept in between.
    Linear interpolation would halve the variance of the noise."""
    x, y = (one.flatten().cpu().double() for one in (a, b))
    cosine = torch.dot(x, y) / (x.norm() * y.norm())
    angle = torch.acos(cosine.clamp(-1, 1))
    if angle.sin() < 1e-6:  # (anti)parallel: no plane of rotation
        return torch.lerp(a, b, share)
    weights = torch.stack([torch.sin((1 - share) * angle), torch.sin(share * angle)]) / angle.sin()
    return weights[0].to(a.dtype) * a + weights[1].to(a.dtype) * b
