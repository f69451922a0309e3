"""Bad luck at random: seeded schedules of faults against tiny real runs, whose result must be that of an untouched run.

    python tests/faults/soak.py --minutes 30 --seed 1 --log soak.jsonl

A schedule has some faults, each at a random step of a run that is started again with `--resume auto` after every end,
as a cluster does it. A schedule that fails is cut down to the shortest one that still fails, and printed with its seed.
`soak_table.py` makes a table of logs.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import soak_checks as check  # noqa: E402
from fault_data import make_pairs, make_sprites, options_of  # noqa: E402
from fault_runs import run  # noqa: E402
from machines import Relay, namespaces  # noqa: E402
from memory_group import MemoryGroup  # noqa: E402
from soak_faults import ON_THE_WIRE  # noqa: E402
from soak_setting import Disk, Setting  # noqa: E402
from soak_table import table  # noqa: E402
from soak_trial import Record, Schedule, Trial, check_end, drawn  # noqa: E402

LIMIT_S = 1800.0  # of an untouched run, on the slowest machine


class Soak:
    """Where schedules are run: datasets and untouched runs, made when they are needed."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._datasets: dict[str, Path] = {}
        self._references: dict[tuple[str, int], Path] = {}
        self.untouched_s = 0.0  # longest time of an untouched run

    def dataset(self, kind: str) -> Path:
        if kind not in self._datasets:
            make = make_pairs if kind == "audio" else make_sprites
            self._datasets[kind] = make(self.home / kind)
        return self._datasets[kind]

    def reference(self, kind: str, ranks: int) -> Path:
        """The folder of an untouched run."""
        if (kind, ranks) not in self._references:
            folder = self.home / f"untouched_{kind}_{ranks}"
            options = {} if kind == "audio" else options_of(kind)
            dataset, began = self.dataset(kind), time.monotonic()
            run(folder, dataset, ranks=ranks, faults={}, limit_s=LIMIT_S, **options)
            self.untouched_s = max(self.untouched_s, time.monotonic() - began)
            self._references[kind, ranks] = folder
        return self._references[kind, ranks]

    @functools.cached_property
    def has_wires(self) -> bool:
        """Whether the system lets us make two machines and a wire between them."""
        relay = Relay()
        with contextlib.closing(relay), namespaces(relay.between) as wire:
            return wire is not None

    @functools.cached_property
    def refused_by_disks(self) -> set[str]:
        """The faults of disks for which the system would have to let us mount something; says so."""
        with tempfile.TemporaryDirectory(dir=self.home) as place:
            disk = Disk(Path(place), can_fail=True)
            can = {"full_disk": disk.is_small, "read_only_disk": disk.make_read_only()}
            disk.restore()
            can["failed_disk"] = disk.fail()
            disk.close()
        refused = {name for name, is_possible in can.items() if not is_possible}
        if refused:
            print(f"left out, since nothing can be mounted for them here: {', '.join(sorted(refused))}", flush=True)
        return refused

    def possible(self, schedule: Schedule) -> Schedule:
        """The schedule, or the nearest one to it where there are no machines, or no disks of their own."""
        refused, launcher = set(self.refused_by_disks), schedule.launcher
        if launcher == "machines" and not self.has_wires:
            refused, launcher = refused | {*ON_THE_WIRE}, "torchrun"
        faults = tuple(fault for fault in schedule.faults if fault.name not in refused)
        return dataclasses.replace(schedule, launcher=launcher, faults=faults)

    def attempt(self, schedule: Schedule, record: Record) -> str | None:
        """Why a schedule fails; None if it holds."""
        schedule = self.possible(schedule)
        reference = self.reference(schedule.kind, 2 if schedule.has("other_ranks") else schedule.ranks)
        place, shared = Path(tempfile.mkdtemp(prefix="schedule-", dir=self.home)), os.listdir("/dev/shm")
        try:
            with self._setting(schedule, place) as (setting, wire):
                trial = Trial(schedule, setting, wire, place / "trace", record, self.untouched_s)
                trial.run()
                check_end(schedule, trial, reference)
                check.nothing_is_left(setting.folder, shared)
        except (AssertionError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return None

    @contextlib.contextmanager
    def _setting(self, schedule: Schedule, place: Path):
        with contextlib.ExitStack() as stack:
            disk = Disk(place, can_fail=schedule.has("failed_disk"))
            stack.callback(disk.close)
            dataset = place / "data"
            shutil.copytree(self.dataset(schedule.kind), dataset)
            setting, wire = Setting(disk, dataset), None
            if schedule.has("out_of_memory"):
                with contextlib.suppress(OSError):
                    setting.group = MemoryGroup()
                    stack.callback(setting.group.close)
            if schedule.launcher == "machines":
                setting.relay = Relay()
                stack.callback(setting.relay.close)
                wire = stack.enter_context(namespaces(setting.relay.between))
            yield setting, wire

    def shortest(self, schedule: Schedule) -> Schedule:
        """A failing schedule without the faults that it fails without."""
        for k in range(len(schedule.faults) - 1, -1, -1):
            fewer = dataclasses.replace(schedule, faults=schedule.faults[:k] + schedule.faults[k + 1 :])
            if fewer.faults and self.attempt(fewer, Record()):
                schedule = fewer
        return schedule


def figures(schedule: Schedule, record: Record, reason: str | None, seconds: float) -> dict:
    """What was seen in one schedule."""
    return {
        "seed": schedule.seed, "where": f"{schedule.kind}, {schedule.ranks} by {schedule.launcher}",
        "faults": dict(+record.faults), "starts": record.starts, "ends": record.ends, "seconds": round(seconds, 1),
        "fails": reason,
    }  # fmt: skip


def in_a_line(seen: dict) -> str:
    """The figures of a schedule, to be read."""
    faults = ", ".join(f"{name} {count}" if count > 1 else name for name, count in seen["faults"].items())
    ends = ", ".join(f"{lost} steps and {seconds} s after {cause}" for cause, lost, seconds in seen["ends"])
    verdict = "holds" if seen["fails"] is None else "FAILS"
    return f"seed {seen['seed']} {verdict}: {seen['where']}: {faults}; {seen['starts']} starts; {ends or 'no end'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the next ones follow")
    parser.add_argument(
        "--log", type=Path, default=Path(os.devnull), help="a file that gets a line of JSON per schedule"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left of a schedule
    args.log.parent.mkdir(parents=True, exist_ok=True)
    all_seen, until = [], time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        soak = Soak(Path(home))
        while time.monotonic() < until:
            schedule, record, began = drawn(args.seed + len(all_seen)), Record(), time.monotonic()
            reason = soak.attempt(schedule, record)
            seen = figures(schedule, record, reason, time.monotonic() - began)
            all_seen.append(seen)
            with open(args.log, "a") as file:
                file.write(json.dumps(seen) + "\n")
            print(in_a_line(seen), flush=True)
            if reason is not None:
                print(f"  {reason[:3000]}", flush=True)
                print(f"  shortest: {soak.shortest(schedule)}", flush=True)
    print(table(all_seen))
    return 1 if any(seen["fails"] for seen in all_seen) else 0


if __name__ == "__main__":
    sys.exit(main())
