"""Bad luck at random: seeded schedules of faults against tiny real runs, whose result must be that of an untouched run.

    python tests/faults/soak.py --minutes 30 --seed 1

A schedule has some faults, each at a random step of a run that is started again with `--resume auto` after every end,
as a cluster does it. A schedule that fails is cut down to the shortest one that still fails, and printed with its seed.
"""

import argparse
import dataclasses
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from fault_runs import assert_same_run, kill_tree, last_step, run, start  # noqa: E402
from soak_faults import BESIDE, INSIDE, ON_DISK, SIGNALS, Fault, second_run  # noqa: E402

STARTS = 12  # of one schedule at most
END_WITHIN_S = 150.0
ORPHANS_WITHIN_S = 30.0
STEPS = {1: 40, 2: 20}  # of a whole run, by ranks


@dataclass(frozen=True)
class Schedule:
    seed: int
    ranks: int
    torchrun: bool
    faults: tuple[Fault, ...]


@dataclass
class Record:
    """What was seen: faults by name, starts, steps that had to be repeated, seconds from a fault to the next step."""

    faults: Counter = field(default_factory=Counter)
    starts: int = 0
    lost: list[int] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)


def drawn(seed: int) -> Schedule:
    """The schedule of a seed."""
    chance = random.Random(seed)
    ranks = chance.choice([1, 2])
    names = sorted([*SIGNALS, *INSIDE, *ON_DISK, *BESIDE])
    steps = sorted(chance.sample(range(2, STEPS[ranks] - 1), chance.randint(2, 4)))
    faults = tuple(Fault(chance.choice(names), step, chance.randrange(1 << 16)) for step in steps)
    return Schedule(seed, ranks, chance.random() < 0.5, faults)


# --- one schedule -------------------------------------------------------------------------------------------------


def suffer(schedule: Schedule, folder: Path, dataset: Path, reference: Path, record: Record) -> None:
    """Runs a schedule to the end of its run. Raises AssertionError where an invariant does not hold."""
    waiting, struck = list(schedule.faults), None
    shared = set(os.listdir("/dev/shm"))
    for _ in range(STARTS):
        fault = waiting.pop(0) if waiting else None
        if fault and fault.name in ON_DISK and folder.exists():
            ON_DISK[fault.name](folder, fault)
            record.faults[fault.name] += 1
            fault = None
        program = _begin(schedule, folder, dataset, fault)
        record.starts += 1
        try:
            code = _attend(program, schedule, folder, dataset, fault, record, struck)
        finally:
            left = _orphans(program)
        assert not left, f"processes {left} outlive their launcher"
        assert "Traceback" not in program.output or code < 0 or _reported(program.output), program.output[-3000:]
        struck = (last_step(folder), time.monotonic())
        if code == 0:
            break
        assert any(folder.glob("*.pt")) or last_step(folder) < 6, "no save is left"
    else:
        raise AssertionError(f"not finished after {STARTS} starts: {program.output[-3000:]}")
    assert_same_run(folder, reference)
    assert not list(folder.glob("**/*.tmp*")), "temporary files are left"
    assert not {name for name in set(os.listdir("/dev/shm")) - shared if "torch" in name}, "shared memory is left"


