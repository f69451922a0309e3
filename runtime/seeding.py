"""Seeds as functions of counters: no random number of a run depends on the hidden state of a generator.

Noise is a function of (seed, purpose, global sample index), so one rank and many ranks see the same samples with the
same noise, and a resumed run continues bit for bit. CPUs draw with torch's own generator, seeded for each row; other
devices draw all rows at once (`runtime.counter_noise`).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

import torch
from torch import Tensor

from runtime import devices
from runtime.counter_noise import normal_rows, uniform_rows

_MASK = (1 << 64) - 1


class Purpose(IntEnum):
    """What random numbers are drawn for; each purpose has its own stream."""

    INPUT_NOISE = 1
    TARGET_NOISE = 2
    PENALTY = 3
    INSTANCE_REAL = 4
    INSTANCE_FAKE = 5
    MASK = 6
    ALPHA = 7
    INTERPOLATE = 8
    ORDER = 9
    PARTNER = 10
    CROP = 11
    DROPOUT = 12
    WEIGHTS = 13
    VALIDATION = 14
    SAMPLES = 15
    SCALES = 16
    EASY = 17
    OFFSET = 18
    WINDOW = 19
    CLASSIFIER = 20
    LABELS = 21
    RENOISE = 22


def mix_seed(*parts: int) -> int:
    """Hashes integers to a 63-bit seed (splitmix64's finaliser, Steele et al. 2014, applied part by part)."""
    state = 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ (int(part) & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seeds torch's global generators, from which dropout draws, for one step of one rank.

    The same as `torch.manual_seed`, which also checks devices that do not exist and takes 0.2 ms for it.
    """
    number = mix_seed(seed, Purpose.DROPOUT, step, rank)
    torch.default_generator.manual_seed(number)
    devices.seed(number)


_counted_everywhere = False


@contextmanager
def counted_on_cpus() -> Iterator[None]:
    """CPUs draw as GPUs do, so that the same training on both can be compared."""
    global _counted_everywhere
    before, _counted_everywhere = _counted_everywhere, True
    try:
        yield
    finally:
        _counted_everywhere = before


def normal(
    seed: int, purpose: Purpose, indices: Iterable[int], shape: Sequence[int], device: str | torch.device
) -> Tensor:
    """Standard normal numbers `[B, *shape]` (float32), row b depends on (seed, purpose, indices[b]) alone."""
    return _draw((torch.Tensor.normal_, normal_rows), seed, purpose, list(indices), shape, device)


def uniform(
    seed: int, purpose: Purpose, indices: Iterable[int], shape: Sequence[int], device: str | torch.device
) -> Tensor:
    """Uniform numbers in [0, 1) `[B, *shape]` (float32), row b depends on (seed, purpose, indices[b]) alone."""
    return _draw((torch.Tensor.uniform_, uniform_rows), seed, purpose, list(indices), shape, device)


def _draw(ways, seed: int, purpose: Purpose, indices: list[int], shape: Sequence[int], device) -> Tensor:
    """`ways`: one to fill a row with a seeded generator, and one for all rows at once."""
    fill, all_rows = ways
    keys = [mix_seed(seed, purpose, index) for index in indices]
    if _counted_everywhere or torch.device(device).type != "cpu":
        drawn = all_rows(keys, math.prod(shape), devices.for_integers(device))
        return drawn.to(device).view(len(keys), *shape)
    out = torch.empty(len(indices), *shape, device=device)
    generator = torch.Generator(device=device)
    for row, key in zip(out, keys, strict=True):
        fill(row, generator=generator.manual_seed(key))
    return out
