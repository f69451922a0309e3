"""Options and paths as users write them, atomic writing of files, and locks against a second writer."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from errors import UserError

PARTIAL = ".partial"  # suffix of unfinished files


class _EachOnce(yaml.SafeLoader):
    """Refuses mappings that hold a key twice, of which PyYAML takes the last without a word."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise yaml.YAMLError(f"{twice[0]} is there twice")
        return super().construct_mapping(node, deep)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file of options. Raises UserError if there is none, or if an option is there twice."""
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_EachOnce)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} must hold `option: value` lines")
    return {name: at_home(value) for name, value in values.items()}


def at_home(value: Any) -> Any:
    """A path that begins with ~ in the home folder: shells do that neither behind `--option=` nor in files. Other
    values are left as they are, lists are gone through."""
    if isinstance(value, list):
        return [at_home(one) for one in value]
    return os.path.expanduser(value) if isinstance(value, str) else value


@contextlib.contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on a normal exit it is flushed and renamed to `path`.

    On an exception the temporary file is removed and `path` is as it was. `durable=False` skips the flush to disk:
    for files that can be made again if the machine fails.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PARTIAL)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        if durable:
            flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        flush(path.parent)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file open for writing that becomes `path` as in `atomic_path`."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        yield file
        file.flush()


def flush(path: Path) -> None:
    """Have the operating system put a file's contents, or a folder's list of names, on the disk before returning."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, atomically."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically; names of files that are no UTF-8 are escaped."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def remove_partial(folder: Path) -> int:
    """Removes unfinished files of a killed writer; returns how many. Only for the owner of the folder."""
    stale = list(folder.glob(f".*{PARTIAL}"))
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def file_digest(path: Path) -> str:
    """First 32 hexadecimal digits (128 bits) of the SHA-256 of the contents of `path`. Raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


@contextlib.contextmanager
def locked(path: Path, wait: bool) -> Iterator[bool]:
    """Hold an exclusive advisory lock on the file `path` (made if missing); the system frees it if the process dies.

    Yields True when held. With `wait=False` yields False at once if another process holds it.
    """
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
