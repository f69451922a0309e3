"""Two runs side by side, with a part of the cores each and with a thread per core each, beside one run alone; and what
one run pays for threads that sleep.

Each run is a process of its own (this module as a program), which trains as many steps as it reads from standard input
and writes the seconds that they took. Its argument is the number of threads.
"""

import os
import subprocess
import sys
from functools import partial

import torch

from bench.figures import Figure
from bench.timing import Comparison, seconds
from bench.workloads import ROOT, advance, dataset, open_run
from runtime.cores import SPINS, WAITING, available_cores

SLEEPING = {"GOMP_SPINCOUNT": SPINS}  # soon: as every program sets it, see runtime.cores
SPINNING = {"GOMP_SPINCOUNT": "300000"}  # GNU OpenMP's default
LIMIT_S = 240.0


class Trainee:
    """A training process that waits for commands."""

    def __init__(self, waiting: dict[str, str], threads: int) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in WAITING} | waiting
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(threads)], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def begin(self, steps: int) -> None:
        print(steps, file=self._process.stdin, flush=True)

    def taken(self) -> float:
        """Of the steps that were begun last."""
        return float(self._process.stdout.readline())

    def end(self) -> None:
        self._process.stdin.close()
        self._process.wait(LIMIT_S)


def alone(trainee: Trainee, steps: int) -> float:
    trainee.begin(steps)
    return trainee.taken()


def together(trainees: list[Trainee], steps: int) -> float:
    """Mean seconds of runs that train at the same time."""
    for trainee in trainees:
        trainee.begin(steps)
    return sum(trainee.taken() for trainee in trainees) / len(trainees)


def beside(quick: bool) -> list[Figure]:
    """Samples per second of a run beside another over those of a run alone: a half is what two such runs can get."""
    title, cores = "a run beside another, each with half of the cores / a run alone", available_cores()
    if cores < 2:
        return [Figure(title, None, ">= 0.45", note="needs two cores")]
    dataset()
    steps, rounds = (1, 1) if quick else (3, 9)
    kinds = {"shared": (SLEEPING, cores // 2), "sleeping": (SLEEPING, cores), "spinning": (SPINNING, cores)}
    pairs = {name: [Trainee(*kind) for _ in range(2)] for name, kind in kinds.items()}
    singly, side_by_side = ({name: [] for name in kinds} for _ in range(2))
    for _ in range(rounds + 1):
        for name, pair in pairs.items():
            if name != "shared":
                singly[name].append(alone(pair[0], steps))
            side_by_side[name].append(together(pair, steps))
    for trainee in [one for pair in pairs.values() for one in pair]:
        trainee.end()
    # the first round warms up; a run alone has a thread per core
    compared = {
        title: Comparison(singly["sleeping"][1:], side_by_side["shared"][1:]),
        "the same with a thread per core each": Comparison(singly["sleeping"][1:], side_by_side["sleeping"][1:]),
        "the same, where waiting threads spin": Comparison(singly["spinning"][1:], side_by_side["spinning"][1:]),
        "step of a run alone, waiting threads sleep soon / spin": Comparison(
            singly["sleeping"][1:], singly["spinning"][1:]
        ),
    }
    bars = (">= 0.45", "", "", "<= 1.03")
    return [
        Figure(name, comparison.ratio, bar, details=comparison.details(steps))
        for (name, comparison), bar in zip(compared.items(), bars, strict=True)
    ]


def train_on_command() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the run itself prints is no answer
    run = open_run("demo")
    torch.set_num_threads(int(sys.argv[1]))
    for line in sys.stdin:
        print(seconds(partial(advance, run, int(line))), file=answers, flush=True)


if __name__ == "__main__":
    train_on_command()
