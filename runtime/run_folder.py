"""The folder of a run: one owner at a time, an earlier run moved out of the way, lines of figures never twice."""

import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from errors import UserError
from runtime import checkpoint

_LOCK = ".lock"
_KEPT = {_LOCK, "earlier", "README.md", ".gitignore", ".gitkeep"}
_MARKS = ("metrics.jsonl", "config.yaml", "last.pt")


class RunLock:
    """Held by the one run that may write to a folder; the system frees it when the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self._file = open(folder / _LOCK, "a+", encoding="utf-8")  # noqa: SIM115 (held for the life of the run)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(f"{folder} is in use by {owner}: choose another --checkpoint_dir or end that run") from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}, since {_now()}")
        self._file.flush()

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


def open_folder(path: str | Path) -> tuple[Path, RunLock]:
    """The run's folder, made if need be, and its lock.

    Raises:
        UserError: it cannot be made or written to, or another run is using it.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder, RunLock(folder)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --checkpoint_dir"
        ) from None


def move_earlier_run(folder: Path) -> Path | None:
    """Moves what an earlier run left into `earlier/<its start time>/`; returns where it is now, or None."""
    if not any((folder / mark).exists() for mark in _MARKS) and not list(folder.glob("checkpoint_epoch_*.pt")):
        return None
    home = folder / "earlier" / _start_time(folder)
    suffix = 1
    while home.exists():
        suffix += 1
        home = home.with_name(f"{_start_time(folder)}-{suffix}")
    home.mkdir(parents=True)
    for item in sorted(folder.iterdir()):
        if item.name not in _KEPT:
            os.replace(item, home / item.name)
    return home


def _start_time(folder: Path) -> str:
    marks = [folder / "config.yaml", *(item for item in folder.iterdir() if item.name not in _KEPT)]
    first = next(mark for mark in marks if mark.exists())
    return datetime.fromtimestamp(first.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H-%M-%S")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def find_checkpoint(resume: str, folder: str | Path) -> Path | None:
    """The checkpoint that `--resume` means: a path, or for `auto` the newest readable one in the folder (None: none).

    Raises:
        UserError: the named checkpoint does not exist.
    """
    if resume != "auto":
        if not Path(resume).is_file():
            raise UserError(f"there is no checkpoint {resume}: give a .pt file, or --resume auto")
        return Path(resume)
    found = sorted(Path(folder).glob("*.pt"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return found[0] if found else None


def load_for_resume(resume: str, folder: str | Path, warn) -> tuple[Path, dict[str, Any]] | None:
    """Path and state to go on from. `auto` passes over damaged files, saying so through `warn`, and takes the one that
    is furthest on among the rest.

    Raises:
        UserError: the named checkpoint is missing, damaged or foreign; or every checkpoint in the folder is.
    """
    if resume != "auto":
        path = find_checkpoint(resume, folder)
        return path, checkpoint.load(path)
    candidates = sorted(Path(folder).glob("*.pt"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    best = None
    for path in candidates:
        try:
            state = checkpoint.load(path)
        except UserError as error:
            warn(f"passed over: {error}")
            continue
        if "counters" in state:
            best = path, state
            break
    if candidates and best is None:
        raise UserError(f"no checkpoint in {folder} can be used: start a new run without --resume")
    return best


def trim_metrics(path: Path, last_step: int) -> None:
    """Drops lines after `last_step` (and a half-written one): a resumed run writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= last_step:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    checkpoint.write_atomic(path, "".join(kept).encode())
