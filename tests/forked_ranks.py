"""Ranks of a run as processes, forked from one that has imported torch already: a second instead of ten."""

import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

_PRELOADED = ["train_simple_worker", "torch._dynamo", "torch.utils.tensorboard"]
_CONTEXT = multiprocessing.get_context("forkserver")


class ForkedRanks:
    """Calls `work(*args)` on each rank, in the environment that torchrun would give it.

    What `work` returns is the rank's exit code (None: 0). Its output is kept and not shown.
    """

    def __init__(self, world: int, work: Callable[..., int | None], *args) -> None:
        _CONTEXT.set_forkserver_preload(_PRELOADED)
        with mock.patch.dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(sys.path)):
            forkserver.ensure_running()
        self._folder = tempfile.TemporaryDirectory()
        job = {"WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
        self.processes = []
        for rank in range(world):
            own = {name: str(value) for name, value in (job | {"RANK": rank, "LOCAL_RANK": rank}).items()}
            log = f"{self._folder.name}/{rank}"
            self.processes.append(_CONTEXT.Process(target=_one_rank, args=(work, args, own, os.getcwd(), log)))
        for process in self.processes:
            process.start()

    def wait(self, timeout: float = 60) -> list[int]:
        """The ranks' exit codes. Ranks that hang are ended, and have the exit code -9."""
        give_up = time.monotonic() + timeout
        for process in self.processes:
            process.join(max(0.0, give_up - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        return [process.exitcode for process in self.processes]

    def output(self, rank: int, stream: str) -> str:
        """What a rank wrote to "out" or "err"."""
        return Path(f"{self._folder.name}/{rank}.{stream}").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _one_rank(work: Callable[..., int | None], args: tuple, job: dict[str, str], cwd: str, log: str) -> None:
    os.environ.update(job)
    os.chdir(cwd)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    sys.exit(work(*args))
