"""Clocks: two things are timed in turns, so that whatever else the machine does falls on both."""

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
    """Wall-clock seconds of one call, device work included; `clock` for others than the wall's."""
    synchronise()
    start = clock()
    work()
    synchronise()
    return clock() - start


@dataclass
class Comparison:
    """Seconds of each round of A and of B; neighbours in time are compared with each other.

    `cpu_a` and `cpu_b` are seconds of processor time: what to look at where other programs are busy as well.
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
    """Times A and B in turns: A B, B A, A B, ...; three rounds at least, none once `budget` seconds are over."""
    if warm:
        a()
        b()
    result = Comparison([], [])
    begun = time.perf_counter()
    for k in range(rounds):
        if k >= 3 and time.perf_counter() - begun > budget:
            break
        turns = [(result.a, result.cpu_a, a), (result.b, result.cpu_b, b)]
        for turn in turns if k % 2 == 0 else turns[::-1]:
            record(*turn)
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
