"""From latents back to audio: losses on decoded clips, wav files, spectrograms, TensorBoard.

Legend: B clips, D latent channels, T frames, N audio samples.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio_codecs.base import Codec
from data.pairs import Pairs
from kinds.audio.files import read_audio
from kinds.audio.losses import AudioLosses
from kinds.audio.options import AudioOptions
from kinds.audio.pairs import list_pairs
from kinds.audio.render import decode
from kinds.audio.wav_log import write_wavs
from losses.options import RegressionOptions
from monitoring.log import RunLog


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
        write_wavs(log, name, decode(self.codec, samples_BDT), self.codec.sample_rate, step, stem)

    def write_references(self, log: RunLog, pairs: Pairs, count: int, home: Path) -> None:
        shown = range(min(count, len(pairs)))
        latents_BDT = torch.from_numpy(np.stack([pairs.target(i).astype(np.float32) for i in shown]))
        self.write(log, "round_trip", latents_BDT, 0, home / "round_trip")
        targets = {pair.name: pair.target for pair in list_pairs(self._val_dir)}
        wavs = [read_audio(targets[pairs.names[i]], self.codec.sample_rate) for i in shown]
        write_wavs(log, "real", wavs, self.codec.sample_rate, 0, home / "real")
