"""The machine's cores, and how threads wait on them."""

import os

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # environment variables: how OpenMP's threads wait

SPINS = "100000"  # some 100,000 take a millisecond


def available_cores() -> int:
    """Cores this process may run on; all of the machine's where the system does not say (macOS)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def sleep_while_waiting() -> None:
    """Has OpenMP's threads spin for a millisecond while they wait for each other, then sleep. They would
    spin for three, and where another program needs one of their cores, most of a run's time is spent that way; where
    they sleep at once (OMP_WAIT_POLICY=passive) a step takes a seventh longer. For GNU's OpenMP, torch's on Linux.

    Call it first in a program: OpenMP reads the environment once, when torch is imported. What the user set stays.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS
