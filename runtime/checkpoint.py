"""Checkpoints on disk: written atomically, verified by digest, tensors and plain types only.

A file is torch's own zip of tensors followed by a trailer of 40 bytes: the mark `N2MUSIC1` and the SHA-256 of the bytes
before it. `torch.load` can read the file directly; `load` checks the digest first.
"""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from earlier_versions import upgraded, with_current_codec
from errors import UserError
from runtime.files import atomic_file
from runtime.memory import is_out_of_memory

SCHEMA = 2
_MARK = b"N2MUSIC1"
_TRAILER = len(_MARK) + 32
_CHUNK = 4 << 20


class DamagedCheckpoint(UserError):
    """The file is truncated or modified: an older checkpoint may be usable."""


class _Hashed:
    """Hashes what it writes. The first error is stored instead of raised: an exception inside torch's zip writer would
    end the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sha = file, hashlib.sha256()
        self._error: OSError | None = None

    def write(self, data) -> int:
        if self._error is None:
            try:
                self._file.write(data)
                self._sha.update(data)
            except OSError as error:
                self._error = error
        return memoryview(data).nbytes

    def flush(self) -> None: ...

    def digest(self) -> bytes:
        if self._error is not None:
            raise self._error
        return self._sha.digest()


def _write_to(file: BinaryIO, state: dict[str, Any]) -> None:
    hashed = _Hashed(file)
    with _no_second_checksum():
        torch.save({"schema": SCHEMA} | state, hashed)
    file.write(_MARK + hashed.digest())


@contextmanager
def _no_second_checksum() -> Iterator[None]:
    """Turns off the zip's own checksums: the digest covers everything, and they would take half as long again."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def serialise(state: dict[str, Any]) -> bytes:
    """A checkpoint's bytes, trailer included."""
    buffer = io.BytesIO()
    _write_to(buffer, state)
    return buffer.getvalue()


def save(state: dict[str, Any], path: Path) -> None:
    """Saves a state of tensors and plain types, atomically.

    Raises:
        OSError: the disk is full or read-only; an earlier file of that name is intact.
    """
    with atomic_file(path) as file:
        _write_to(file, state)


def is_whole(path: Path) -> bool:
    """Whether the digest matches; the file is read in chunks."""
    try:
        with open(path, "rb") as file:
            left, sha = os.fstat(file.fileno()).st_size - _TRAILER, hashlib.sha256()
            while left > 0:
                piece = file.read(min(left, _CHUNK))
                if not piece:
                    return False
                sha.update(piece)
                left -= len(piece)
            return left == 0 and file.read() == _MARK + sha.digest()
    except OSError:
        return False


def load(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint; nothing in the file is ever executed.

    Raises:
        DamagedCheckpoint: the digest does not match.
        UserError: no such file, not a checkpoint of this program, or of another schema.
        Other errors if there is not enough memory, which say nothing about the file.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        if is_out_of_memory(error):
            raise
        raise UserError(f"cannot read checkpoint {path}: {error.strerror or error}") from None
    return decode(data, path)


def decode(data: bytes, path: str | Path) -> dict[str, Any]:
    """The state in a checkpoint's bytes; `path` is for messages. Raises as `load` does."""
    if data[-_TRAILER : -_TRAILER + len(_MARK)] != _MARK:
        raise DamagedCheckpoint(f"{path} is not a checkpoint of this program, or it is truncated: give another one")
    body = memoryview(data)[:-_TRAILER]
    if hashlib.sha256(body).digest() != data[-32:]:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged (its digest does not match): use an older one")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise UserError(f"checkpoint {path} is refused: it holds more than tensors and plain types") from None
    current = _as_current(state)
    if current is None:
        raise UserError(f"{path} is a checkpoint of another version of this program: schema {SCHEMA} is needed")
    return current


def _as_current(state: Any) -> dict[str, Any] | None:
    """The state converted to the current schema; None if its schema is unknown."""
    if not isinstance(state, dict) or state.get("schema") not in (1, SCHEMA):
        return None
    try:
        state = upgraded(state) if state["schema"] == 1 else state
        return with_current_codec(state)
    except (KeyError, TypeError, AttributeError, ValueError):  # required entries are missing
        return None


def peek(path: Path) -> dict[str, Any] | None:
    """The state with its tensors left on disk and its digest unchecked, to rank files by their counters. None if
    unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(**_lazily(path), map_location="cpu", weights_only=True)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return None
    return _as_current(state)


def _lazily(path: Path) -> dict[str, Any]:
    """How `torch.load` reads a file's tensors when they are needed, or at once: it maps no file whose path is not
    UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return {"f": io.BytesIO(path.read_bytes())}
    return {"f": path, "mmap": True}


def plain(value: Any) -> Any:
    """Converts nested tuples to lists, so that `weights_only` loading accepts them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
