"""A control group with a limit of memory, whose processes the kernel kills when there is none left."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOTS = (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup"))  # version 1, version 2
LIMITS = ("memory.limit_in_bytes", "memory.max")
USED = ("memory.usage_in_bytes", "memory.current")
KILLS = ("memory.oom_control", "memory.events")
SPARE = 8 << 20
MOST = 2 << 30  # taken at most
_TAKE = """
import time
held = []
while len(held) < {most} >> 23:
    held.append(bytearray(b"x" * (8 << 20)))
    time.sleep(0.01)
"""


class MemoryGroup:
    """Raises OSError where the system does not let us make one."""

    def __init__(self) -> None:
        for root, self._limit, self._used, self._kills in zip(ROOTS, LIMITS, USED, KILLS, strict=True):
            self._folder = root / f"n2m{os.getpid()}"
            with contextlib.suppress(OSError):
                self._folder.mkdir(exist_ok=True)
                if (self._folder / self._limit).exists():
                    return
                self._folder.rmdir()
        raise OSError("no group with a limit of memory can be made")

    def join(self, score: int = 500) -> None:
        """For a new process, whose own ones inherit it; the kernel kills those of higher scores first."""
        Path("/proc/self/oom_score_adj").write_text(str(score))
        (self._folder / "cgroup.procs").write_text(str(os.getpid()))

    @property
    def kills(self) -> int:
        """Processes that the kernel has killed."""
        words = (self._folder / self._kills).read_text().split()
        return int(words[words.index("oom_kill") + 1])

    def starve(self, is_over: Callable[[], bool]) -> None:
        """Has a further process take memory until the kernel has killed another one, or `is_over()`."""
        before, used = self.kills, int((self._folder / self._used).read_text())
        self._set(str(used + SPARE))
        taker = subprocess.Popen([sys.executable, "-c", _TAKE.format(most=MOST)], preexec_fn=lambda: self.join(0))
        try:
            give_up = time.monotonic() + 60
            while self.kills == before and not is_over() and taker.poll() is None and time.monotonic() < give_up:
                time.sleep(0.02)
        finally:
            taker.kill()
            taker.wait()
            self._set("-1" if self._limit == LIMITS[0] else "max")

    def _set(self, limit: str) -> None:
        with contextlib.suppress(OSError):  # busy: the usage has grown meanwhile
            (self._folder / self._limit).write_text(limit)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.rmdir()
