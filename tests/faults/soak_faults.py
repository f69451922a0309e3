"""The faults of soak.py by name: what strikes a running program, what is injected into it, what befalls its files."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fault_runs import TRAIN, children, kill_tree


@dataclass(frozen=True)
class Fault:
    """One fault; `step` is when it strikes, for those that strike a running program."""

    name: str
    step: int
    pick: int


def _ranks_of(program) -> list[int]:
    """Processes of the ranks."""
    found = []
    for pid in children(program.process.pid):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"train_simple_ddp" in line or b"inject" in line:
            found.append(pid)
    return found or [program.process.pid]


def _one(program, fault: Fault) -> int:
    ranks = _ranks_of(program)
    return ranks[fault.pick % len(ranks)]


def kill_rank(program, fault) -> None:
    os.kill(_one(program, fault), signal.SIGKILL)


def kill_all(program, fault) -> None:
    kill_tree(program.process.pid)


def terminate(program, fault) -> None:
    program.process.terminate()


def hang_up(program, fault) -> None:
    os.killpg(program.process.pid, signal.SIGHUP)


def quit_(program, fault) -> None:
    os.killpg(program.process.pid, signal.SIGQUIT)


def pause(program, fault) -> None:
    """A rank stands still for up to three seconds, as on a swapping machine."""
    pid = _one(program, fault)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5 + fault.pick % 5 / 2)
    os.kill(pid, signal.SIGCONT)


def second_run(program, folder: Path, dataset: Path) -> None:
    """A second run on the folder is refused; the first stands still meanwhile, so that it cannot end before."""
    ranks = _ranks_of(program)
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    try:
        second = subprocess.run(
            [sys.executable, str(TRAIN), "--checkpoint_dir", str(folder), "--dataset_folder", str(dataset),
             "--max_steps", "1", "--num_threads", "1"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    finally:
        for pid in ranks:
            os.kill(pid, signal.SIGCONT)
    assert second.returncode == 2, second.stderr[-2000:]


SIGNALS = {"kill_rank": kill_rank, "kill_all": kill_all, "terminate": terminate, "hang_up": hang_up, "quit": quit_,
           "pause": pause}  # fmt: skip

INSIDE = {  # see inject.py; number of a save, bytes, index of a sample
    "kill_in_save": lambda pick: {"number": 1 + pick % 3},
    "read_only": lambda pick: {"after": pick % 4},
    "small_shared_memory": lambda pick: {"free": 1000},
    "stuck_readers": lambda pick: {"index": 10 + pick % 20, "patience": 3.0},
}


def truncate(folder: Path, fault: Fault) -> None:
    for path in _newest(folder):
        path.write_bytes(path.read_bytes()[: fault.pick % 5000])


def flip(folder: Path, fault: Fault) -> None:
    for path in _newest(folder):
        data = bytearray(path.read_bytes())
        data[len(data) * (fault.pick % 100) // 100] ^= 1 << fault.pick % 8
        path.write_bytes(data)


def delete(folder: Path, fault: Fault) -> None:
    for path in _newest(folder):
        path.unlink()


def _newest(folder: Path) -> list[Path]:
    """The newest save, if there is an older one."""
    saves = sorted(folder.glob("*.pt"), key=lambda path: path.stat().st_mtime)
    return saves[-1:] if len(saves) > 1 else []


ON_DISK = {"truncate": truncate, "flip": flip, "delete": delete}
BESIDE = ("second_run", "output_gone")