def _begin(schedule: Schedule, folder: Path, dataset: Path, fault: Fault | None):
    inside = fault is not None and fault.name in INSIDE
    faults = {fault.name: INSIDE[fault.name](fault.pick)} if inside else None
    more = {"num_workers": 2} if inside and fault.name in ("small_shared_memory", "stuck_readers") else {}
    if faults is None and schedule.ranks == 1:
        faults = {}
    torchrun = True if faults and schedule.ranks > 1 else schedule.torchrun and schedule.ranks > 1
    if not torchrun and schedule.ranks > 1:
        faults = None
    reader = None
    if fault is not None and fault.name == "output_gone":
        reader = subprocess.Popen(["head", "-c", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    stdout = reader.stdin if reader else None
    program = start(folder, dataset, ranks=schedule.ranks, faults=faults, torchrun=torchrun, resume="auto",
                    stdout=stdout, **more)  # fmt: skip
    if reader:
        reader.stdin.close()
    return program


def _attend(program, schedule, folder, dataset, fault, record, struck) -> int:
    """Waits for the step of a fault, lets it strike, and waits for the end; the exit code."""
    if struck is not None:
        _measure_recovery(program, folder, record, struck)
    if fault is not None:
        record.faults[fault.name] += 1
        _wait_for(program, folder, fault.step)
        if program.process.poll() is None and fault.name in SIGNALS:
            SIGNALS[fault.name](program, fault)
        elif program.process.poll() is None and fault.name == "second_run":
            second_run(program, folder, dataset)
    return program.end(END_WITHIN_S)


def _measure_recovery(program, folder: Path, record: Record, struck: tuple[int, float]) -> None:
    step, since = struck
    first = _first_step_of(program, folder, step)
    record.recovery_s.append(time.monotonic() - since)
    record.lost.append(max(0, step - first + 1) if first else 0)


def _first_step_of(program, folder: Path, before: int) -> int:
    """The first step that a new start makes: the figures are cut back to its checkpoint, then grow."""
    seen, give_up = before, time.monotonic() + END_WITHIN_S
    while program.process.poll() is None and time.monotonic() < give_up:
        now = last_step(folder)
        if now != seen:
            return now if now > seen else now + 1
        time.sleep(0.02)
    return 0


def _wait_for(program, folder: Path, step: int) -> None:
    give_up = time.monotonic() + END_WITHIN_S
    while program.process.poll() is None and last_step(folder) < step:
        assert time.monotonic() < give_up, f"no step {step} within {END_WITHIN_S} s: {program.output[-2000:]}"
        time.sleep(0.02)


def _orphans(program) -> list[int]:
    """Processes of a start that are still there half a minute after its launcher."""
    group, give_up = program.process.pid, time.monotonic() + ORPHANS_WITHIN_S
    while time.monotonic() < give_up:
        left = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _session_of(entry) == group]
        if not left:
            return []
        time.sleep(0.1)
    kill_tree(group)
    for pid in left:
        kill_tree(pid)
    return left


def _session_of(entry: Path) -> int:
    try:
        fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return -1
    return int(fields[3]) if fields[0] != "Z" else -1


def _reported(output: str) -> bool:
    """Whether torchrun's own summary is the only traceback."""
    return "train_simple_worker" not in output.split("Traceback", 1)[1].split("torch/distributed")[0]


# --- many schedules -----------------------------------------------------------------------------------------------


def attempt(schedule: Schedule, place: Path, dataset: Path, reference: Path, record: Record) -> str | None:
    """Why a schedule fails; None if it holds."""
    folder = place / "run"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        suffer(schedule, folder, dataset, reference, record)
    except (AssertionError, ProcessLookupError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def shortest(schedule: Schedule, place: Path, dataset: Path, reference: Path) -> Schedule:
    """A failing schedule without the faults that it fails without."""
    for k in range(len(schedule.faults) - 1, -1, -1):
        fewer = dataclasses.replace(schedule, faults=schedule.faults[:k] + schedule.faults[k + 1 :])
        if fewer.faults and attempt(fewer, place, dataset, reference, Record()):
            schedule = fewer
    return schedule


def summary(record: Record, schedules: int) -> str:
    """A line for each kind of fault, and how long runs took to go on."""
    lines = [f"{schedules} schedules, {sum(record.faults.values())} faults, {record.starts} starts"]
    lines += [f"{name:20s} {count}" for name, count in sorted(record.faults.items())]
    for title, values in (("steps repeated", record.lost), ("seconds to the next step", record.recovery_s)):
        if values:
            lines.append(f"{title}: median {statistics.median(values):.1f}, worst {max(values):.1f}")
    return "\n".join(lines)


def make_dataset(folder: Path) -> Path:
    from kinds.audio.preparing.prepare import Options, prepare

    prepare(Options(demo="songs", demo_songs=6, duration=1.0, workers=1, output_dir=folder))
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the next ones follow")
    args = parser.parse_args()
    record, failed, done, until = Record(), 0, 0, time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        place = Path(home)
        dataset, references = make_dataset(place / "pairs"), {}
        for ranks in (1, 2):
            references[ranks] = place / f"untouched_{ranks}"
            run(references[ranks], dataset, ranks=ranks, faults={})
        while time.monotonic() < until:
            schedule = drawn(args.seed + done)
            done += 1
            reason = attempt(schedule, place, dataset, references[schedule.ranks], record)
            print(f"seed {schedule.seed}: {'holds' if reason is None else reason[:3000]}", flush=True)
            if reason is not None:
                failed += 1
                print(f"  {shortest(schedule, place, dataset, references[schedule.ranks])}", flush=True)
    print(summary(record, done))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
