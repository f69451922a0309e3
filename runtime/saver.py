"""Saving in the background: the state is copied to the host, and a thread writes the copy.

Training waits for the copy only, and for the previous write if it is not finished: at most one write is in progress.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from runtime import checkpoint, devices


class HostCopy:
    """Copies states into host memory that is reused by every save; page-locked for tensors on a GPU."""

    def __init__(self) -> None:
        self._buffers: dict[tuple, Tensor] = {}

    def __call__(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state with every tensor replaced by a copy; valid until the next call."""
        copied = self._copy(state, ())
        devices.finish_copies()
        return copied

    def _copy(self, value: Any, where: tuple) -> Any:
        if isinstance(value, dict):
            return {key: self._copy(item, (*where, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._copy(item, (*where, k)) for k, item in enumerate(value)]
        if not isinstance(value, Tensor):
            return value
        buffer = self._buffers.get(where)
        if buffer is None or buffer.shape != value.shape or buffer.dtype != value.dtype:
            buffer = torch.empty(value.shape, dtype=value.dtype, pin_memory=value.is_cuda)
            self._buffers[where] = buffer
        return buffer.copy_(value.detach(), non_blocking=True)


class Saver:
    """Writes states in a separate thread, one at a time.

    Attributes:
        failed: names of files whose latest save failed.
        stalls: seconds that each call blocked its caller.
    """

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.stalls: list[float] = []
        self._copy = HostCopy()
        self._thread: threading.Thread | None = None
        self._jobs: queue.SimpleQueue[tuple] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._problems: list[str] = []

    def __call__(
        self,
        state: dict[str, Any],
        paths: list[Path],
        then: Callable[[], object] = lambda: None,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        """Starts to save a state under each of the paths. In the thread `before` is called first, which may raise
        OSError, and `then` after all of them succeeded."""
        began = time.perf_counter()
        self.wait()
        copied = self._copy(state)
        # One thread for all saves: where memory is short, Python can wait forever for a new one to begin.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="saver", daemon=True)
            self._thread.start()
        self._idle.clear()
        try:
            self._jobs.put((copied, paths, then, before))
        except BaseException:
            self._idle.set()
            raise
        self.stalls.append(time.perf_counter() - began)

    def _work(self) -> None:
        while True:
            self._write(*self._jobs.get())
            self._idle.set()

    def _write(
        self, state: dict[str, Any], paths: list[Path], then: Callable[[], object], before: Callable[[], object]
    ) -> None:
        with contextlib.suppress(OSError):  # a disk that refuses this refuses the save
            before()
        for path in paths:
            try:
                checkpoint.save(state, path)
                self.failed.discard(path.name)
            except Exception as error:  # a failed save must not end the run
                self.failed.add(path.name)
                self._problems.append(f"{path} could not be saved ({getattr(error, 'strerror', None) or error})")
        if not self.failed.intersection(path.name for path in paths):
            try:
                then()
            except Exception as error:
                self._problems.append(f"older checkpoints could not be removed ({error})")

    def wait(self) -> None:
        """Waits until nothing is left to write."""
        while not self._idle.wait(1.0) and self._thread.is_alive():
            pass

    def problems(self) -> list[str]:
        """What went wrong since the last call, one sentence each."""
        problems, self._problems = self._problems, []
        return problems
