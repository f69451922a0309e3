"""From latents back to audio: losses on decoded clips, wav files, spectrograms, TensorBoard.

Legend: B clips, D latent channels, T frames, N audio samples.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_codecs.base import Codec
from data.pairs import Pairs
from kinds.audio.files import read_audio, write_wav
from kinds.audio.losses import AudioLosses
from kinds.audio.options import AudioOptions
from kinds.audio.pairs import list_pairs
from kinds.audio.render import decode
from kinds.audio.spectrograms import spectrogram_image
from losses.options import RegressionOptions
from monitoring.image_files import encoded
from monitoring.log import RunLog
from runtime import files


class AudioDecoder:
    """See `kinds.base.Decoder`.

    Args:
        val_dir: folder of the validation pairs' wav files, for references.
    """

    def __init__(self, codec: Codec, options: AudioOptions, val_dir: Path | None = None) -> None:
        self.codec, self._options, self._val_dir = codec, options, val_dir

    def losses(self, regression: RegressionOptions, measure: Callable[[Tensor, Tensor], Tensor]) -> AudioLosses:
        return AudioLosses(self._options, regression, measure, self.codec)

    def write(self, log: RunLog, name: str, samples_BDT: Tensor, step: int, stem: Path) -> None:
        """`<stem>_<k>.wav` and its spectrogram `.png`."""
        self._write(log, name, decode(self.codec, samples_BDT), step, stem)

    def write_references(self, log: RunLog, pairs: Pairs, count: int, home: Path) -> None:
        shown = range(min(count, len(pairs)))
        latents_BDT = torch.from_numpy(np.stack([pairs.target(i).astype(np.float32) for i in shown]))
        self.write(log, "round_trip", latents_BDT, 0, home / "round_trip")
        targets = {pair.name: pair.target for pair in list_pairs(self._val_dir)}
        wavs = [read_audio(targets[pairs.names[i]], self.codec.sample_rate) for i in shown]
        self._write(log, "real", wavs, 0, home / "real")

    def _write(self, log: RunLog, name: str, wavs: Iterable[np.ndarray], step: int, stem: Path) -> None:
        rate, pictures = self.codec.sample_rate, []
        for k, wav_N in enumerate(map(np.nan_to_num, wavs)):
            pictures.append((wav_N, spectrogram_image(wav_N, rate)))
            log.audio(f"{name}/{k}", wav_N, rate, step)
            log.image(f"{name}/{k}", pictures[-1][1], step)
        stem.parent.mkdir(exist_ok=True)
        for k, (wav_N, image) in enumerate(pictures):
            write_wav(f"{stem}_{k}.wav", wav_N, rate)
            files.write_bytes(Path(f"{stem}_{k}.png"), encoded(image))
