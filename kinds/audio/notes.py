"""The notes that a transcription network hears in clips: Basic Pitch (Bittner et al. 2022), used as published.

Its ONNX file is part of the package `basic-pitch`, which is searched for it without being imported: the import would
need TensorFlow. The network gives, 86 times a second and for each of the 88 keys of a piano, the posterior probability
that the note sounds and that it starts. It serves evaluation only: no network of this project is trained on it.

Shapes: B clips, N samples, W windows of one clip, T frames, P pitches (88; 0 is the lowest A of a piano, MIDI 21).
"""

import importlib.util
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import soxr

from errors import UserError
from kinds.audio.files import SAMPLE_RATE
from runtime.cores import available_cores

NETWORK_RATE = 22_050
HOP = 256  # samples of a frame at NETWORK_RATE
FRAMES_PER_S = NETWORK_RATE / HOP  # 86.1
WINDOW, WINDOW_FRAMES = 43_844, 172  # samples and frames of the network's input and output
OVERLAP = 30  # frames shared by neighbouring windows; half are taken from each, as in basic_pitch's own inference
PITCHES, LOWEST_MIDI = 88, 21
THRESHOLD = 0.4  # posterior above which a note sounds
MIN_FRAMES = 3  # 35 ms; shorter runs of frames are not notes
LEVEL, SILENT_RMS = 0.1, 1e-5  # clips are scaled to the RMS -20 dBFS, except those under -100 dBFS
INSTALL = "pip install onnxruntime && pip install --no-deps basic-pitch==0.4.0"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Notes:
    """The notes of one clip, by pitch and then by time: int64 arrays [K]; frames from `start` to before `end`."""

    pitch: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @property
    def seconds(self) -> np.ndarray:
        """Lengths of the notes."""
        return (self.end - self.start) / FRAMES_PER_S


def find_notes(note_TP: np.ndarray, threshold: float = THRESHOLD, min_frames: int = MIN_FRAMES) -> Notes:
    """Runs of `min_frames` frames or more in which the posterior of one pitch is above `threshold`."""
    sounds_PT = np.pad((note_TP > threshold).T, ((0, 0), (1, 1))).astype(np.int8)
    change_PT = np.diff(sounds_PT, axis=1)
    pitch, start = np.nonzero(change_PT == 1)
    end = np.nonzero(change_PT == -1)[1]
    kept = end - start >= min_frames
    return Notes(pitch[kept], start[kept], end[kept])


def map_posteriors(function: Callable[[np.ndarray, np.ndarray], Result], audio_BN: np.ndarray) -> list[Result]:
    """`function(note_TP, onset_TP)` of every clip, in order; clips run in parallel on the cores, one thread each.

    audio_BN: float [B, N] at 24 kHz, any level. The posteriors have T = N / 24000 * 86.1 frames, rounded down.

    Raises:
        UserError: a package is missing.
    """
    session = open_network()
    with ThreadPoolExecutor(available_cores()) as pool:
        return list(pool.map(lambda wav_N: function(*_posteriors(session, wav_N)), audio_BN))


def missing() -> str | None:
    """Why the network cannot be used, and how to install it, in one sentence; None if it can be."""
    absent = [] if importlib.util.find_spec("onnxruntime") else ["onnxruntime"]
    absent += [] if _network_path() else ["basic-pitch"]
    return f"the notes ruler needs {' and '.join(absent)}: {INSTALL}" if absent else None


@lru_cache(maxsize=1)
def open_network():
    """The network as an onnxruntime session of one thread, which several threads may call at once.

    Raises:
        UserError: a package is missing.
    """
    if reason := missing():
        raise UserError(reason)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(_network_path(), options, providers=["CPUExecutionProvider"])


def _network_path() -> Path | None:
    package = importlib.util.find_spec("basic_pitch")
    folders = package.submodule_search_locations if package else None
    paths = [Path(folder) / "saved_models" / "icassp_2022" / "nmp.onnx" for folder in folders or ()]
    return next((path for path in paths if path.is_file()), None)


def _posteriors(session, wav_N):
    """Posteriors of one clip: that a note sounds [T, P], that it starts [T, P]."""
    rms = np.sqrt(np.square(wav_N, dtype=np.float64).mean())
    wav_N = wav_N.astype(np.float32) * np.float32(LEVEL / max(rms, SILENT_RMS))
    windows_WN = _windows(soxr.resample(wav_N, SAMPLE_RATE, NETWORK_RATE))
    # The outputs' numbers are those of basic_pitch/inference.py: 1 notes, 2 onsets, 0 contours.
    outputs = ["StatefulPartitionedCall:1", "StatefulPartitionedCall:2"]
    note_WTP, onset_WTP = session.run(outputs, {session.get_inputs()[0].name: windows_WN[:, :, None]})
    frames = int(len(wav_N) / SAMPLE_RATE * FRAMES_PER_S)
    return tuple(_joined(posterior_WTP)[:frames] for posterior_WTP in (note_WTP, onset_WTP))


def _windows(wav_N):
    """Overlapping windows -> [W, WINDOW]. They start whole frames apart, so that `_joined` leaves no gap."""
    step = (WINDOW_FRAMES - OVERLAP) * HOP
    count = -(-len(wav_N) // step)
    before = OVERLAP // 2 * HOP
    padded_N = np.pad(wav_N, (before, count * step + WINDOW - before - len(wav_N)))
    return np.lib.stride_tricks.sliding_window_view(padded_N, WINDOW)[: count * step : step].copy()


def _joined(posterior_WTP):
    half = OVERLAP // 2
    return posterior_WTP[:, half : WINDOW_FRAMES - half].reshape(-1, PITCHES)
