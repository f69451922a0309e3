"""Applies a function to many items in several processes that never outlive their parent."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from errors import UserError

Item, Result = TypeVar("Item"), TypeVar("Result")


def run_all(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int, progress: Callable[[int, int], None]
) -> list[Result]:
    """`[work(item) for item in items]` in `workers` processes (in this one if that is 1), with progress(done, total).

    The first exception, Ctrl-C included, ends everything at once and is raised here.
    """
    if min(workers, len(items)) <= 1:
        return [_counted(work(item), i + 1, len(items), progress) for i, item in enumerate(items)]
    context = multiprocessing.get_context("spawn")  # forking a process in which torch has threads can hang
    with ProcessPoolExecutor(min(workers, len(items)), context, initializer=_tie_to, initargs=(os.getpid(),)) as pool:
        try:
            futures = [pool.submit(work, item) for item in items]
            _follow(futures, progress)
            return [future.result() for future in futures]
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            if isinstance(error, BrokenProcessPool):
                raise UserError(
                    "A worker process was killed, perhaps because memory ran out; run the same command again with "
                    "--workers 1 to continue."
                ) from None
            raise


def _counted(result: Result, done: int, total: int, progress: Callable[[int, int], None]) -> Result:
    progress(done, total)
    return result


def _follow(futures: list[Future], progress: Callable[[int, int], None]) -> None:
    """Report progress until all are done or one has failed."""
    running = set(futures)
    while running:
        done, running = wait(running, timeout=0.2, return_when=FIRST_EXCEPTION)
        progress(len(futures) - len(running), len(futures))
        if any(future.exception() for future in done):
            return


def _tie_to(parent: int) -> None:
    """Makes this process exit quietly on Ctrl-C, and within a second of its parent's death."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
