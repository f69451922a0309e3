"""What has to hold in every schedule of soak.py; each check raises AssertionError where it does not."""

import os
import re
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from fault_runs import ROOT, assert_same_run, board_steps, kill_tree, lines

from data.pairs import ReadError
from kinds.audio.latent_pairs import open_pairs
from runtime import checkpoint

MARK = "SOAK_START"  # environment variable by which the processes of a start are found
ORPHANS_WITHIN_S = 30.0
SAMPLES = 80  # of a whole run
SAME_FOR_ANY_RANKS = ("step", "epoch", "samples_seen", "alpha", "phase")


class Watch(threading.Thread):
    """From the first good save on there is always one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="watch", daemon=True)
        self.folder, self.problem, self._seen = folder, "", False
        self.aside = threading.Lock()  # who holds it may take the disk away for a while
        self._over = threading.Event()

    def _is_good_somewhere(self) -> bool:
        return any(checkpoint.is_whole(path) for path in self.folder.glob("*.pt"))

    def run(self) -> None:
        while not self._over.wait(0.3):
            with self.aside:
                good = self._is_good_somewhere() or self._is_good_somewhere()  # a file may be replaced in between
            if self._seen and not good:
                self.problem = "no good save is left"
            self._seen = self._seen or good

    def end(self) -> None:
        self._over.set()
        self.join()
        assert not self.problem, self.problem


def no_orphans(start: str, slack_s: float = 0.0) -> None:
    """No process of a start is left half a minute after its launcher, or later by `slack_s` on a slow machine."""
    give_up = time.monotonic() + ORPHANS_WITHIN_S + slack_s
    while left := _processes_of(start):
        if time.monotonic() > give_up:
            names = [Path(f"/proc/{pid}/cmdline").read_bytes()[:300] for pid in left]
            for pid in left:
                kill_tree(pid)
            raise AssertionError(f"processes outlive their launcher: {dict(zip(left, names, strict=True))}")
        time.sleep(0.1)


def _processes_of(start: str) -> list[int]:
    found, wanted = [], f"{MARK}={start}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def no_traceback(output: str) -> None:
    """None through the program's own code: torchrun's summary of what its workers said is one of torch's own.

    So is that of the torchrun in tests/faults/bin, and of the environment, which is in the same folder.
    """
    for part in output.split("Traceback (most recent call last)")[1:]:
        frames = re.split(r"\n(?=\S)", part, maxsplit=1)[0]
        own = re.search(rf'File "{re.escape(str(ROOT))}/(?!\.venv/|tests/faults/bin/)', frames)
        assert own is None, f"a traceback: {part[:3000]}"


def nothing_is_left(folder: Path, shared_before: Iterable[str]) -> None:
    """No temporary files, no shared memory of processes that are gone."""
    assert not list(folder.glob("**/.*.partial")), "temporary files are left"
    for name in set(os.listdir("/dev/shm")) - set(shared_before):
        owner = re.match(r"torch_(\d+)_", name)
        assert not (owner and not Path("/proc", owner[1]).exists()), f"shared memory is left: {name}"


def same_run(folder: Path, reference: Path, board: bool) -> None:
    """Figures, weights and state are those of the untouched run, and TensorBoard shows every step once."""
    assert_same_run(folder, reference)
    if board:
        shown, logged = board_steps(folder), [line["step"] for line in lines(folder) if "loss/g_total" in line]
        assert shown == logged, f"TensorBoard shows the steps {shown}"


def latents_can_be_read_again(dataset: Path) -> None:
    """What was altered is made again by the next start."""
    for pairs in open_pairs(dataset):
        for k in range(len(pairs)):
            try:
                pairs.input(k), pairs.target(k)
            except ReadError as error:
                raise AssertionError(f"not made again: {error}") from None


def same_course(folder: Path, reference: Path) -> None:
    """For a run whose ranks or samples changed on the way: steps, epochs and noise levels are those of an untouched
    run."""
    ours, theirs = ([{k: line[k] for k in SAME_FOR_ANY_RANKS} for line in lines(f)] for f in (folder, reference))
    assert ours == theirs


def begun(trace: Path, start: int | None = None) -> list[int]:
    """The steps that rank 0 has begun, in all starts or in one (see inject.write_steps)."""
    try:
        rows = [line.split() for line in Path(f"{trace}.0").read_text().splitlines(keepends=True) if line[-1] == "\n"]
    except OSError:
        return []
    return [int(row[2]) for row in rows if start is None or int(row[0]) == start]


def each_sample_once(trace: Path) -> None:
    """Of every step counts the attempt that made it last."""
    last: dict[int, tuple[tuple[int, int], list[int]]] = {}
    for path in trace.parent.glob(f"{trace.name}.*"):
        for line in path.read_text().splitlines():
            start, attempt, step, *indices = map(int, line.split())
            before, known = last.get(step, ((0, 0), []))
            if (start, attempt) > before:
                before, known = (start, attempt), []
            if (start, attempt) == before:
                last[step] = before, known + indices
    samples = [index for _, indices in last.values() for index in indices]
    assert sorted(samples) == list(range(SAMPLES)), f"samples by step: {dict(sorted(last.items()))}"
