"""The folder of a run: one owner at a time, earlier runs are moved aside, no line of metrics is written twice."""

import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from errors import UserError
from runtime import checkpoint, files

_LOCK = ".lock"
_JOB = ".job"
_KEPT = {_LOCK, _JOB, "earlier", "README.md", ".gitignore", ".gitkeep"}
_MARKS = ("metrics.jsonl", "config.yaml", "last.pt")


class RunLock:
    """Lock of the one run that may write to a folder; the system frees it when the process ends, even if it is killed.

    Args:
        patience: seconds to wait for an owner that is about to exit: data readers briefly outlive a killed rank.
    """

    def __init__(self, folder: Path, patience: float = 0.0) -> None:
        self._file = open(folder / _LOCK, "a+", encoding="utf-8")  # noqa: SIM115 (held for the life of the run)
        give_up = time.monotonic() + patience
        while not self._taken():
            if time.monotonic() < give_up:
                time.sleep(0.1)
                continue
            self._file.seek(0)
            owner = self._file.read().strip() or "another process"
            self._file.close()
            raise UserError(f"{folder} is in use by {owner}: choose another --checkpoint_dir or end that run") from None
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}, since {_now()}")
        self._file.flush()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


def open_folder(path: str | Path, patience: float = 0.0) -> tuple[Path, RunLock]:
    """The run's folder, created if necessary, and its lock (see RunLock for `patience`).

    Raises:
        UserError: it cannot be made or written to, or another run is using it.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return folder, RunLock(folder, patience)
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror or error}; choose another --checkpoint_dir"
        ) from None


def move_earlier_run(folder: Path) -> Path | None:
    """Moves the files of an earlier run into `earlier/<its start time>/`; returns that folder, or None."""
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


# --- one job, several attempts -------------------------------------------------------------------------------------


def attempt() -> int:
    """The number of earlier attempts of this job: restarts by torchrun or by this program's own launcher."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) + int(os.environ.get("N2M_ATTEMPT", 0))


def _job() -> dict[str, str]:
    parent = os.getppid()
    try:
        started = Path(f"/proc/{parent}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        started = ""
    return {
        "run": os.environ.get("TORCHELASTIC_RUN_ID", "none"),
        "agent": f"{socket.gethostname()}:{parent}:{started}",
    }


def claim(folder: Path) -> None:
    """Records in the folder which job it belongs to, so that the job's next attempt recognises its own checkpoints."""
    files.write_bytes(folder / _JOB, json.dumps(_job()).encode())


def is_ours(folder: Path) -> bool:
    """Whether an earlier attempt of this job has claimed the folder, so that its files belong to this run."""
    try:
        owner = json.loads((folder / _JOB).read_text(encoding="utf-8"))
        mine = _job()
        same_agent = "TORCHELASTIC_RUN_ID" in os.environ and owner["agent"] == mine["agent"]
        return same_agent or (attempt() > 0 and owner["run"] == mine["run"] != "none")
    except (OSError, ValueError, KeyError, TypeError):
        return False


# --- which checkpoint to resume ------------------------------------------------------------------------------------


def progress_of(state: dict[str, Any] | None) -> tuple[int, int, int]:
    """The progress of a checkpoint, for comparison: (returns to an older checkpoint, samples, finished epochs)."""
    try:
        c = state["counters"]
        return int(c.get("rewinds", 0)), int(c["samples_seen"]), int(c["finished_epochs"])
    except (TypeError, KeyError, ValueError, AttributeError):
        return (-1, -1, -1)


def saves(folder: str | Path) -> list[tuple[tuple[int, int, int], Path]]:
    """The checkpoints in a folder with their progress: unreadable ones, then the most advanced, newest first."""
    found = [(progress_of(checkpoint.peek(path)), path) for path in Path(folder).glob("*.pt")]
    found.sort(key=lambda item: (item[0], item[1].stat().st_mtime_ns), reverse=True)
    return sorted(found, key=lambda item: item[0][0] >= 0)


def furthest_good(
    folder: str | Path, warn: Callable[[str], object], accept: Callable[[dict], bool] = lambda state: True
) -> tuple[Path, dict[str, Any]] | None:
    """Path and state of the most advanced checkpoint that is intact and accepted; `warn` reports damaged ones."""
    for _, path in saves(folder):
        try:
            state = checkpoint.load(path)
        except UserError as error:
            warn(f"warning: passed over: {error}")
            continue
        if progress_of(state)[0] >= 0 and accept(state):
            return path, state
    return None


def load_for_resume(
    resume: str, folder: str | Path, warn: Callable[[str], object]
) -> tuple[Path, dict[str, Any]] | None:
    """Path and state for `--resume`: a path, or for `auto` the most advanced intact checkpoint in the folder, if any.

    Raises:
        UserError: the named checkpoint is missing, damaged or foreign; or every checkpoint in the folder is.
    """
    if resume == "auto":
        found = furthest_good(folder, warn)
        if found is None and any(Path(folder).glob("*.pt")):
            raise UserError(f"no checkpoint in {folder} can be used: start a new run without --resume")
        return found
    if not Path(resume).is_file():
        raise UserError(f"there is no checkpoint {resume}: give a .pt file, or --resume auto")
    return Path(resume), checkpoint.load(resume)


def retain(folder: Path, keep_last: int) -> list[Path]:
    """Deletes all but the most advanced `keep_last` of checkpoint_epoch_*.pt (0: deletes none); returns the deleted
    ones.

    Nothing is deleted unless one of those that stay is intact. The files' times do not count: clocks are set back.
    """
    epochs = [path for path in Path(folder).glob("checkpoint_epoch_*.pt") if re.search(r"_\d+\.pt$", path.name)]
    if not keep_last or len(epochs) <= keep_last:
        return []
    ranked = sorted(saves(folder), key=lambda item: item[0][0] < 0)  # unreadable ones last
    ranked = [path for _, path in ranked if path in epochs]
    staying, going = ranked[:keep_last], ranked[keep_last:]
    if not any(checkpoint.is_whole(path) for path in staying):
        return []
    for path in going:
        path.unlink(missing_ok=True)
    return going


# --- metrics -------------------------------------------------------------------------------------------------------


def trim_metrics(path: Path, last_step: int, epoch_end_pending: bool = False) -> None:
    """Drops lines after `last_step` (and a half-written one): a resumed run writes them again.

    With `epoch_end_pending` the validation metrics of `last_step` will be computed again, so they are dropped as well.
    """
    if not path.exists():
        return
    kept = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
            step = line["step"]
            if step > last_step:
                continue
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
        if step == last_step and epoch_end_pending and any(name.startswith("val/") for name in line):
            line = {name: value for name, value in line.items() if not name.startswith("val/")}
            if "lr/g" not in line:
                continue
            text = json.dumps(line)
        kept.append(text + "\n")
    files.write_bytes(path, "".join(kept).encode())
