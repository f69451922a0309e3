"""Noise where magnitudes are smooth: what a network predicts of noise is its median, the same in every bin.

Phases tracked through such a plain would make steady tones of its slightest ripples: hiss would ring. So the share of
noise is read off how rough the spectrum is around a bin, and that share gets magnitudes and phases of real noise.

Shapes: B batch, T frames (75/s), F frequency bins (1025), N audio samples.
"""

import torch
from torch import Tensor
from torch.nn import functional

from audio_codecs.stft import HOP, Stft

AROUND = 15  # bins (176 Hz)
TONAL, NOISY = (
    0.3,
    0.1,
)  # deviations of log magnitudes around a bin from which on all is tones, up to which all is noise
BLOCK = 1500  # frames of noise that are drawn at once
SEED = 0


def noise_share(log_BTF: Tensor) -> Tensor:
    """The share of a bin's energy that is noise, 0 to 1, [B, T, F], from log magnitudes."""
    flat_N1F = log_BTF.flatten(0, 1)[:, None]
    roughness_N1F = _mean_around((flat_N1F - _mean_around(flat_N1F)).square()).sqrt()
    return ((TONAL - roughness_N1F) / (TONAL - NOISY)).clamp(0, 1)[:, 0].unflatten(0, log_BTF.shape[:2])


def filled(phase_BTF: Tensor, share_BTF: Tensor, noise_BTF: Tensor) -> Tensor:
    """Unit complex phases of tones, and noise of mean power 1, mixed by the share of noise: complex factors [B, T, F]
    of the magnitudes."""
    return (1 - share_BTF).sqrt() * phase_BTF + share_BTF.sqrt() * noise_BTF


def noise_spectrum(stft: Stft, start: int, stop: int) -> Tensor:
    """Spectrum [1, stop - start, F] of white noise of mean power 1, a function of the frames' numbers alone."""
    first, last = start // BLOCK, -(-stop // BLOCK)
    blocks = [_block(number) for number in range(first, last)]
    wav_1N = torch.cat(blocks)[(start - first * BLOCK) * HOP : (stop - first * BLOCK) * HOP][None].to(stft.device)
    return stft.of_audio(wav_1N) / stft.noise_level


def _block(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(SEED + number)
    return torch.randn(BLOCK * HOP, generator=generator)


def _mean_around(x_N1F: Tensor) -> Tensor:
    return functional.avg_pool1d(x_N1F, AROUND, 1, AROUND // 2, count_include_pad=False)
