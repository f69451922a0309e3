"""Checkpoints on disk: whole or not at all, checked by digest, tensors and plain types only.

A file is torch's own zip of tensors followed by a trailer of 40 bytes: the mark `N2MUSIC1` and the SHA-256 of all that
stands before it. `torch.load` reads the file as it is; `load` checks the digest first.
"""

import hashlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from errors import UserError

SCHEMA = 1
_MARK = b"N2MUSIC1"
_TRAILER = len(_MARK) + 32


class DamagedCheckpoint(UserError):
    """The file is cut short or changed: an older checkpoint may serve."""


def write_atomic(path: Path, data: bytes) -> None:
    """Writes beside the final name, flushes to disk, renames: a reader never sees half a file."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def serialise(state: dict[str, Any]) -> bytes:
    """A checkpoint's bytes, trailer included."""
    buffer = io.BytesIO()
    torch.save({"schema": SCHEMA} | state, buffer)
    data = buffer.getvalue()
    return data + _MARK + hashlib.sha256(data).digest()


def save(state: dict[str, Any], path: Path) -> None:
    """Saves a state of tensors and plain types.

    Raises:
        OSError: the disk is full or read-only; what stood under that name is intact.
    """
    write_atomic(path, serialise(state))


def load(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint; nothing in the file is ever executed.

    Raises:
        DamagedCheckpoint: the digest does not fit.
        UserError: no such file, no checkpoint of this program, or of another schema.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read checkpoint {path}: {error.strerror or error}") from None
    if data[-_TRAILER : -_TRAILER + len(_MARK)] != _MARK:
        raise DamagedCheckpoint(
            f"{path} is no checkpoint of this program, or it is cut short: give another with --resume"
        )
    body = memoryview(data)[:-_TRAILER]
    if hashlib.sha256(body).digest() != data[-32:]:
        raise DamagedCheckpoint(f"checkpoint {path} is damaged (its digest does not fit): use an older one")
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:
        raise UserError(f"checkpoint {path} is refused: {str(error).splitlines()[0]}") from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise UserError(f"{path} is a checkpoint of another version of this program: schema {SCHEMA} is needed")
    return state


def plain(value: Any) -> Any:
    """Nested tuples as lists and numbers as themselves, so that `weights_only` loading takes them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
