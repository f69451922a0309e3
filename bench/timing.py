"""Timing: two functions are timed alternately, so that other load on the machine affects both."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import torch


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Wall-clock seconds of one call, device work included; `clock` selects another clock."""
    synchronise()
    start = clock()
    work()
    synchronise()
    return clock() - start


@dataclass
class Comparison:
    """Seconds of each round of A and of B; neighbours in time are compared with each other.

    `cpu_a` and `cpu_b` are seconds of processor time, which other programs disturb less.
    """

    a: list[float]
    b: list[float]
    cpu_a: list[float] = field(default_factory=list)
    cpu_b: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median over rounds of A's time / B's time."""
        return median(x / y for x, y in zip(self.a, self.b, strict=True))

    def details(self, per: int = 1) -> dict[str, object]:
        ratios = sorted(x / y for x, y in zip(self.a, self.b, strict=True))
        return {
            "a_s": median(self.a) / per,
            "b_s": median(self.b) / per,
            "cpu_ratio": median(x / y for x, y in zip(self.cpu_a, self.cpu_b, strict=True)) if self.cpu_a else None,
            "rounds": len(ratios),
            "ratio_quartiles": [ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]],
        }


def compare(
    a: Callable[[], object], b: Callable[[], object], rounds: int, warm: bool = True, budget: float = 25.0
) -> Comparison:
    """Times A and B alternately: A B, B A, A B, ...; three rounds at least, no new one after `budget` seconds."""
    if warm:
        a()
        b()
    result = Comparison([], [])
    begun = time.perf_counter()
    for k in range(rounds):
        if k >= 3 and time.perf_counter() - begun > budget:
            break
        pair = [(result.a, result.cpu_a, a), (result.b, result.cpu_b, b)]
        for one in pair if k % 2 == 0 else pair[::-1]:
            record(*one)
    return result


def record(wall: list[float], cpu: list[float], work: Callable[[], object]) -> None:
    """Calls `work`; appends its wall-clock and its processor seconds."""
    cpu.append(seconds(lambda: wall.append(seconds(work)), time.process_time))


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The p of time ~ size^p: the slope of a least-squares line through the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(t) for t in times]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
