"""Decodes recordings block by block: libsndfile reads most formats, FFmpeg's libraries (package `av`) the others.

The end of a recording is where decoding ends: headers may give less or more. What is read otherwise than its header
says, or could not be decoded, becomes a remark. N samples, C channels.
"""

import contextlib
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from kinds.audio import containers, ffmpeg
from kinds.audio.downmix import loudspeakers
from kinds.audio.errors import AudioError, Undecodable

BLOCK_FRAMES = 1 << 18
_UNKNOWN_FRAMES = 1 << 48  # libsndfile's number for a length that it does not know is larger
NOTICEABLE_S = 0.05
_SNDFILE_ERRORS = (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError)
_COUNTED_ALREADY = "Xing stream size"  # about a tag, which is compared with the frames before
_DECODING_MP3 = threading.Lock()


@dataclass
class Piece:
    """One recording. `names` are its loudspeakers, () if unknown; `blocks` float32 [N, C], all but the last one of
    BLOCK_FRAMES, in order."""

    sample_rate: int
    names: tuple[str, ...]
    blocks: Iterator[np.ndarray]


@dataclass
class Source:
    """A file ready to be decoded, as often as wanted: `pieces` opens each of its recordings.

    `remarks` holds what the user should know; decoding adds to it.
    """

    path: Path
    pieces: list[Callable[[], Piece]]
    remarks: list[str] = field(default_factory=list)


class SoundFile(soundfile.SoundFile):
    """Reads from start to end: soundfile's seek after every block repeats and omits music where a file is damaged."""

    def seekable(self) -> bool:
        return False


def open_sound_file(path: Path | str) -> SoundFile:
    """Open by libsndfile. Raises AudioError: empty, unreadable, not audio."""
    try:
        if Path(path).stat().st_size == 0:
            raise AudioError(path, "empty")
        return SoundFile(os.fsencode(path))
    except OSError as error:
        raise AudioError(path, f"unreadable ({error.strerror or error})") from None
    except _SNDFILE_ERRORS:
        raise Undecodable(path, "not audio") from None


def open_header(path: Path) -> SoundFile:
    """Like `open_sound_file`, with the true length where the header gives none."""
    file = open_sound_file(path)
    if file.frames == 0:
        pieces = containers.examine(path).pieces
        if pieces:
            file.close()
            return SoundFile(pieces[0])
    return file


def by_libsndfile(path: Path) -> Source:
    """Raises AudioError."""
    try:
        contents = containers.examine(path)
    except OSError as error:
        raise AudioError(path, f"unreadable ({error.strerror or error})") from None
    source = Source(path, [], contents.remarks)
    if contents.lost_seconds >= NOTICEABLE_S:
        source.remarks.append(lost(contents.lost_seconds))
    source.pieces = [partial(_open_piece, source, contents.is_mp3, piece) for piece in contents.pieces or [None]]
    return source


def by_ffmpeg(path: Path) -> Source:
    """What libsndfile cannot read. Raises AudioError."""
    source = Source(path, [])
    source.pieces = [lambda: Piece(*ffmpeg.decode(path, BLOCK_FRAMES, source.remarks))]
    return source


def _open_piece(source: Source, is_mp3: bool, data: io.BytesIO | None) -> Piece:
    """`data` holds the piece; None: the file itself does."""
    with contextlib.ExitStack() as stack:
        if is_mp3:
            stack.enter_context(_decoder_messages(source.remarks))
        file = stack.enter_context(_sound_file(source.path, data))
        blocks = _blocks(file, source, stack.pop_all())
    return Piece(file.samplerate, loudspeakers(file.channels, file.format), blocks)


def _sound_file(path: Path, data: io.BytesIO | None) -> SoundFile:
    if data is None:
        return open_sound_file(path)
    data.seek(0)
    try:
        return SoundFile(data)
    except _SNDFILE_ERRORS:
        raise Undecodable(path, "not audio") from None


def _blocks(file: SoundFile, source: Source, until_read: contextlib.ExitStack) -> Iterator[np.ndarray]:
    count = 0
    with until_read:
        while True:
            try:
                block_NC = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
            except (*_SNDFILE_ERRORS, MemoryError) as error:
                raise _undecodable(file, source.path, error) from None
            count += len(block_NC)
            yield block_NC
            if len(block_NC) < BLOCK_FRAMES:
                break
        missing = seconds_by_header(file) - count / file.samplerate
    if missing >= NOTICEABLE_S:
        source.remarks.append(lost(missing))


def _undecodable(file: SoundFile, path: Path, error: Exception) -> Undecodable:
    reason = str(error).removeprefix("Error : ").rstrip(".") or "damaged"
    undecodable = Undecodable(path, f"unreadable ({reason})")
    undecodable.seconds = seconds_by_header(file)
    return undecodable


def seconds_by_header(file: SoundFile) -> float:
    """0 where the header gives no length."""
    return file.frames / file.samplerate if file.frames < _UNKNOWN_FRAMES else 0.0


def lost(seconds: float) -> str:
    """The remark on music that could not be decoded."""
    return f"damaged, {seconds:.2f} s could not be decoded"


@contextlib.contextmanager
def _decoder_messages(remarks: list[str]) -> Iterator[None]:
    """Gathers what libmpg123 writes on standard error about damaged frames: it does not name the file."""
    with _DECODING_MP3, tempfile.TemporaryFile() as written:
        terminal = os.dup(2)
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            written.seek(0)
            lines = written.read(1 << 16).decode(errors="replace").splitlines()
            lines = [line for line in lines if line.strip() and _COUNTED_ALREADY not in line]
            if lines:
                more = f" and {len(lines) - 1} more messages" if len(lines) > 1 else ""
                remarks.append(f"its decoder says: {lines[0].split('error: ')[-1].strip()}{more}")
