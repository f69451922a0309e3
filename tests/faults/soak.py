"""Bad luck at random: seeded schedules of faults against tiny real runs, whose result must be that of an untouched run.

    python tests/faults/soak.py --minutes 30 --seed 1

A schedule has some faults, each at a random step of a run that is started again with `--resume auto` after every end,
as a cluster does it. A schedule that fails is cut down to the shortest one that still fails, and printed with its seed.
"""

import argparse
import contextlib
import dataclasses
import functools
import os
import shutil
import signal
import statistics
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
from soak_faults import ON_THE_WIRE, Setting  # noqa: E402
from soak_trial import Record, Schedule, Trial, check_end, drawn  # noqa: E402

SMALL_DISK = "64m"
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

    def possible(self, schedule: Schedule) -> Schedule:
        """The schedule, or the nearest one to it where there are no machines."""
        if schedule.launcher != "machines" or self.has_wires:
            return schedule
        faults = tuple(fault for fault in schedule.faults if fault.name not in ON_THE_WIRE)
        return dataclasses.replace(schedule, launcher="torchrun", faults=faults)

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
            disk = place / "disk"
            disk.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(disk)]
            small = subprocess.run(mount, capture_output=True).returncode == 0
            if small:
                stack.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
            dataset = place / "data"
            shutil.copytree(self.dataset(schedule.kind), dataset)
            setting, wire = Setting(disk / "run", dataset, small), None
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


def summary(record: Record, schedules: int) -> str:
    """A line for each kind of fault, and how long runs took to go on."""
    lines = [f"{schedules} schedules, {sum(record.faults.values())} faults, {record.starts} starts"]
    lines += [f"{name:20s} {count}" for name, count in sorted(record.faults.items())]
    for title, values in (("steps repeated", record.lost), ("seconds to the next step", record.recovery_s)):
        if values:
            lines.append(f"{title}: median {statistics.median(values):.1f}, worst {max(values):.1f}")
    return "\n".join(lines)


def figures(schedule: Schedule, record: Record) -> str:
    """What was seen in one schedule, in a line."""
    faults = ", ".join(record.faults.elements())
    seconds = " ".join(f"{value:.1f}" for value in record.recovery_s)
    lost = " ".join(map(str, record.lost))
    where = f"{schedule.kind}, {schedule.ranks} by {schedule.launcher}"
    return f"{where}: {faults}; {record.starts} starts; repeated {lost or '-'}; next step after {seconds or '-'} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first schedule; the next ones follow")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left of a schedule
    total, failed, done, until = Record(), 0, 0, time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        soak = Soak(Path(home))
        while time.monotonic() < until:
            schedule, record = drawn(args.seed + done), Record()
            done += 1
            reason = soak.attempt(schedule, record)
            total.add(record)
            print(
                f"seed {schedule.seed} {'holds' if reason is None else 'FAILS'}: {figures(schedule, record)}",
                flush=True,
            )
            if reason is not None:
                failed += 1
                print(f"  {reason[:3000]}", flush=True)
                print(f"  shortest: {soak.shortest(schedule)}", flush=True)
    print(summary(total, done))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
