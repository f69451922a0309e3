"""Training of a vocoder: a generator turns latents of the log-mel codec into waveforms.

Shapes: B clips, H audio samples of a frame, T frames, N audio samples, M mel bands, F frequency bins.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_codecs.filters import slaney_filters
from audio_codecs.mel import MelCodec
from audio_codecs.vocoder import unfolded
from data.pairs import Pairs
from kinds.audio.wav_log import write_wavs
from kinds.decoder.kind import DecoderKind
from kinds.decoder.options import VocoderOptions
from losses import waveform
from losses.options import RegressionOptions
from monitoring.log import RunLog
from synthesis.space import Space

MEL_BANDS = {512: 40, 1024: 80, 2048: 160}  # by the transform's length in audio samples


class VocoderKind(DecoderKind):
    """See `kinds.base.Kind`. Samples are waveforms folded into frames, [B, H, T], and so is what is made."""

    made_channels = MelCodec.hop
    own_reals = True  # what is made belongs to one waveform, and feature matching compares both
    measured = ("spectral", "mel")  # both losses on waveforms

    def observe(self, x_BHT: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms -> normalised latents [B, D, T], and the waveforms."""
        return self.normalised_latents(self.magnitudes(x_BHT)), x_BHT

    def features(self, x_BHT: Tensor) -> Tensor:
        """[B, 2 D]: mean and deviation of the latents over time."""
        return super().features(self.observe(x_BHT)[0])

    def measures(self, made_BHT: Tensor, clean_BHT: Tensor, _: Tensor) -> Tensor:
        """The losses on waveforms, unweighted, [B, 2]."""
        return torch.stack(waveform_losses(made_BHT, clean_BHT), dim=1)

    def open_decoder(self, space: Space, device: str) -> "WaveformPlayer":
        """Waveforms are sound already."""
        return WaveformPlayer(self._options)


class WaveformPlayer:
    """See `kinds.base.Decoder`: plays folded waveforms."""

    def __init__(self, options: VocoderOptions) -> None:
        self._options = options

    def losses(self, regression: RegressionOptions, measure: Callable) -> Callable:
        """Losses of waveforms against the target; as with `kinds.audio.losses`, by name."""

        def measured(output_BHT: Tensor, _: Tensor, target_BHT: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            spectral_B, mel_B = waveform_losses(output_BHT, target_BHT)
            o = self._options
            total_B = o.loss_weight_spectral * spectral_B + o.loss_weight_mel * mel_B
            return total_B, {"loss/spectral": spectral_B, "loss/mel": mel_B}

        return measured

    def write(self, log: RunLog, name: str, samples_BHT: Tensor, step: int, stem: Path) -> None:
        """`<stem>_<k>.wav` and its spectrogram `.png`."""
        write_wavs(log, name, unfolded(samples_BHT.float()).cpu().numpy(), MelCodec.sample_rate, step, stem)

    def write_references(self, log: RunLog, pairs: Pairs, count: int, home: Path) -> None:
        """Real clips; a waveform is its own round trip."""
        clips = np.stack([pairs.cut(pairs.target(i)) for i in range(min(count, len(pairs)))])
        for name in ("real", "round_trip"):
            self.write(log, name, torch.from_numpy(clips), 0, home / name)


def waveform_losses(output_BHT: Tensor, target_BHT: Tensor) -> tuple[Tensor, Tensor]:
    """STFT loss and log-mel loss of folded waveforms, each the mean over several resolutions, [B]."""
    output_B1N, target_B1N = unfolded(output_BHT)[:, None], unfolded(target_BHT)[:, None]
    return waveform.stft_and_mel(output_B1N, target_B1N, _mel_filters())


@cache
def _mel_filters() -> list[Tensor]:
    return [slaney_filters(MelCodec.sample_rate, n_fft, bands).float() for n_fft, bands in MEL_BANDS.items()]
