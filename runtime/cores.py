"""The machine's cores, and how threads wait on them."""

import os
import time
from pathlib import Path

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # environment variables: how OpenMP's threads wait

SPINS = "100000"  # some 100,000 take a millisecond


def available_cores() -> int:
    """Cores this process may run on; all of the machine's where the system does not say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def crowded(threads: int) -> str | None:
    """A sentence on what to do if so many threads would share their cores with other programs that run now; None if
    they have them for themselves, or the system does not say.

    Threads of one step wait for each other, so that a run that shares its cores is slower by far more than the share
    (docs/performance.md). Nothing is changed unasked: sums are rounded in the order of the threads.
    """
    cores = available_cores()
    busy = round(busy_cores())
    left = max(1, cores - busy)
    if threads <= left:
        return None
    return (
        f"note: other programs keep {busy} of {cores} cores busy: beside them --num_threads {left} is faster than "
        f"{threads} (of runs side by side, give each its part of the cores)"
    )


def busy_cores(seconds: float = 0.2) -> float:
    """How many of this process's cores are busy while it waits so long; 0 where the system does not say."""
    try:
        before = _ticks()
        time.sleep(seconds)
        pairs = list(zip(before, _ticks(), strict=True))
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return sum(1 - (after[1] - then[1]) / max(1, after[0] - then[0]) for then, after in pairs)


def _ticks() -> list[tuple[int, int]]:
    """(all, idle) of each of this process's cores since the system's start (proc_stat(5))."""
    names, found = {f"cpu{core}" for core in os.sched_getaffinity(0)}, []
    for line in Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name in names:
            ticks = [int(value) for value in values]
            found.append((sum(ticks[:8]), ticks[3] + ticks[4]))
    return found


def sleep_while_waiting() -> None:
    """Has OpenMP's threads spin for a millisecond while they wait for each other, then sleep. They would
    spin for three, and where another program needs one of their cores, most of a run's time is spent that way; where
    they sleep at once (OMP_WAIT_POLICY=passive) a step takes a seventh longer. For GNU's OpenMP, torch's on Linux.

    Call it first in a program: OpenMP reads the environment once, when torch is imported. What the user set stays.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS
