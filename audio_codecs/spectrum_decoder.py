"""A network that sharpens: log-mel latents to log magnitudes of all frequency bins.

Bands of the codec hold several bins each. What lies where within a band follows from the neighbouring bands, from the
harmonics, and from what was before and comes after; the network learns it, as the post-net of Tacotron does (Wang et
al. 2017, section 3.4). Phases are found from the sharp magnitudes: see `audio_codecs.phases`.

Shapes: B batch, T frames (75/s), D mel bands (128), F frequency bins (1025), C channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from audio_codecs.filters import fine_filters
from audio_codecs.stft import BINS

LOG_CENTRE, LOG_SCALE = -3.0, 3.0  # of normalised log magnitudes and log-mel: music has about mean 0, deviation 1
MAGNITUDE_FLOOR = 1e-3  # about 115 dB under a full-scale sine
LARGEST_CORRECTION = 10.0
KERNEL = 7  # frames


class Block(nn.Module):
    """ConvNeXt block over time (Liu et al. 2022, figure 4): depthwise convolution, norm, two layers; [B, T, C]."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen, self.narrow = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.gain = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x_BTC: Tensor) -> Tensor:
        mixed_BTC = self.mix(x_BTC.transpose(1, 2)).transpose(1, 2)
        return x_BTC + self.gain * self.narrow(functional.gelu(self.widen(self.norm(mixed_BTC))))


class SpectrumDecoder(nn.Module):
    """forward(latents_BDT, _) -> log magnitudes [B, F, T]; both normalised by LOG_CENTRE and LOG_SCALE.

    The output starts as the latents, spread over the bins, and agrees with them: the magnitudes are rescaled so that
    their bands nearly have the energy that the latents say.
    """

    heads = 1  # values that the network gives for each bin

    def __init__(self, channels: int = 128, width: int = 256, hidden: int = 768, blocks: int = 6) -> None:
        super().__init__()
        filters_DF = fine_filters(bands=channels).float()
        self.register_buffer("filters_DF", filters_DF, persistent=False)
        self.register_buffer("spread_DF", spread_over_bins(filters_DF), persistent=False)
        self.register_buffer("level_D", filters_DF.sum(1).log(), persistent=False)
        self.enter = nn.Conv1d(channels, width, KERNEL, padding=KERNEL // 2)
        self.blocks = nn.ModuleList(Block(width, hidden) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, self.heads * BINS)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.reach = KERNEL // 2 * (blocks + 1)  # frames on which one frame depends, to either side

    @classmethod
    def from_options(cls, options, channels: int) -> "SpectrumDecoder":
        """As the options describe it."""
        return cls(channels, options.width, 3 * options.width, options.num_layers)

    def forward(self, latents_BDT: Tensor, _: Tensor | None = None) -> Tensor:
        change_BTF = self.predicted(latents_BDT)
        with torch.autocast(latents_BDT.device.type, enabled=False):
            log_BTF = self.log_magnitudes(latents_BDT, change_BTF)
            return ((log_BTF - LOG_CENTRE) / LOG_SCALE).transpose(1, 2)

    def predicted(self, latents_BDT: Tensor) -> Tensor:
        """What the network gives for each bin, float32 [B, T, heads * F]."""
        x_BTC = self.enter(latents_BDT).transpose(1, 2)
        for block in self.blocks:
            x_BTC = block(x_BTC)
        return self.leave(self.norm(x_BTC)).float()

    def log_magnitudes(self, latents_BDT: Tensor, change_BTF: Tensor) -> Tensor:
        """Natural logarithms [B, T, F] of magnitudes that agree with normalised latents, from the change predicted to
        what these say of the bins."""
        log_mel_BTD = latents_BDT.float().transpose(1, 2) * LOG_SCALE + LOG_CENTRE
        start_BTF = (log_mel_BTD - self.level_D) @ self.spread_DF
        return self.agreeing(start_BTF + LOG_SCALE * change_BTF, log_mel_BTD)

    def agreeing(self, log_BTF: Tensor, log_mel_BTD: Tensor) -> Tensor:
        """Log magnitudes rescaled by what the energy of their bands lacks: one multiplicative step towards the latents
        (Lee, Seung 2000, equation 5)."""
        log_BTF = log_BTF.clamp(-14.0, 9.0)
        missing_BTD = (log_mel_BTD.exp() / (log_BTF.exp() @ self.filters_DF.T)).clamp(
            1 / LARGEST_CORRECTION, LARGEST_CORRECTION
        )
        sums_F = self.filters_DF.sum(0)
        in_none = sums_F < 1e-9  # the first and the last bin are in no filter
        factor_BTF = (missing_BTD @ self.filters_DF) / sums_F.clamp(min=1e-9)
        return log_BTF + torch.where(in_none, 1.0, factor_BTF).log()


def spread_over_bins(filters_DF: Tensor) -> Tensor:
    """Weights [D, F] that interpolate values of bands, placed at their peaks, linearly over the bins."""
    bands, bins = filters_DF.shape
    peaks_D = filters_DF.argmax(1).double()
    above_F = torch.searchsorted(peaks_D, torch.arange(bins).double()).clamp(1, bands - 1)
    low_F, high_F = peaks_D[above_F - 1], peaks_D[above_F]
    share_F = ((torch.arange(bins) - low_F) / (high_F - low_F).clamp(min=1)).clamp(0, 1).float()
    weights_DF = torch.zeros(bands, bins)
    weights_DF[above_F, torch.arange(bins)] = share_F
    weights_DF[above_F - 1, torch.arange(bins)] += 1 - share_F
    return weights_DF


def normalised_log(magnitudes: Tensor, floor: float = MAGNITUDE_FLOOR) -> Tensor:
    """Normalised logarithm of magnitudes, floored."""
    return (magnitudes.clamp(min=floor).log() - LOG_CENTRE) / LOG_SCALE
