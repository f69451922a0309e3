"""Reads audio files of any format as mono float32 at one rate; writes 16-bit wav files.

N audio samples, C channels.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from kinds.audio import decoding, ffmpeg
from kinds.audio.downmix import Balance, to_mono
from kinds.audio.errors import AudioError, Undecodable
from runtime.files import atomic_path

SAMPLE_RATE = 24_000
PEAK_CEILING = 0.999
AUDIO_SUFFIXES = frozenset(
    [".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".rf64"]
)
# What takes the package `av`; of video files the sound is read.
_FFMPEG_ENDINGS = (
    "3g2 3gp aac ac3 amr ape asf avi dff dsf flv m2ts m4a m4b m4v mka mkv mov mp2 mp4 mpeg mpg mts tak tta vob webm "
    "wma wmv wv"
)
FFMPEG_SUFFIXES = frozenset(f".{ending}" for ending in _FFMPEG_ENDINGS.split())


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
    with decoding.open_header(Path(path)) as file:
        return AudioInfo(file.samplerate, file.frames, file.channels, file.subtype)


@dataclass(frozen=True)
class Recording:
    """A decoded file: float32 [N], and remarks on what was read otherwise than its header says, or not at all."""

    wav: np.ndarray
    remarks: list[str]


def read_audio(path: Path | str, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Decode a whole file -> float32 [N] at `sample_rate`, mixed to one channel, full scale 1.0 (peaks may exceed it).

    Read and resampled (soxr, HQ) in blocks from the start. The end is where decoding ends. Silence is not an error.
    Raises AudioError: missing, not audio, empty, unreadable, or holding NaN or infinite samples.
    """
    return read_recording(path, sample_rate).wav


def read_recording(path: Path | str, sample_rate: int = SAMPLE_RATE) -> Recording:
    """Like `read_audio`, with the remarks on the file."""
    path = Path(path)
    try:
        return _read(decoding.by_libsndfile(path), sample_rate)
    except Undecodable as error:
        first = error
    is_known = path.suffix.lower() in AUDIO_SUFFIXES
    if is_known and not ffmpeg.is_installed():
        is_damaged = first.reason.startswith("unreadable")
        raise AudioError(path, f"{first.reason}; {ffmpeg.MAY_HELP}") if is_damaged else first
    try:
        recording = _read(decoding.by_ffmpeg(path), sample_rate)
    except AudioError as error:
        raise (first if is_known else error) from None
    missing = first.seconds - len(recording.wav) / sample_rate
    if missing >= decoding.NOTICEABLE_S:
        recording.remarks[:] = [decoding.lost(missing)]
    return recording


def _read(source: decoding.Source, sample_rate: int) -> Recording:
    """Raises AudioError; Undecodable where another decoder may help."""
    balance = Balance()
    wav = np.concatenate([_decode(source.path, piece(), sample_rate, balance) for piece in source.pieces])
    remarks = list(source.remarks)
    if wav.size == 0:
        raise Undecodable(source.path, "empty")
    loudest = balance.channel
    if loudest is not None:
        pieces = [_decode(source.path, piece(), sample_rate, balance, loudest) for piece in source.pieces]
        wav = np.concatenate(pieces)
        remarks.append(f"its channels cancel each other, so channel {loudest + 1} alone is used")
    return Recording(wav, remarks)


def _decode(
    path: Path, piece: decoding.Piece, sample_rate: int, balance: Balance, channel: int | None = None
) -> np.ndarray:
    """One recording -> float32 [N]; of one channel alone if it has that many. Adds to `balance`."""
    resampler = None
    if piece.sample_rate != sample_rate:
        resampler = soxr.ResampleStream(piece.sample_rate, sample_rate, 1, dtype="float32", quality="HQ")
    parts = []
    with contextlib.closing(piece.blocks) as blocks:
        for block_NC in blocks:
            if channel is None:
                mono_N = to_mono(block_NC, piece.names)
            else:
                mono_N = np.ascontiguousarray(block_NC[:, min(channel, block_NC.shape[1] - 1)])
            if not is_finite(mono_N):
                raise AudioError(path, "holds NaN or infinite samples")
            balance.add(block_NC, mono_N)
            last = len(block_NC) < decoding.BLOCK_FRAMES
            parts.append(resampler.resample_chunk(mono_N, last=last) if resampler else mono_N)
    return np.concatenate(parts)


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
    samples = _as_written(wav)
    with atomic_path(Path(path), durable) as temporary:
        soundfile.write(os.fsencode(temporary), samples, sample_rate, subtype="PCM_16", format="WAV")


def holds(path: Path, wav: np.ndarray, sample_rate: int = SAMPLE_RATE) -> bool:
    """Whether a file is what `write_wav` would write."""
    try:
        there, rate = soundfile.read(os.fsencode(path), dtype="int16")
    except (OSError, soundfile.SoundFileError):
        return False
    return rate == sample_rate and np.array_equal(there, _as_written(wav))


def _as_written(wav: np.ndarray) -> np.ndarray:
    """16-bit samples, peak-safe."""
    return np.rint(wav * (peak_scale(wav) * 32767.0)).astype(np.int16)


def peak_scale(wav: np.ndarray) -> float:
    """The gain, at most 1, that brings the peak of `wav` to 0.999 or below."""
    peak = float(np.max(np.abs(wav), initial=0.0))
    return min(1.0, PEAK_CEILING / peak) if peak > 0 else 1.0


def is_finite(wav: np.ndarray) -> bool:
    """Whether no sample is NaN or infinite. The sum of squares tells it in one pass, unless it is too large itself."""
    return bool(np.isfinite(np.dot(wav, wav)) or np.isfinite(wav).all())


def rms_dbfs(wav: np.ndarray) -> float:
    """Root mean square level in dB relative to full scale (a constant 1.0 is 0 dB); -inf for digital silence."""
    power = float(np.dot(wav, wav)) / max(1, len(wav))
    return 10.0 * np.log10(power) if power > 0 else -np.inf
