"""Clocks: two things are timed in turns, so that whatever else the machine does falls on both."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import torch


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call, device work included."""
    synchronise()
    start = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - start


@dataclass
class Comparison:
    """Seconds of each round of A and of B; neighbours in time are compared with each other."""

    a: list[float]
    b: list[float]

    @property
    def ratio(self) -> float:
        """The median over rounds of A's time / B's time."""
        return median(x / y for x, y in zip(self.a, self.b, strict=True))

    def details(self, per: int = 1) -> dict[str, object]:
        ratios = sorted(x / y for x, y in zip(self.a, self.b, strict=True))
        return {
            "a_s": median(self.a) / per,
            "b_s": median(self.b) / per,
            "rounds": len(ratios),
            "ratio_quartiles": [ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4]],
        }


def compare(a: Callable[[], object], b: Callable[[], object], rounds: int, warm: bool = True) -> Comparison:
    """Times A and B in turns: A B, B A, A B, ..."""
    if warm:
        a()
        b()
    times: dict[str, list[float]] = {"a": [], "b": []}
    for k in range(rounds):
        for name, work in (("a", a), ("b", b)) if k % 2 == 0 else (("b", b), ("a", a)):
            times[name].append(seconds(work))
    return Comparison(times["a"], times["b"])


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The p of time ~ size^p: the slope of a least-squares line through the logarithms."""
    x, y = [math.log(s) for s in sizes], [math.log(t) for t in times]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
