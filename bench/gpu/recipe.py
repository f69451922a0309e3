"""The recipe `base` for the minutes that are left, measured by both rulers."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figure
from bench.workloads import ROOT

SONGS, HELD_OUT_SONGS, CLIPS = 104, 48, 128
TOY_SONGS = 8  # fewer have too few clips to be measured
EVALUATION_S = 100  # of the time that is left
START_UP_S = 25
STOPPING_S = 25  # a stopped run may take 20 s
FEWEST_STEPS = 20
SHARES = {"g_pretrain_steps": 0.5, "adv_ramp_steps": 0.07}  # of all steps; in the recipe they are meant for an hour
TOY = {
    "width": 32, "nhead": 2, "num_layers": 1, "crop_seconds": 0.5, "disc_width": 4, "global_batch_size": 4,
    "amp": "off",
}  # fmt: skip


@dataclass
class Training:
    """The time for it, and where it is done.

    Attributes:
        deadline: on `clock`, for all of it.
        environment: of the programs.
        run: starts a program with its options and stops it at a time on `clock`; returns its exit code.
    """

    folder: Path
    deadline: float
    toy: bool = False
    clock: Callable[[], float] = time.monotonic
    environment: dict[str, str] | None = None
    run: Callable[[list[object], float, dict[str, str] | None], int] | None = None

    def left(self) -> float:
        return self.deadline - self.clock()

    def program(self, *call: object, until: float | None = None) -> None:
        """Raises RuntimeError if it fails; a program that was stopped for lack of time has not failed."""
        run = self.run or run_until
        code = run([sys.executable, ROOT / call[0], *call[1:]], until or self.deadline, self.environment)
        if code not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):
            raise RuntimeError(f"{call[0]} ended with exit code {code}")


def run_until(call: list[object], until: float, environment: dict[str, str] | None = None) -> int:
    """Runs a program; at `until` (time.monotonic) it is asked to stop, and killed if it does not."""
    process = subprocess.Popen([str(word) for word in call], stdout=sys.stderr, env=environment)
    try:
        return process.wait(max(1.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        return process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def recipe(training: Training) -> list[Figure]:
    """Music, a short trial for the speed, training, evaluation; the figures of the trained run by both rulers."""
    folder = training.folder
    music(training)
    trial = train(training, "trial", FEWEST_STEPS, training.deadline)
    speed = steps_per_s(folder / "trial" / "metrics.jsonl")
    seconds = training.left() - EVALUATION_S - START_UP_S
    steps = max(FEWEST_STEPS, int(seconds * speed))
    trained = train(training, "base", steps, training.deadline - EVALUATION_S)
    found = [
        Figure("recipe base: steps", float(done(folder / "base" / "metrics.jsonl")), details={"planned": steps}),
        Figure("recipe base: training", trained / 60, unit=" min", details={"trial_s": trial}),
        Figure("recipe base: steps per second", steps_per_s(folder / "base" / "metrics.jsonl")),
    ]
    return found + evaluated(training)


def music(training: Training) -> None:
    numbers = (TOY_SONGS, TOY_SONGS) if training.toy else (SONGS, HELD_OUT_SONGS)
    songs = {"music": (numbers[0], 42), "held_out": (numbers[1], 43)}
    for name, (number, seed) in songs.items():
        options = ("--demo_songs", number, "--seed", seed, "--output_dir", training.folder / name)
        training.program("prepare_dataset.py", "--demo", *options)


def train(training: Training, name: str, steps: int, until: float) -> float:
    """Trains for so many steps, but not beyond `until`; returns the seconds."""
    began, folder = training.clock(), training.folder
    toy = TOY if training.toy else {}
    pairs = len(list((folder / "music" / "train").glob("*_target.wav")))
    batch = min(int(toy.get("global_batch_size", 64)), pairs)
    epochs = max(1, -(-steps * batch // max(1, pairs)))
    schedule = {option: round(share * steps) for option, share in SHARES.items()}
    options = toy | schedule | {
        "epochs": epochs, "global_batch_size": batch, "log_every": 5, "val_every": max(1, epochs // 4),
        "save_every": epochs, "sample_every": 0, "dataset_folder": folder / "music", "checkpoint_dir": folder / name,
    }  # fmt: skip
    words = [word for option, value in options.items() for word in (f"--{option}", value)]
    training.program("train_simple_ddp.py", "--config", ROOT / "recipes" / "base.yaml", *words, until=until)
    return training.clock() - began


def steps_per_s(metrics: Path) -> float:
    """The median of what a run logged, without its first, slow steps."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    times = sorted(line["time"]["step_s"] for line in lines if "step_s" in line.get("time", {}))[:-1]
    return 1 / times[len(times) // 2] if times else 1.0


def done(metrics: Path) -> int:
    return max(json.loads(line)["step"] for line in metrics.read_text(encoding="utf-8").splitlines())


def evaluated(training: Training) -> list[Figure]:
    """What evaluate.py finds, by each ruler that is installed."""
    folder = training.folder
    given = ("--reference", folder / "held_out" / "train", "--train", folder / "music" / "train")
    options = ("--num", CLIPS, "--rounds", 20, "--json", folder / "evaluation.json")
    training.program("evaluate.py", "--checkpoint", folder / "base", *given, *options)
    report = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
    found = []
    for ruler, measured in report["rulers"].items():
        name = next(name for name in measured["sets"] if name.startswith("base"))
        for metric, value in measured["sets"][name].items():
            if isinstance(value, dict) and value.get("value") is not None:
                found.append(Figure(f"recipe base, {ruler}: {metric.replace('_', ' ')}", value["value"], details=value))
    return found
