"""The clips of a dataset as waveforms, folded into the frames of the codec.

Shapes: H audio samples of a frame (hop), T frames of a clip.
"""

from pathlib import Path

import numpy as np

from data.pairs import ReadError
from errors import UserError
from kinds.audio.files import AudioError, probe, read_audio
from kinds.audio.pairs import check_counts, list_pairs
from runtime.files import file_digest


class WaveformPairs:
    """See `data.pairs.Pairs`. A pair is one clip, its input is its target.

    The target of a pair on disk may be the input of the next one; each clip counts once.
    """

    def __init__(self, folder: Path, rate: int, hop: int) -> None:
        self._paths, self._rate, self._hop = _distinct(folder), rate, hop
        self.names = [path.stem for path in self._paths]
        self.frames = self.crop_frames = 0
        self.mean, self.std = np.zeros(1, np.float32), np.ones(1, np.float32)
        if self._paths:
            info = probe(self._paths[0])
            self.frames = self.crop_frames = round(info.frames * rate / info.sample_rate) // hop

    def __len__(self) -> int:
        return len(self._paths)

    @property
    def shape(self) -> tuple[int, int]:
        """(H, T) of a sample."""
        return self._hop, self.crop_frames

    def crop_to(self, frames: int) -> None:
        """Sets the length of a sample in frames; 0: whole clips."""
        self.crop_frames = min(frames or self.frames, self.frames)

    def input(self, i: int) -> np.ndarray:
        return self.target(i)

    def target(self, i: int) -> np.ndarray:
        """Clip i, float32 [H, T]. Raises ReadError."""
        path = self._paths[i]
        try:
            wav_N = read_audio(path, self._rate)
        except AudioError as error:
            raise ReadError(f"{path} cannot be read ({error.reason})", self.names[i]) from None
        if len(wav_N) < self.frames * self._hop:
            raise ReadError(f"{path} is shorter than the other clips", self.names[i])
        return wav_N[: self.frames * self._hop].reshape(self.frames, self._hop).T

    def cut(self, whole_HT: np.ndarray, draw: int | None = None) -> np.ndarray:
        spare = self.frames - self.crop_frames
        start = spare // 2 if draw is None else draw % (spare + 1)
        return whole_HT[:, start : start + self.crop_frames]

    def labels(self, i: int) -> dict[str, float]:
        return {}


def _distinct(folder: Path) -> list[Path]:
    """The files of a split that differ from each other."""
    paths = [path for pair in list_pairs(folder) for path in (pair.input, pair.target)]
    return list({file_digest(path): path for path in reversed(paths)}.values())[::-1]


def open_waveforms(train: Path, val: Path, rate: int, hop: int) -> tuple[WaveformPairs, WaveformPairs]:
    """Training and validation clips. Raises UserError where there are too few, or clips are shorter than a frame."""
    splits = WaveformPairs(train, rate, hop), WaveformPairs(val, rate, hop)
    check_counts(len(splits[0]), len(splits[1]), train, val)
    for folder, split in zip((train, val), splits, strict=True):
        if split.frames < 8:
            raise UserError(f"the clips in {folder} are too short to train a decoder: prepare them with --duration 4")
    return splits
