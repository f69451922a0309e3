"""Training of the log-mel codec's decoder: a generator turns latents into log magnitudes, a discriminator compares
them with those of real audio.

Shapes: B clips, H audio samples of a frame, T frames, D latent channels, F frequency bins, N audio samples.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_codecs.mel import MelCodec
from audio_codecs.phases import to_audio
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE, normalised_log
from audio_codecs.stft import BINS, Stft
from data.pairs import Pairs
from kinds.audio.wav_log import write_wavs
from kinds.decoder.options import DecoderOptions
from kinds.decoder.pairs import WaveformPairs, open_waveforms
from kinds.options import DataOptions
from losses.options import RegressionOptions
from monitoring.log import RunLog
from registry import Chosen
from synthesis.space import Space


class DecoderKind:
    """See `kinds.base.Kind`. Samples are waveforms folded into frames, [B, H, T]."""

    unit = "s"
    source_channels, made_channels = MelCodec.channels, BINS

    def __init__(self, options: DecoderOptions, choices: Mapping[str, Chosen] | None = None) -> None:
        self._options = options
        self._codec: MelCodec | None = None
        self.identity, self.rate = MelCodec.identify(), float(MelCodec.frame_rate)
        self.about = {"sample_rate": MelCodec.sample_rate, "decodes": self.identity}

    def open(self, data: DataOptions, build: bool) -> tuple[WaveformPairs, WaveformPairs]:
        """Waveforms of clips, folded into frames [H, T]."""
        folder = Path(data.dataset_folder)
        train, val = Path(data.train_dir or folder / "train"), Path(data.val_dir or folder / "val")
        splits = open_waveforms(train, val, MelCodec.sample_rate, MelCodec.hop)
        for pairs in splits:
            pairs.crop_to(round(self._options.crop_seconds * self.rate))
        return splits

    def observe(self, x_BHT: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms -> latents [B, D, T], and log magnitudes [B, F, T], both normalised."""
        magnitude_BTF = self.magnitudes(x_BHT)
        return self.normalised_latents(magnitude_BTF), normalised_log(magnitude_BTF).transpose(1, 2)

    def magnitudes(self, x_BHT: Tensor) -> Tensor:
        """Waveforms -> magnitudes [B, T, F], constants."""
        if self._codec is None:
            self._codec = MelCodec(x_BHT.device)
        with torch.no_grad():
            return self._codec.magnitudes(x_BHT.transpose(1, 2).flatten(1))

    def normalised_latents(self, magnitude_BTF: Tensor) -> Tensor:
        """Magnitudes [B, T, F] -> latents [B, D, T] as the network starts from them."""
        return (self._codec.latents_of(magnitude_BTF) - LOG_CENTRE) / LOG_SCALE

    def features(self, x_BFT: Tensor) -> Tensor:
        """[B, 2 F]: mean and deviation over time."""
        return torch.cat([x_BFT.mean(-1), x_BFT.std(-1, correction=0)], dim=1)

    def open_decoder(self, space: Space, device: str) -> "SpectrumPlayer":
        """From magnitudes to sound."""
        return SpectrumPlayer(self.observe, device)


class SpectrumPlayer:
    """See `kinds.base.Decoder`: plays log magnitudes."""

    def __init__(self, observe: Callable[[Tensor], tuple[Tensor, Tensor]], device: str) -> None:
        self._observe, self._stft = observe, Stft(device)

    def losses(self, regression: RegressionOptions, measure: Callable) -> None:
        raise NotImplementedError("this kind has no losses on decoded data")

    def write(self, log: RunLog, name: str, samples_BFT: Tensor, step: int, stem: Path) -> None:
        """`<stem>_<k>.wav` and its spectrogram `.png`."""
        log_BTF = samples_BFT.float().transpose(1, 2) * LOG_SCALE + LOG_CENTRE
        wavs = to_audio(self._stft, log_BTF.clamp(-14, 9).exp()).cpu().numpy()
        write_wavs(log, name, wavs, MelCodec.sample_rate, step, stem)

    def write_references(self, log: RunLog, pairs: Pairs, count: int, home: Path) -> None:
        """Real clips, and what true magnitudes sound like with phases that are found."""
        clips = np.stack([pairs.cut(pairs.target(i)) for i in range(min(count, len(pairs)))])
        _, clean_BFT = self._observe(torch.from_numpy(clips).to(self._stft.device))
        self.write(log, "round_trip", clean_BFT, 0, home / "round_trip")
        write_wavs(log, "real", [clip.T.flatten() for clip in clips], MelCodec.sample_rate, 0, home / "real")
