"""The machine's cores, and how threads wait on them."""

import os

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # environment variables: how OpenMP's threads wait


def available_cores() -> int:
    """Cores this process may run on; all of the machine's where the system does not say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sleep_while_waiting() -> None:
    """Has OpenMP's threads sleep while they wait for each other. By default they spin, and where another program needs
    one of their cores, most of a run's time is spent that way.

    Call it first in a program: OpenMP reads the environment once, when torch is imported. What the user set stays.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"
