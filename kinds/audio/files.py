"""Reads audio files of any format that libsndfile supports as mono float32 at one rate; writes 16-bit wav files.

N audio samples, C channels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from errors import UserError
from runtime.files import atomic_path

SAMPLE_RATE = 24_000
PEAK_CEILING = 0.999
AUDIO_SUFFIXES = frozenset(
    [".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64"]
)
_BLOCK_FRAMES = 1 << 18


class AudioError(UserError):
    """A file that cannot be used as audio. `reason` is a short phrase ("not audio", "empty", ...)."""

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self):
        return AudioError, (self.path, self.reason)


@dataclass(frozen=True)
class AudioInfo:
    """The header of an audio file. `frames` is the length in samples per channel."""

    sample_rate: int
    frames: int
    channels: int
    subtype: str

    @property
    def bits(self) -> int:
        """Resolution in bits per sample; companded 8-bit formats (u-law, A-law) count as 8, compressed ones as 16."""
        if self.subtype in ("PCM_S8", "PCM_U8", "ULAW", "ALAW"):
            return 8
        return {"PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}.get(self.subtype, 16)


def probe(path: Path | str) -> AudioInfo:
    """Read the header only. Raises AudioError if the file is missing, empty, unreadable or not audio."""
    with _open(path) as file:
        return AudioInfo(file.samplerate, file.frames, file.channels, file.subtype)


def read_audio(path: Path | str, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode a whole file -> float32 [N] at `sample_rate`, channels averaged, full scale 1.0 (peaks may exceed it).

    Read and resampled (soxr, HQ) in blocks from the start, since seeking in mp3 is inexact. Silence is not an error.
    Raises AudioError: missing, not audio, empty, unreadable, or holding NaN or infinite samples.
    """
    with _open(path) as file:
        resampler = None
        if file.samplerate != sample_rate:
            resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
        blocks = []
        while True:
            block = _read_block(file, path)
            last = len(block) < _BLOCK_FRAMES
            blocks.append(resampler.resample_chunk(block, last=last) if resampler else block)
            if last:
                break
    wav = np.concatenate(blocks)
    if wav.size == 0:
        raise AudioError(path, "empty")
    return wav


def write_wav(path: Path | str, wav: np.ndarray, sample_rate: int = SAMPLE_RATE, durable: bool = True) -> None:
    """Write float [N] as a 16-bit mono wav, atomically (temporary file in the same folder, flush, rename).

    Peak-safe: a signal whose peak exceeds 0.999 is scaled down as a whole to that peak, never clipped; anything else
    keeps its level. `durable=False` leaves out the flush. Raises ValueError for NaN or infinite samples, OSError if not
    writable.
    """
    wav = np.asarray(wav)
    if wav.ndim != 1:
        raise ValueError(f"write_wav takes one channel [N], not the shape {list(wav.shape)}")
    if not np.isfinite(wav).all():
        raise ValueError(f"{path}: refusing to write NaN or infinite samples")
    samples = np.rint(wav * (peak_scale(wav) * 32767.0)).astype(np.int16)
    with atomic_path(Path(path), durable) as temporary:
        soundfile.write(temporary, samples, sample_rate, subtype="PCM_16", format="WAV")


def peak_scale(wav: np.ndarray) -> float:
    """The gain, at most 1, that brings the peak of `wav` to 0.999 or below."""
    peak = float(np.max(np.abs(wav), initial=0.0))
    return min(1.0, PEAK_CEILING / peak) if peak > 0 else 1.0


def rms_dbfs(wav: np.ndarray) -> float:
    """Root mean square level in dB relative to full scale (a constant 1.0 is 0 dB); -inf for digital silence."""
    power = float(np.mean(np.square(wav, dtype=np.float64)))
    return 10.0 * np.log10(power) if power > 0 else -np.inf


def _open(path: Path | str) -> soundfile.SoundFile:
    try:
        if Path(path).stat().st_size == 0:
            raise AudioError(path, "empty")
        return soundfile.SoundFile(path)
    except OSError as error:
        raise AudioError(path, f"unreadable ({error.strerror or error})") from None
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError):
        raise AudioError(path, "not audio") from None


def _read_block(file: soundfile.SoundFile, path: Path | str) -> np.ndarray:
    """The next samples of an open file, averaged over channels -> float32 [at most _BLOCK_FRAMES]."""
    try:
        block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        raise AudioError(path, f"unreadable ({str(error).rstrip('.')})") from None
    mono = _mono(block)
    if not np.isfinite(mono).all():
        raise AudioError(path, "holds NaN or infinite samples")
    return mono


def _mono(block: np.ndarray) -> np.ndarray:
    """The mean over channels of [N, channels]; for one and two of them without numpy's slow sum over short rows."""
    if block.shape[1] == 1:
        return block[:, 0]
    if block.shape[1] == 2:
        return (block[:, 0] + block[:, 1]) * np.float32(0.5)
    return block.mean(axis=1, dtype=np.float32)
