"""Progress of a run: a bar on a terminal, a plain line now and then elsewhere (log files, pipes), and `train.log`."""

import contextlib
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from errors import printable
from monitoring.sample_words import CLIPS, SampleWords


class ProgressLine:
    """Shows epoch, step, phase, alpha, losses, speed and time left. Silent if `active` is false.

    Args:
        total_samples: the run's length.
        every_seconds: pause between plain lines if the output is not a terminal.
        words: what samples are called.
    """

    def __init__(
        self, total_samples: int, active: bool = True, every_seconds: float = 10.0, words: SampleWords = CLIPS
    ) -> None:
        self._total, self._every, self._active, self._words = total_samples, every_seconds, active, words
        self._first: tuple[float, int] | None = None
        self._last_line = -every_seconds
        self._log: TextIO | None = None
        self._bar = self._task = None
        if active and sys.stdout.isatty():
            from rich.progress import BarColumn, Progress, TextColumn

            self._bar = Progress(BarColumn(20), TextColumn("{task.description}", markup=False), transient=False)
            self._task = self._bar.add_task("starting", total=total_samples)
            self._bar.start()

    def log_to(self, path: Path) -> None:
        """From here on every line goes to a file as well, behind those that it has: a terminal may be lost. A file that
        cannot be written is left out."""
        if self._active:
            with contextlib.suppress(OSError):
                self._log = open(path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115

    def _write(self, text: str) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError, ValueError):  # of a full disk
                self._log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def update(
        self,
        samples_seen: int,
        step: tuple[int, int],
        epoch: tuple[int, int],
        phase: str,
        alpha: float,
        scalars: dict[str, float],
    ) -> None:
        """step, epoch: this one and how many there are."""
        if not self._active:
            return
        now = time.monotonic()
        self._first = self._first or (now, samples_seen)
        elapsed, done = now - self._first[0], samples_seen - self._first[1]
        speed = done / elapsed if elapsed > 0 and done else 0.0
        left = timedelta(seconds=round(max(0, self._total - samples_seen) / speed)) if speed else "?"
        short = {"loss/g_total": "G", "loss/d": "D", "d/real_prob": "D(x)", "d/fake_prob": "D(G)"}
        losses = "  ".join(f"{short[name]} {scalars[name]:.3f}" for name in short if name in scalars)
        where = "epoch {}/{}  step {}/{}".format(*epoch, *step)
        pace = f"{speed:.1f} {self._words.many}/s  {left} left"
        text = f"{where}  {self._words.phase(phase)}  alpha {alpha:.2f}  {losses}  {pace}"
        is_due = now - self._last_line >= self._every
        if self._bar is not None:
            self._bar.update(self._task, completed=samples_seen, description=text)
        elif is_due:
            print(text, flush=True)
        if is_due:
            self._last_line = now
            self._write(text)

    def say(self, text: str) -> None:
        """Prints a permanent line."""
        if not self._active:
            return
        text = printable(text)
        self._write(text)
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def guard(self, writing: Callable[[], object]) -> None:
        """Writes something optional: a full or read-only disk only gives a warning."""
        try:
            writing()
        except OSError as error:
            self.say(f"warning: {error.filename or 'a file'} cannot be written ({error.strerror}); training continues")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.close()
            self._log = None
