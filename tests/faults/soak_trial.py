"""One schedule of soak.py: a run that is started again after every end, the faults that strike it, and its figures."""

import contextlib
import os
import random
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import soak_checks as check
from fault_data import options_of
from fault_runs import Program, start
from machines import LOST_SECONDS, Wire, start_machine
from soak_faults import (
    ALL,
    AT_START,
    ENDS_SOON,
    IN_USE,
    INSIDE,
    OF_DISKS,
    ON_DISK,
    ON_THE_WIRE,
    STRIKES,
    early_s,
    join,
    names_for,
)
from soak_setting import Fault, Setting

STARTS = 14  # of one schedule at most
UNTOUCHED_RUNS = 20  # a start of a schedule takes no longer than so many untouched runs
SOON_S = 20.0  # a clean shutdown takes no longer
LOST_S = LOST_SECONDS + 60.0  # until the agents of two machines notice that one is gone, and have ended
STEPS = {1: 40, 2: 20}  # of a whole run, by ranks
LAUNCHERS = ((1, "itself"), (1, "torchrun"), (2, "plain"), (2, "torchrun"), (2, "machines"))
SLOW = {"slow_steps": {"seconds": 0.05}}  # so that a fault strikes at its step and not behind the end


@dataclass(frozen=True)
class Schedule:
    seed: int
    kind: str
    ranks: int
    launcher: str
    faults: tuple[Fault, ...]

    def has(self, *names: str) -> bool:
        return any(fault.name in names for fault in self.faults)

    @property
    def options(self) -> dict:
        options = {} if self.kind == "audio" else options_of(self.kind)
        return options | ({"global_batch_size": 4} if self.has("other_ranks") else {})


@dataclass
class Record:
    """What was seen: faults by name, starts, and how the run went on after each end.

    `ends` holds (the last fault before the next step, steps that had to be repeated, seconds until the next step).
    """

    faults: Counter = field(default_factory=Counter)
    starts: int = 0
    ends: list[tuple[str, int, float]] = field(default_factory=list)


def drawn(seed: int) -> Schedule:
    """The schedule of a seed. One of its faults is the seed's, so that seeds in a row leave none out."""
    chance, sure, names = random.Random(seed), ALL[seed % len(ALL)], []
    while sure not in names:
        ranks, launcher = chance.choice(LAUNCHERS)
        kind = "audio" if launcher == "machines" else chance.choice(["audio", "audio", "dcgan"])
        names = names_for(kind, launcher)
    steps = sorted(chance.sample(range(2, STEPS[ranks] - 1), chance.randint(2, 5)))
    which = [sure, *(chance.choice(names) for _ in steps[1:])]
    chance.shuffle(which)
    faults = tuple(Fault(name, step, chance.randrange(1 << 16)) for name, step in zip(which, steps, strict=True))
    return Schedule(seed, kind, ranks, launcher, faults)


# --- one schedule -------------------------------------------------------------------------------------------------


@dataclass
class Pair:
    """Two machines as one program; faults of a process strike on one of them."""

    machines: list[Program]

    @property
    def output(self) -> str:
        return "".join(machine.output for machine in self.machines)

    @property
    def process(self) -> subprocess.Popen:
        """Of the machine that runs longer."""
        return next((one.process for one in self.machines if one.process.poll() is None), self.machines[0].process)

    def end(self, timeout: float) -> int:
        return max((machine.end(timeout) for machine in self.machines), key=abs)


