"""The recipe `base` for the minutes that are left, measured by both rulers."""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

from bench.figures import Figure
from bench.gpu.programs import STOPPED, run_until
from bench.workloads import ROOT

SONGS, HELD_OUT_SONGS = 104, 48
BATCH, FEWEST_STEPS = 64, 20
EVALUATION_S = 100  # of the time that is left
START_UP_S = 25
VALIDATION_SHARE = 0.05  # of training: four validations and the last checkpoint
SHARES = {"g_pretrain_steps": 0.5, "adv_ramp_steps": 0.07}  # of all steps; in the recipe they are meant for an hour
MEASURED = ("--num", 128, "--rounds", 20)
# At toy size; fewer songs have too few clips to be measured.
TOY_SONGS, TOY_STEPS = 4, 3
TOY_MEASURED = ("--num", 16, "--num_train", 16, "--rounds", 10, "--duration", 2)
TOY = {
    "width": 32, "nhead": 2, "num_layers": 1, "crop_seconds": 0.5, "disc_width": 4, "global_batch_size": 4,
    "amp": "off",
}  # fmt: skip


@dataclass
class Training:
    """The time for it, and where it is done.

    Attributes:
        deadline: on `clock`, for all of it; at toy size nothing is stopped.
        devices: that train.
        environment: of the programs.
        run: starts a program with its options and stops it at a time on `clock`; returns its exit code.
    """

    folder: Path
    deadline: float
    toy: bool = False
    devices: int = 1
    clock: Callable[[], float] = time.monotonic
    environment: dict[str, str] | None = None
    run: Callable[[list[object], float, dict[str, str] | None], int] | None = None

    def left(self) -> float:
        return self.deadline - self.clock()

    def program(self, *call: object, until: float | None = None) -> None:
        """Raises RuntimeError if it fails; a program that was stopped for lack of time has not failed."""
        run, until = self.run or run_until, math.inf if self.toy else until or self.deadline
        code = run([sys.executable, ROOT / call[0], *call[1:]], until, self.environment)
        if code not in (0, *STOPPED):
            raise RuntimeError(f"{call[0]} ended with exit code {code}")


def recipe(training: Training) -> list[Figure]:
    """Music, a short trial for the speed, training, evaluation; the figures of the trained run by both rulers."""
    folder = training.folder
    music(training)
    fewest = TOY_STEPS if training.toy else FEWEST_STEPS
    trial = train(training, "trial", fewest, training.deadline)
    speed = (1 - VALIDATION_SHARE) * steps_per_s(folder / "trial" / "metrics.jsonl")
    seconds = training.left() - EVALUATION_S - START_UP_S
    steps = fewest if training.toy else max(fewest, int(seconds * speed))
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
    batch = min(int(toy.get("global_batch_size", BATCH)), pairs)
    batch -= batch % training.devices
    epochs = max(1, -(-steps * batch // max(1, pairs)))
    schedule = {option: round(share * steps) for option, share in SHARES.items()}
    options = toy | schedule | {
        "epochs": epochs, "global_batch_size": batch, "log_every": 1 if toy else 5, "val_every": max(1, epochs // 4),
        "save_every": epochs, "sample_every": 0, "dataset_folder": folder / "music", "checkpoint_dir": folder / name,
    }  # fmt: skip
    words = [word for option, value in options.items() for word in (f"--{option}", value)]
    training.program("train_simple_ddp.py", "--config", ROOT / "recipes" / "base.yaml", *words, until=until)
    return training.clock() - began


def steps_per_s(metrics: Path) -> float:
    """Of a run that is half without its discriminator, half with it: from the median of what was logged in each phase,
    without its first, slow step."""
    phases: dict[int, list[float]] = {}
    for line in map(json.loads, metrics.read_text(encoding="utf-8").splitlines()):
        if "step_s" in line.get("time", {}):
            phases.setdefault(line["pretrain_phase"], []).append(line["time"]["step_s"])
    return 1 / mean(median(times[1:] or times) for times in phases.values())


def done(metrics: Path) -> int:
    return max(json.loads(line)["step"] for line in metrics.read_text(encoding="utf-8").splitlines())


def evaluated(training: Training) -> list[Figure]:
    """What evaluate.py finds, by one ruler after the other: the second needs more time than may be left."""
    from kinds.audio.rulers import usable_rulers

    folder, rulers = training.folder, usable_rulers(None)[0]
    given = ("--reference", folder / "held_out" / "train", "--train", folder / "music" / "train")
    numbers = TOY_MEASURED if training.toy else MEASURED
    found = []
    for ruler in rulers[:1] if training.toy else rulers:
        written = folder / f"evaluation_{ruler}.json"
        options = ("--rulers", ruler, *numbers, "--json", written)
        training.program("evaluate.py", "--checkpoint", folder / "base", *given, *options)
        found += figures_of(ruler, written)
    return found


def figures_of(ruler: str, written: Path) -> list[Figure]:
    """The metrics of the trained run in a file of evaluate.py, which is not there if its time was over."""
    if not written.exists():
        return [Figure(f"recipe base, {ruler}", None, note="no time was left")]
    sets = json.loads(written.read_text(encoding="utf-8"))["rulers"][ruler]["sets"]
    measured = next(values for name, values in sets.items() if name.startswith("base"))
    return [
        Figure(f"recipe base, {ruler}: {metric.replace('_', ' ')}", value["value"], details=value)
        for metric, value in measured.items()
        if isinstance(value, dict) and value.get("value") is not None
    ]
