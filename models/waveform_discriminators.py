"""Discriminators of waveforms. They take waveforms folded into frames, [B, H, T] with T frames of H audio samples each,
and otherwise follow `models.discriminators`: one logit per clip, the mean over all positions.

Legend: B batch, N audio samples, P samples of a period, L periods, C convolution channels, K frequency bins, S spectral
frames.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import StridedConv1d
from models.discriminators import ConvStack, _maybe_spectral
from models.options import DiscriminatorOptions

PERIODS = (2, 3, 5, 7, 11)  # audio samples; primes, so that they overlap as little as possible
FFT_SIZES = (512, 1024, 2048)
COMPRESSION = 0.3  # exponent of magnitudes: quiet partials count as well as loud ones
_TINY_POWER = 1e-6


class WaveformDiscriminator(nn.Module):
    """Several stacks of convolutions, each on a view of its own of the waveform; their logits are averaged.

    views: from a waveform [B, N] to the input of a stack; its first axis is B, or B times parts of a sample.
    finals: 1x1 convolutions, from the last activations to a logit per position.
    """

    def __init__(self, views: list[Callable[[Tensor], Tensor]], stacks: list[ConvStack], finals: list[nn.Module]):
        super().__init__()
        self.views, self.stacks, self.finals = views, nn.ModuleList(stacks), nn.ModuleList(finals)

    @classmethod
    def from_options(
        cls, options: DiscriminatorOptions, channels: int, final_bias: bool = True
    ) -> "WaveformDiscriminator":
        """As the options describe it; it suits frames of any number of samples (`channels`)."""
        width = {} if options.disc_width is None else {"width": options.disc_width}
        return cls(dropout=options.disc_dropout, spectral_norm=options.disc_spectral_norm, final_bias=final_bias,
                   **width)  # fmt: skip

    def forward(self, x_BHT: Tensor, copies: int = 1, return_features: bool = False):
        batch, wav_BN = len(x_BHT), x_BHT.transpose(1, 2).flatten(1)
        logits, features = [], []
        for view, stack, final in zip(self.views, self.stacks, self.finals, strict=True):
            x, activations = stack(view(wav_BN), copies)
            logits.append(final(x).reshape(batch, -1).mean(1))
            features += [activation.unflatten(0, (batch, -1)) for activation in activations]
        logits_B = torch.stack(logits).mean(0)
        return (logits_B, features) if return_features else logits_B


class MultiPeriodDiscriminator(WaveformDiscriminator):
    """Every P-th sample, for five periods P (HiFi-GAN, Kong et al. 2020, section 2.3): 1 -> w -> 2w -> 4w -> 4w, kernel
    5, stride 3, along each of the P phases of a period; the phases share their weights."""

    def __init__(
        self, width: int = 16, dropout: float = 0.0, spectral_norm: bool = False, final_bias: bool = True
    ) -> None:
        sizes = [1, width, 2 * width, 4 * width, 4 * width]
        stacks = [
            ConvStack(
                [
                    _maybe_spectral(StridedConv1d(c_in, c_out, 5, 3, 2), spectral_norm)
                    for c_in, c_out in zip(sizes, sizes[1:], strict=False)
                ],
                dropout,
            )
            for _ in PERIODS
        ]
        finals = [_maybe_spectral(nn.Conv1d(4 * width, 1, 1, bias=final_bias), spectral_norm) for _ in PERIODS]
        super().__init__([partial(by_period, period=period) for period in PERIODS], stacks, finals)


class MultiResolutionDiscriminator(WaveformDiscriminator):
    """Complex spectra at three resolutions, magnitudes compressed (UnivNet, Jang et al. 2021, section 2.3; complex as
    by Defossez et al. 2022, section 3.4): 2-D convolutions 2 -> w (5x5) -> 2w -> 4w -> 4w (3x3), strides 2."""

    def __init__(
        self, width: int = 8, dropout: float = 0.0, spectral_norm: bool = False, final_bias: bool = True
    ) -> None:
        sizes = [2, width, 2 * width, 4 * width, 4 * width]
        stacks = [
            ConvStack(
                [
                    _maybe_spectral(nn.Conv2d(c_in, c_out, kernel, 2, kernel // 2), spectral_norm)
                    for c_in, c_out, kernel in zip(sizes, sizes[1:], (5, 3, 3, 3), strict=False)
                ],
                dropout,
            )
            for _ in FFT_SIZES
        ]
        finals = [_maybe_spectral(nn.Conv2d(4 * width, 1, 1, bias=final_bias), spectral_norm) for _ in FFT_SIZES]
        super().__init__([partial(compressed_spectrum, n_fft=n_fft) for n_fft in FFT_SIZES], stacks, finals)
        self.to(memory_format=torch.channels_last)


def by_period(wav_BN: Tensor, period: int) -> Tensor:
    """Row b P + p holds samples p, p + P, p + 2 P, ... of waveform b, [B P, 1, L]; zeros are appended to whole
    periods."""
    padded_BN = F.pad(wav_BN, (0, -wav_BN.shape[1] % period))
    return padded_BN.unflatten(1, (-1, period)).transpose(1, 2).flatten(0, 1)[:, None]


def compressed_spectrum(wav_BN: Tensor, n_fft: int) -> Tensor:
    """Real and imaginary part of the spectrum, [B, 2, K, S], magnitudes to the power of COMPRESSION: Hann window of
    unit energy, hop n_fft / 4, zeros beyond the ends. Computed in float32 at least."""
    wav_BN = wav_BN.float() if wav_BN.dtype.itemsize < 4 else wav_BN
    window = torch.hann_window(n_fft, dtype=wav_BN.dtype, device=wav_BN.device)
    window = window / window.square().sum().sqrt()
    spectrum_BKS = torch.stft(wav_BN, n_fft, n_fft // 4, window=window, pad_mode="constant", return_complex=True)
    parts_B2KS = torch.view_as_real(spectrum_BKS).movedim(-1, 1)
    power_B1KS = parts_B2KS.square().sum(1, keepdim=True)
    return parts_B2KS * (power_B1KS + _TINY_POWER) ** ((COMPRESSION - 1) / 2)
