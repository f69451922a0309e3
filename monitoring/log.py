"""Metrics of a run: TensorBoard, and `metrics.jsonl` with one JSON object per logged step.

One line per step: further metrics of a step that has a line already (validation at an epoch's end) are added to it.
Everything but the object under `time` (speeds, waits) is reproducible: a resumed run writes the same lines, bit for
bit. A full disk loses no line: lines that cannot be written are kept and written later.
"""

import contextlib
import errno
import json
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


class RunLog:
    """Writes the metrics of a step. With `folder=None` (ranks other than 0) it writes nothing.

    Args:
        folder: the run's folder; metrics go to `metrics.jsonl` and `tb/` in it.
        purge_step: on resume, TensorBoard drops its data from this step on.
    """

    def __init__(self, folder: Path | None, purge_step: int | None = None) -> None:
        self._lines: _Lines | None = None
        self._board: _Board | None = None
        if folder is None:
            return
        self._lines = _Lines(folder / "metrics.jsonl")
        self._board = _Board(folder / "tb", purge_step)
        line = self._lines.last
        if purge_step is not None and line.get("step", -1) >= purge_step:  # purged from TensorBoard, not from the file
            self._board.numbers({k: v for k, v in line.items() if k != "time"}, line["step"])

    def metrics(
        self, step: int, header: dict[str, Any], scalars: dict[str, float], speeds: dict[str, float] | None = None
    ) -> None:
        """One line: `header` (step, epoch, alpha, phase, ...), named scalars, and `speeds` under `time`."""
        if self._lines is None:
            return
        line = {"step": step} | header | {name: _finite(value) for name, value in scalars.items()}
        if speeds:
            line["time"] = {name: round(value, 6) for name, value in speeds.items()}
        self._lines.add(line)
        self._board.numbers(header | scalars | {f"time/{k}": v for k, v in (speeds or {}).items()}, step)

    def flush(self) -> None:
        """Returns when the lines that are written are on the disk: a save without the figures before it would leave a
        gap in them if the machine loses its power. May be called by another thread. Raises OSError."""
        if self._lines is not None:
            self._lines.flush()

    def problem(self) -> str | None:
        """Why the last metrics could not be written; None if they were."""
        return None if self._lines is None else self._lines.problem or self._board.problem

    def text(self, name: str, text: str, step: int = 0) -> None:
        if self._board is not None:
            self._board.call("add_text", name, text, step)

    def audio(self, name: str, wav_N: np.ndarray, sample_rate: int, step: int) -> None:
        if self._board is not None:
            peak = max(1.0, float(np.abs(wav_N).max()))
            self._board.call("add_audio", name, wav_N[None] / peak, step, sample_rate)

    def image(self, name: str, image_HWC: np.ndarray, step: int) -> None:
        if self._board is not None:
            self._board.call("add_image", name, image_HWC, step, dataformats="HWC")

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._board.close()


class _Lines:
    """`metrics.jsonl`, whose last line may still be extended."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        whole = path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        self._end = len(whole)  # where the next line goes; an incomplete line there is overwritten
        self._start = whole[:-1].rfind(b"\n") + 1  # of the last line
        self.last: dict[str, Any] = json.loads(whole[self._start :]) if whole else {}
        self._waiting: list[bytes] = []
        self.problem: str | None = None

    def add(self, line: dict[str, Any]) -> None:
        if self.last.get("step") == line["step"]:
            line = self.last | line
            if self._waiting:
                self._waiting.pop()
            else:
                self._end = self._start
        self.last = line
        self._waiting.append(json.dumps(line).encode() + b"\n")
        self._write()

    def _write(self) -> None:
        data = b"".join(self._waiting)
        try:
            if os.pwrite(self._file, data, self._end) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._start = self._end + len(data) - len(self._waiting[-1])
            self._end += len(data)
            os.ftruncate(self._file, self._end)
        except OSError as error:
            self.problem = f"metrics wait to be written ({error.strerror})"
        else:
            self._waiting, self.problem = [], None

    def flush(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        if self._waiting:
            self._write()
        with contextlib.suppress(OSError):
            self.flush()
        os.close(self._file)


class _Board:
    """TensorBoard's files. If one cannot be written, it is closed, and the next metrics go to a new file.

    In a folder whose path is not UTF-8 there are none.
    """

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        self._folder, self._purge_step = folder, purge_step
        self._writer = None
        self._is_given_up = False
        self.problem: str | None = None
        threading.excepthook = _quiet
        self._try(lambda: None)

    def _try(self, action: Callable[[], object]) -> None:
        if self._is_given_up:
            return
        try:
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                _keep_order(self._folder)
                self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
                self._purge_step = None
            action()
            self.problem = None
        except UnicodeEncodeError:  # TensorBoard takes no other paths; there is nothing to try again
            self._writer, self._is_given_up = None, True
        except OSError as error:
            self.problem = f"TensorBoard's files cannot be written ({error.strerror})"
            self._writer = None

    def numbers(self, values: dict[str, Any], step: int) -> None:
        def write() -> None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name if "/" in name else f"training/{name}", value, step)

        self._try(write)

    def call(self, method: str, *args, **options) -> None:
        self._try(lambda: getattr(self._writer, method)(*args, **options))

    def close(self) -> None:
        if self._writer is not None:
            self._try(lambda: self._writer.close())


def _quiet(problem: threading.ExceptHookArgs, otherwise: Callable = threading.excepthook) -> None:
    """Prints no error of a thread of TensorBoard's that writes: the next call raises it again."""
    if type(problem.thread).__name__ != "_AsyncWriterThread" or not isinstance(
        problem.exc_value, OSError | MemoryError
    ):
        otherwise(problem)


def _keep_order(folder: Path) -> None:
    """Gives TensorBoard's files of earlier starts other names if the clock was set back since: it reads files in the
    order of their names, `events.out.tfevents.<seconds>.<machine>...`, and the next one has to come last."""
    now, earlier = int(time.time()), sorted(folder.glob("events.out.tfevents.*"))
    seconds = [int(path.name.split(".")[3]) for path in earlier]
    if not earlier or seconds[-1] <= now:
        return
    for place, (path, then) in enumerate(zip(earlier, seconds, strict=True)):
        words = path.name.split(".")
        words[3] = f"{min(then, now - len(earlier) + place):010d}"
        path.rename(folder / ".".join(words))


def _finite(value: float) -> float | str:
    """JSON has no NaN: a value that is not finite is written as a string."""
    return value if math.isfinite(value) else str(value)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; an incomplete last line is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
