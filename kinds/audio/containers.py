"""Files whose own headers mislead decoders: joined recordings, lengths of zero, wrong counts of mp3 frames.

libsndfile reads one recording per file, up to the length that its header gives. Here a file is compared with what its
header says, and if that is wrong, split into pieces of which each has a right header.
"""

import io
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kinds.audio import mp3

_FLAC, _FLAC_INFO = b"fLaC", (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")  # at its start, and what follows
_OTHER_CHUNKS = b"LIST", b"id3 ", b"bext", b"fact", b"cue ", b"smpl"  # of wav files, behind the data
_LENGTH_UNKNOWN = 0x7FFFF000  # sizes from here on stand for an unknown length
_OGG_FIRST_PAGE = 2  # flag of the first page of a stream


@dataclass
class Contents:
    """What a file holds. `pieces` are whole files of one recording each; empty where the file is good as it is.

    `remarks` are for the user; `lost_seconds` is music in damaged bytes between mp3 frames.
    """

    is_mp3: bool = False

    pieces: list[io.BytesIO] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    lost_seconds: float = 0.0


def examine(path: Path) -> Contents:
    """Compare a file with its header. Raises OSError."""
    if path.stat().st_size < 12 or not path.is_file():
        return Contents()
    with _mapped(path) as data:
        head = data[:4]
        check = {b"OggS": _ogg, b"fLaC": _flac, b"RIFF": _wav}.get(head)
        if check is not None:
            return check(data)
        if head[:3] == b"ID3" or mp3.frame_at(head, 0) is not None or path.suffix.lower() == ".mp3":
            return _mp3(data)
    return Contents()


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _mp3(data: mmap.mmap) -> Contents:
    found = mp3.survey(data)
    if found.is_plain or not found.rows:
        return Contents(is_mp3=bool(found.rows))
    remarks = []
    frames = sum(row.count for row in found.rows)
    if found.tagged and abs(found.tagged - frames) > 1 and not found.junk:
        says = found.tagged * found.seconds / frames
        remarks.append(f"its header says {says:.1f} s, it holds {found.seconds:.1f} s")
    pieces = [io.BytesIO(piece) for piece in mp3.cleaned(found)]
    return Contents(True, pieces, remarks, found.lost_seconds)


def _ogg(data: mmap.mmap) -> Contents:
    """Chained streams: first pages after other pages begin another recording."""
    starts, at, after_first = [], 0, True
    while at >= 0 and (at := data.find(b"OggS", at)) >= 0 and at + 27 <= len(data):
        is_first = bool(data[at + 5] & _OGG_FIRST_PAGE)
        if is_first and after_first:
            starts.append(at)
        after_first = not is_first
        segments = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(segments) + sum(segments)
    return _split(data, starts)


def _flac(data: mmap.mmap) -> Contents:
    starts, at = [], -1
    while (at := data.find(_FLAC, at + 1)) >= 0:
        if data[at + 4 : at + 8] in _FLAC_INFO:
            starts.append(at)
    return _split(data, starts)


def _wav(data: mmap.mmap) -> Contents:
    """A killed recorder leaves lengths of zero; joined files have a second header where the first one ends."""
    if data[:4] != b"RIFF":
        return Contents()
    starts, at = [], 0
    while data[at : at + 4] == b"RIFF" and data[at + 8 : at + 12] == b"WAVE":
        starts.append(at)
        size = struct.unpack_from("<I", data, at + 4)[0]
        at += 8 + size + size % 2
        if size == 0:
            break
    if len(starts) > 1:
        return _split(data, starts)
    chunks = _chunks(data)
    if b"fmt " not in chunks or b"data" not in chunks:
        return Contents()
    place, size = chunks[b"data"]
    held = len(data) - place
    if size == 0 and held and data[place : place + 4] not in _OTHER_CHUNKS:
        whole = bytearray(data)
        struct.pack_into("<I", whole, 4, min(len(whole) - 8, 0xFFFFFFFF))
        struct.pack_into("<I", whole, place - 4, min(held, 0xFFFFFFFF))
        return Contents(pieces=[io.BytesIO(whole)], remarks=["its header gives no length, so it was read to its end"])
    byte_rate = struct.unpack_from("<I", data, chunks[b"fmt "][0] + 8)[0]
    if held < size < _LENGTH_UNKNOWN and byte_rate:
        return Contents(remarks=[f"it ends {(size - held) / byte_rate:.1f} s before its header says"])
    return Contents()


def _chunks(data: mmap.mmap) -> dict[bytes, tuple[int, int]]:
    """Name -> (where the contents begin, size by the header), up to the audio data."""
    found, at = {}, 12
    while at + 8 <= len(data) and b"data" not in found:
        name, size = struct.unpack_from("<4sI", data, at)
        found[name] = (at + 8, size)
        at += 8 + size + size % 2
    return found


def _split(data: mmap.mmap, starts: list[int]) -> Contents:
    if len(starts) < 2:
        return Contents()
    ends = [*starts[1:], len(data)]
    pieces = [io.BytesIO(data[start:end]) for start, end in zip(starts, ends, strict=True)]
    return Contents(pieces=pieces, remarks=[f"{len(pieces)} recordings in one file, all read"])
