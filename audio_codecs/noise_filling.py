"""Noise where magnitudes are smooth: what a network predicts of noise is its median, the same in every bin.

Phases tracked through such a plain would make steady tones of its slightest ripples: hiss would ring. So the share of
noise is read off how rough the spectrum is around a bin, and that share gets magnitudes and phases of real noise.

Shapes: B batch, T frames (75/s), F frequency bins (1025), N audio samples.
"""

from functools import lru_cache

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
    roughness_BTF = _mean_around((log_BTF - _mean_around(log_BTF)).square()).sqrt()
    return ((TONAL - roughness_BTF) / (TONAL - NOISY)).clamp(0, 1)


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


class NoiseSpectra:
    """`noise_spectrum` for a decoder, which keeps the last one: clips are often of one length."""

    def __init__(self, stft: Stft) -> None:
        self._stft = stft
        self._kept: tuple[tuple[int, int], Tensor] | None = None

    def __call__(self, start: int, stop: int) -> Tensor:
        """[1, stop - start, F]."""
        kept = self._kept
        if kept is None or kept[0] != (start, stop):
            with torch.inference_mode(False):  # so that it can be used where gradients are needed, too
                kept = self._kept = (start, stop), noise_spectrum(self._stft, start, stop)
        return kept[1]


@lru_cache(2)  # two megabytes each; clips begin with the same one, and pieces of a long signal share one
def _block(number: int) -> Tensor:
    generator = torch.Generator().manual_seed(SEED + number)
    return torch.randn(BLOCK * HOP, generator=generator)


def _mean_around(x_BTF: Tensor) -> Tensor:
    """Mean of the AROUND bins around each, of those that there are; sums of 2, 4 and 8 bins are shared, which on a CPU
    takes a tenth of the time of pooling."""
    bins = x_BTF.shape[-1]
    one = functional.pad(x_BTF, (AROUND // 2, AROUND // 2))
    two = one[..., :-1] + one[..., 1:]
    four = two[..., :-2] + two[..., 2:]
    eight = four[..., :-4] + four[..., 4:]
    sum_BTF = eight[..., :bins] + four[..., 8 : 8 + bins] + two[..., 12 : 12 + bins] + one[..., 14 : 14 + bins]
    k_F = torch.arange(bins, device=x_BTF.device)
    first_F, last_F = (k_F - AROUND // 2).clamp(min=0), (k_F + AROUND // 2).clamp(max=bins - 1)
    return sum_BTF / (last_F - first_F + 1)