class Trial:
    """One schedule, from its first start to the end of its run."""

    def __init__(
        self, schedule: Schedule, setting: Setting, wire: Wire | None, trace: Path, record: Record, untouched_s: float
    ) -> None:
        self.schedule, self.setting, self.wire, self.trace, self.record = schedule, setting, wire, trace, record
        self.waiting, self.outputs = list(schedule.faults), []
        self.end_within_s = 60 + UNTOUCHED_RUNS * untouched_s
        self.ended: tuple[int, float] | None = None  # last step that was begun, time
        self.slack_s = 0.0  # a machine that is slow to start is slow to end
        self.cause = ""  # the last fault
        self.watch = check.Watch(setting.folder)

    def run(self) -> None:
        """Raises AssertionError where an invariant does not hold."""
        self.watch.start()
        try:
            while self._start(len(self.outputs) + 1) != 0:
                assert len(self.outputs) < STARTS, f"not finished after {STARTS} starts: {self.outputs[-1][-3000:]}"
        finally:
            self.watch.end()

    def _start(self, number: int) -> int:
        """A start of the program and what it suffers; its exit code."""
        while self.outputs and self.waiting and self.waiting[0].name in ON_DISK:
            self._strike(ON_DISK, self._next(), self.setting)
        first = self._next() if self.waiting and self.waiting[0].name in AT_START else None
        os.environ[check.MARK] = mark = f"{os.getpid()}.{time.monotonic_ns()}"
        began, waiting = time.monotonic(), list(self.waiting)
        program = self._begin(first, number)
        self.record.starts += 1
        try:
            if first is not None and first.name == "launcher_killed_early":
                time.sleep(early_s(first))
                program.process.kill()
            self._measure_recovery(program, number, began)
            self.cause = first.name if first else ""
            bound = self._attend(program, number)
            code = program.end(bound)
        finally:
            if self.setting.relay:
                self.setting.relay.restore()
            check.no_orphans(mark, self.slack_s)
            with self.watch.aside:
                self.setting.disk.restore()
            self.outputs.append(program.output)
        check.no_traceback(program.output)
        # Without memory, or restarted by its launcher on a disk that cannot be written, it says what is missing.
        struck = waiting[: len(waiting) - len(self.waiting)] + ([first] if first else [])
        may_refuse = any(fault.name in ("memory_limit", *OF_DISKS) for fault in struck)
        assert code not in (2, 3) or may_refuse, f"exit code {code}: {program.output[-3000:]}"
        self.ended = max(check.begun(self.trace), default=-1), time.monotonic()
        return code

    def _next(self) -> Fault:
        fault = self.waiting.pop(0)
        self.record.faults[fault.name] += 1
        return fault

    def _strike(self, actions, fault: Fault, *where) -> None:
        """Has a fault strike, or counts it out if there was nothing that it could do."""
        if actions[fault.name](*where, fault) is False:
            self.record.faults[fault.name] -= 1
        else:
            self.cause = fault.name

    def _begin(self, first: Fault | None, number: int) -> Program | Pair:
        schedule, setting, name = self.schedule, self.setting, first.name if first else ""
        faults = SLOW | {"write_steps": {"path": str(self.trace), "start": number}}
        if name in INSIDE:
            faults |= {name: INSIDE[name](first.pick)}
        options = schedule.options | {"resume": "auto"}
        options |= {"num_workers": 2} if name in ("small_shared_memory", "stuck_readers") else {}
        if schedule.launcher == "machines":
            outputs = [setting.dataset.parent / f"{number}.{which}.output" for which in range(2)]
            options |= {"resume": None}  # two_nodes.sh resumes by itself
            return Pair([start_machine(self.wire, k, setting.folder, setting.dataset, outputs[k], faults, **options)
                         for k in range(2)])  # fmt: skip
        ranks = 3 - schedule.ranks if name == "other_ranks" else schedule.ranks
        torchrun = schedule.launcher == "torchrun"
        if name == "other_ranks" and ranks == 2:
            torchrun = True
        with contextlib.ExitStack() as stack:
            stdout = None
            if name == "output_full":
                stdout = stack.enter_context(open("/dev/full", "w"))
            elif name == "output_gone":
                reader = subprocess.Popen(["head", "-c", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
                stdout = stack.enter_context(reader.stdin)
            return start(setting.folder, setting.dataset, ranks=ranks, faults=faults, torchrun=torchrun, stdout=stdout,
                         preexec=join(setting.group), **options)  # fmt: skip

    def _attend(self, program: Program | Pair, number: int) -> float:
        """Has the faults strike that wait for a step of this start; returns how long its end may take from then on."""
        while self.waiting and (self.waiting[0].name in STRIKES or self.waiting[0].name in ON_THE_WIRE):
            if not self._reaches(program, number, self.waiting[0].step):
                return self.end_within_s
            fault = self._next()
            with contextlib.suppress(ProcessLookupError):  # the run ended at this moment
                self._strike(STRIKES | ON_THE_WIRE, fault, self._victim(program, fault), self.setting)
            if fault.name in ENDS_SOON:
                return self._soon()
        if self.waiting and self._reaches(program, number, self.waiting[0].step):
            self.record.faults["preempted"] += 1  # what waits befalls the files, or the next start
            self.cause = "preempted"
            program.process.terminate()
            return self._soon()
        return self.end_within_s

    def _soon(self) -> float:
        """How long an end may take that was asked for."""
        return (SOON_S if self.wire is None else LOST_S) + max(20.0, 2 * self.slack_s)

    def _victim(self, program: Program | Pair, fault: Fault) -> Program:
        return program.machines[fault.pick % 2] if isinstance(program, Pair) else program

    def _measure_recovery(self, program: Program | Pair, number: int, began: float) -> None:
        """Waits for the first step."""
        self._reaches(program, number, 0)
        steps, now = check.begun(self.trace, number), time.monotonic()
        self.slack_s = max(self.slack_s, now - began)
        if steps and self.ended is not None:
            lost = max(0, self.ended[0] - steps[0] + 1)
            self.record.ends.append((self.cause, lost, round(now - self.ended[1], 1)))

    def _reaches(self, program, number: int, step: int) -> bool:
        """Waits until a start begins a step; False if it ends before."""
        give_up = time.monotonic() + self.end_within_s
        while max(check.begun(self.trace, number), default=-1) < step:
            if program.process.poll() is not None:
                return False
            if time.monotonic() > give_up:
                program.end(0.1)  # which says what it printed
            time.sleep(0.02)
        return program.process.poll() is None


def check_end(schedule: Schedule, trial: Trial, reference: Path) -> None:
    """The invariants of a finished run."""
    folder = trial.setting.folder
    check.each_sample_once(trial.trace)
    skipped = [text for text in trial.outputs if "warning: skipped" in text]
    if skipped:  # latents that cannot be trusted are left out and named, which makes another run
        assert schedule.has(*IN_USE, "latents_rotten"), skipped[0][-3000:]
        check.latents_can_be_read_again(trial.setting.dataset)
    # What rots behind an unchanged time after it was compared is noticed by the next start: the run may have read it.
    if skipped or schedule.has("other_ranks", "latents_rotten_in_use"):
        check.same_course(folder, reference)
    else:
        check.same_run(folder, reference, board=not schedule.has(*OF_DISKS))
