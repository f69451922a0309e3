"""Random numbers that are a function of (key, position): one drawing of all rows, the same on every device.

SplitMix64 (Steele et al. 2014): number n of the stream of a key is a hash of key + n * 0x9E37..15. A GPU computes all
rows in some twenty kernels, where a generator per row takes three launches for each of them. Torch has no unsigned
64-bit arithmetic, so signed numbers wrap around; their products have the same bits.

B rows, N numbers of a row.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _signed(number: int) -> int:
    """The 64 bits of an unsigned number as a signed one."""
    return number - (1 << 64) if number >> 63 else number


def _shifted(x: Tensor, bits: int) -> Tensor:
    """The logical shift to the right; torch's own copies the sign."""
    return (x >> bits) & ((1 << 64 - bits) - 1)


def bits(keys: Sequence[int], count: int, device: str | torch.device) -> Tensor:
    """64 random bits for each of `count` positions of each key, int64 [B, count]."""
    # Without `non_blocking` the host would wait for all that the device has yet to do.
    keys_B = torch.tensor([_signed(key % (1 << 64)) for key in keys], dtype=torch.int64).to(device, non_blocking=True)
    x = torch.arange(1, count + 1, device=device) * _signed(_GOLDEN) + keys_B[:, None]
    x = (x ^ _shifted(x, 30)) * _signed(_FIRST)
    x = (x ^ _shifted(x, 27)) * _signed(_SECOND)
    return x ^ _shifted(x, 31)


def uniform_rows(keys: Sequence[int], count: int, device: str | torch.device) -> Tensor:
    """Multiples of 2^-24 in [0, 1), float32 [B, count]: the same bits on every device."""
    return _shifted(bits(keys, count, device), 40).float() * 2.0**-24


def normal_rows(keys: Sequence[int], count: int, device: str | torch.device) -> Tensor:
    """Standard normal numbers, float32 [B, count], by Box & Muller 1958; devices differ in the last bits of a logarithm
    and a cosine. The largest is 5.9."""
    x = bits(keys, count, device)
    radius = torch.sqrt(-2 * torch.log((_shifted(x, 40).float() + 0.5) * 2.0**-24))
    return radius * torch.cos((x & 0xFFFFFF).float() * (2 * math.pi * 2.0**-24))
