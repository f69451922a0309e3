"""Triangular filters over the bins of a Fourier transform, spaced along mel scales.

Shapes: M bands, F frequency bins (n_fft / 2 + 1).
"""

import math

import torch
from torch import Tensor


def triangular_filters(edges_hz: Tensor, sample_rate: int, n_fft: int) -> Tensor:
    """Filters of peak one, each from one edge over the next to the one after: M + 2 edges -> [M, F], float64."""
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    width = edges_hz.diff()[:, None]
    slopes = edges_hz[:, None] - bins  # [M + 2, F]
    rising, falling = -slopes[:-2] / width[:-1], slopes[2:] / width[1:]
    return torch.minimum(rising, falling).clamp(min=0)


def slaney_filters(
    sample_rate: int = 24_000, n_fft: int = 2048, bands: int = 128, f_min: float = 0.0, f_max: float = 12000.0
) -> Tensor:
    """Mel filters of unit area in Hz, float64 [bands, n_fft // 2 + 1].

    The scale is that of Slaney's Auditory Toolbox (1998): linear (66.7 Hz to a mel) up to 1 kHz, then logarithmic
    (27 mels to a factor of 6.4).
    """
    hz_per_mel, knee_hz, mels_per_log = 200 / 3, 1000.0, 27 / math.log(6.4)
    knee_mel = knee_hz / hz_per_mel

    def to_mel(hz: float) -> float:
        return hz / hz_per_mel if hz < knee_hz else knee_mel + mels_per_log * math.log(hz / knee_hz)

    mels = torch.linspace(to_mel(f_min), to_mel(f_max), bands + 2, dtype=torch.float64)
    edges = torch.where(mels < knee_mel, mels * hz_per_mel, knee_hz * torch.exp((mels - knee_mel) / mels_per_log))
    return triangular_filters(edges, sample_rate, n_fft) * (2 / (edges[2:] - edges[:-2]))[:, None]


def oshaughnessy_filters(sample_rate: int, n_fft: int, bands: int, f_min: float, f_max: float) -> Tensor:
    """Mel filters of peak one, float64 [bands, n_fft // 2 + 1]; mel = 2595 log10(1 + Hz / 700) (O'Shaughnessy 1987)."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (f_min, f_max))
    mels = torch.linspace(low, high, bands + 2, dtype=torch.float64)
    return triangular_filters(700 * (10 ** (mels / 2595) - 1), sample_rate, n_fft)


def fine_filters(
    sample_rate: int = 24_000,
    n_fft: int = 2048,
    bands: int = 128,
    f_max: float = 12000.0,
    spacing_hz: float = 15.0,
    knee_hz: float = 1100.0,
) -> Tensor:
    """Filters of unit area in Hz, float64 [bands, n_fft // 2 + 1]: `spacing_hz` apart up to about `knee_hz`, then in
    equal ratios up to f_max.

    Most notes have their fundamental below 1 kHz. Slaney's bands are 27 Hz apart there, twice the distance of two bins
    of a window of 2048 samples, so that a partial is smeared over several bins.
    """
    linear = int(knee_hz // spacing_hz) + 1  # edges, 0 Hz included
    steps = torch.arange(1, bands + 2 - linear + 1, dtype=torch.float64)
    last = (linear - 1) * spacing_hz
    edges = torch.cat(
        [torch.arange(linear, dtype=torch.float64) * spacing_hz, last * (f_max / last) ** (steps / steps[-1])]
    )
    return triangular_filters(edges, sample_rate, n_fft) * (2 / (edges[2:] - edges[:-2]))[:, None]
