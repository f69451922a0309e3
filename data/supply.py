"""Batches read ahead by processes of their own, or by the rank itself where that is not possible.

Which batch comes next depends on its index alone, so reading may change hands at any batch.
"""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from data.stream import Batch, SampleStream, Shares, rank_indices
from runtime.signals import end_with_rank

SHARED_MEMORY = Path("/dev/shm")  # batches of reading processes come through it
PATIENCE_S = 60.0  # without data; then the rank reads itself
_POLL_S = 1.0
_AHEAD = 4  # batches per process
_SPARE = 0.9  # share of the free shared memory that may be used


class Supply:
    """This rank's batches from global sample index `start` on, without end.

    Args:
        workers: processes that read ahead. They are left out where shared memory is too small for them, and given up
            when they die or no data come for a minute.
        local_world: ranks on this machine, which share its memory.
        say: takes a sentence when the rank reads itself instead.
    """

    def __init__(
        self, stream: SampleStream, start: int, per_rank: int, rank: int = 0, world: int = 1, workers: int = 0,
        pin: bool = False, local_world: int = 1, say: Callable[[str], object] = lambda sentence: None,
    ) -> None:  # fmt: skip
        self._stream, self._position = stream, start
        self._per_rank, self._rank, self._world = per_rank, rank, world
        self._pin, self._say = pin, say
        if workers:
            need = workers * _AHEAD * local_world * _batch_bytes(stream, per_rank)
            free = free_shared_memory()
            if free is not None and need > _SPARE * free:
                say(
                    f"note: --num_workers {workers} takes {_megabytes(need)} of shared memory, {SHARED_MEMORY} has "
                    f"{_megabytes(free)} free: each rank reads its own data (docker: a larger --shm-size reads ahead)"
                )
                workers = 0
        self._workers = workers
        self._batches = self._open()

    def __iter__(self) -> "Supply":
        return self

    def __next__(self) -> Batch:
        return self.take()

    def take(self, stopping: Callable[[], bool] = bool) -> Batch | None:
        """The next batch; None as soon as `stopping()` while there is none yet."""
        began = time.monotonic()
        while True:
            try:
                batch = next(self._batches)
                break
            except (RuntimeError, OSError, EOFError) as error:
                problem = _problem(error)
                if not self._workers or problem is None:
                    raise
                if stopping():
                    return None
                waited = time.monotonic() - began
                if problem == "" and waited < PATIENCE_S:
                    continue
                self._read_here(problem or f"no data came for {waited:.0f} s")
        self._position += self._per_rank * self._world
        return batch

    def close(self) -> None:
        """Ends the reading processes."""
        _end(self._batches)

    def _open(self) -> Iterator[Batch]:
        loader = torch.utils.data.DataLoader(
            Shares(self._stream),
            batch_size=None,
            sampler=_shares(self._position, self._per_rank, self._rank, self._world),
            num_workers=self._workers,
            pin_memory=self._pin,
            worker_init_fn=end_with_rank,
            timeout=_POLL_S if self._workers else 0,
            prefetch_factor=_AHEAD if self._workers else None,
            persistent_workers=bool(self._workers),
            generator=torch.Generator(),  # never the global generator
        )
        batches = iter(loader)
        if self._workers and threading.current_thread() is threading.main_thread():
            # torch would raise an error in the midst of a step; `take` notices lost processes itself.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return batches

    def _read_here(self, problem: str) -> None:
        self._say(
            f"warning: {problem} from the reading processes; this rank reads its own data from here on "
            f"(is {SHARED_MEMORY} full? a larger one, or --num_workers 0, avoids this)"
        )
        self.close()
        self._workers = 0
        self._batches = self._open()


def _shares(position: int, per_rank: int, rank: int, world: int) -> Iterator[list[int]]:
    # Not a method: it would keep a forgotten supply and its processes alive.
    while True:
        yield rank_indices(position, per_rank, rank, world)
        position += per_rank * world


def free_shared_memory() -> int | None:
    """Bytes; None where the system has no such folder."""
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        return None


def _batch_bytes(stream: SampleStream, per_rank: int) -> int:
    """Inputs and targets as float32; the last target belongs to the next rank's first sample."""
    return 4 * (2 * per_rank + 1) * torch.Size(stream.pairs.shape).numel()


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


def _problem(error: Exception) -> str | None:
    """What is wrong with the reading processes: "" if they are slow, None if the error is another one."""
    if isinstance(error, OSError | EOFError):  # what a process that was killed in its midst leaves
        return "nothing more comes"
    text = str(error)
    if "timed out after" in text:
        return ""
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
        return "nothing more comes"
    return None


def _end(batches: Iterator[Batch]) -> None:
    """They ignore SIGTERM, and torch waits seconds for each that is stuck, so they are killed: they only read."""
    processes = [process for process in getattr(batches, "_workers", []) if process.is_alive()]
    shut_down = getattr(batches, "_shutdown_workers", None)
    if shut_down is None:
        return
    for process in processes:
        process.kill()
    for process in processes:
        process.join()
    shut_down()
