"""Phases for magnitudes: tracked along spectral peaks, then made consistent by Griffin-Lim.

Shapes: B batch, T frames (75/s), F frequency bins (1025), N audio samples.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from audio_codecs.stft import HOP, N_FFT, Stft

MOMENTUM = 0.99  # of fast Griffin-Lim
MOMENTUM_SHARE = MOMENTUM / (1 + MOMENTUM)
PHASE_SEED = 0
FEW_ROUNDS = 3  # after tracked phases; from random ones 32 are needed


def to_audio(stft: Stft, magnitude_BTF: Tensor, rounds: int = FEW_ROUNDS) -> Tensor:
    """Audio [B, T * 320] of sharp magnitudes.

    The gradient is that of the inverse transform with the phases constant.
    """
    with torch.no_grad():
        phase_BTF = griffin_lim(stft, magnitude_BTF, tracked_phases(magnitude_BTF), rounds)
    return stft.to_audio(magnitude_BTF * phase_BTF)


def griffin_lim(stft: Stft, magnitude_BTF: Tensor, phase_BTF: Tensor, rounds: int) -> Tensor:
    """Phases (unit complex numbers) with which the magnitudes are nearly those of a signal.

    Perraudin, Balazs, Sondergaard: A fast Griffin-Lim algorithm (WASPAA 2013), algorithm 2.
    """
    previous_BTF = None
    for _ in range(rounds):
        consistent_BTF = stft.forward(stft.inverse(magnitude_BTF * phase_BTF))
        ahead_BTF = consistent_BTF if previous_BTF is None else consistent_BTF.sub(previous_BTF, alpha=MOMENTUM_SHARE)
        phase_BTF, previous_BTF = torch.sgn(ahead_BTF), consistent_BTF
    return phase_BTF


def random_phases(magnitude_BTF: Tensor) -> Tensor:
    """Random phases, the same for each item of a batch and on each device, from a generator of their own."""
    generator = torch.Generator().manual_seed(PHASE_SEED)
    phases_TF = torch.rand(magnitude_BTF.shape[1:], generator=generator).to(magnitude_BTF.device)
    return torch.polar(torch.ones_like(phases_TF), 2 * math.pi * phases_TF).expand_as(magnitude_BTF)


def tracked_phases(magnitude_BTF: Tensor) -> Tensor:
    """Phases of partials that continue from frame to frame, as unit complex numbers; see `PhaseTracker`."""
    return PhaseTracker().phases(magnitude_BTF)


class PhaseTracker:
    """Phases of partials that continue from frame to frame, for a signal in one or several pieces.

    Single-pass spectrogram inversion (Beauregard, Harish, Wyse 2015): each bin belongs to its nearest peak; the phase
    at a peak goes on with the peak's frequency, and the bins around it are locked to it. The frequency follows from
    three magnitudes, exactly for a tone under a Hann window (Agrez 2002). Good for held tones, and a far
    better start for Griffin-Lim than random phases.
    """

    def __init__(self) -> None:
        self._angle_BF: Tensor | None = None  # of the frame before the next piece

    def phases(self, magnitude_BTF: Tensor, next_piece: int | None = None) -> Tensor:
        """Unit complex numbers [B, T, F] for the magnitudes of a piece.

        next_piece: the frame of this piece at which the next one begins.
        """
        peak_BTF, advance_BTF = _nearest_peaks(magnitude_BTF)
        angle_BF = self._angle_BF
        angle_BF, angles = torch.zeros_like(magnitude_BTF[:, 0]) if angle_BF is None else angle_BF, []
        for peak_BF, advance_BF in zip(peak_BTF.unbind(1), advance_BTF.unbind(1), strict=True):
            angle_BF = angle_BF.gather(1, peak_BF) + advance_BF
            angles.append(angle_BF)
        if next_piece is not None:
            self._angle_BF = angles[next_piece - 1] % (2 * math.pi)
        angle_BTF = torch.stack(angles, 1)
        return torch.complex(angle_BTF.cos(), angle_BTF.sin())


def _nearest_peaks(magnitude_BTF: Tensor) -> tuple[Tensor, Tensor]:
    """The bin of the peak that each bin belongs to, and what is added to that peak's phase to give the bin's, within
    one turn of a frame: [B, T, F] twice."""
    low, middle, high = magnitude_BTF[..., :-2], magnitude_BTF[..., 1:-1], magnitude_BTF[..., 2:]
    offset = (2 * (high - low) / (low + 2 * middle + high).clamp(min=1e-20)).clamp(-0.5, 0.5)
    offset_BTF = functional.pad(offset, (1, 1))
    is_peak_BTF = functional.pad((middle > low) & (middle >= high), (1, 1))
    bins = magnitude_BTF.shape[-1]
    k_F = torch.arange(bins, device=magnitude_BTF.device)
    below_BTF = torch.where(is_peak_BTF, k_F, -bins).cummax(-1).values
    above_BTF = torch.where(is_peak_BTF, k_F, 2 * bins).flip(-1).cummin(-1).values.flip(-1)
    peak_BTF = torch.where(below_BTF + above_BTF >= 2 * k_F, below_BTF, above_BTF).clamp_(0, bins - 1)
    at_BTF = peak_BTF.to(magnitude_BTF.dtype)
    # The window is centred, so neighbouring bins of one tone have opposite signs: their phases differ by pi.
    hops_BTF = (at_BTF + offset_BTF.gather(-1, peak_BTF)) * (HOP / N_FFT) + 0.5 * (k_F - at_BTF)
    return peak_BTF, 2 * math.pi * (hops_BTF - hops_BTF.floor())
