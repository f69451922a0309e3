"""Two runs side by side, each with as many threads as there are cores, and what one run pays for threads that
sleep.

Each run is a process of its own (this module as a program), which trains as many steps as it reads from standard input
and writes the seconds that they took.
"""

import os
import subprocess
import sys
from functools import partial

from bench.figures import Figure
from bench.timing import Comparison, seconds
from bench.workloads import ROOT, advance, dataset, open_run
from runtime.cores import SPINS, WAITING, available_cores

SLEEPING = {"GOMP_SPINCOUNT": SPINS}  # soon: as every program sets it, see runtime.cores
SPINNING = {"GOMP_SPINCOUNT": "300000"}  # GNU OpenMP's default
LIMIT_S = 240.0


class Trainee:
    """A training process that waits for commands."""

    def __init__(self, waiting: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in WAITING} | waiting
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], cwd=ROOT, env=environment, text=True,
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
    title = "a run beside another / a run alone, samples per second"
    if available_cores() < 2:
        return [Figure(title, None, ">= 0.45", note="needs two cores")]
    dataset()
    steps, rounds = (1, 1) if quick else (3, 9)
    kinds = {"sleeping": SLEEPING, "spinning": SPINNING}
    trainees = {name: [Trainee(waiting) for _ in range(2)] for name, waiting in kinds.items()}
    singly, side_by_side = ({name: [] for name in kinds} for _ in range(2))
    for _ in range(rounds + 1):
        for name, pair in trainees.items():
            singly[name].append(alone(pair[0], steps))
            side_by_side[name].append(together(pair, steps))
    for trainee in [one for pair in trainees.values() for one in pair]:
        trainee.end()
    # the first round warms up
    speeds = {name: Comparison(singly[name][1:], side_by_side[name][1:]) for name in kinds}
    cost = Comparison(singly["sleeping"][1:], singly["spinning"][1:])
    return [
        Figure(title, speeds["sleeping"].ratio, ">= 0.45", details=speeds["sleeping"].details(steps)),
        Figure(
            "the same, where waiting threads spin", speeds["spinning"].ratio, details=speeds["spinning"].details(steps)
        ),
        Figure(
            "step of a run alone, waiting threads sleep soon / spin", cost.ratio, "<= 1.03", details=cost.details(steps)
        ),
    ]


def train_on_command() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what the run itself prints is no answer
    run = open_run("demo")
    for line in sys.stdin:
        print(seconds(partial(advance, run, int(line))), file=answers, flush=True)


if __name__ == "__main__":
    train_on_command()
