"""The faults of soak.py by name: what strikes a running program and what is injected into it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fault_runs import TRAIN, children, default_signals, kill_tree
from memory_group import MemoryGroup
from soak_files import OF_LATENTS, OF_SAVES
from soak_setting import Fault

from runtime.files import locked


def _ranks_of(program) -> list[int]:
    """Processes of the ranks, without those that read for them."""
    below = children(program.process.pid)
    ranks = {pid for pid in below if b"\0RANK=" in b"\0" + _stat(pid, "environ")}
    return [pid for pid in below if pid in ranks and _parent(pid) not in ranks] or [program.process.pid]


def _parent(pid: int) -> int:
    fields = _stat(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _stat(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _signal_one(program, fault: Fault, number: int) -> None:
    ranks = _ranks_of(program)
    os.kill(ranks[fault.pick % len(ranks)], number)


# --- what strikes a running program: (program, setting, fault) ------------------------------------------------------


def kill_rank(program, setting, fault) -> None:
    _signal_one(program, fault, signal.SIGKILL)


def kill_launcher(program, setting, fault) -> None:
    program.process.kill()


def kill_all(program, setting, fault) -> None:
    kill_tree(program.process.pid)


def terminate(program, setting, fault) -> None:
    program.process.terminate()


def terminate_rank(program, setting, fault) -> None:
    _signal_one(program, fault, signal.SIGTERM)


def hang_up(program, setting, fault) -> None:
    os.killpg(program.process.pid, signal.SIGHUP)


def hang_up_rank(program, setting, fault) -> None:
    _signal_one(program, fault, signal.SIGHUP)


def quit_(program, setting, fault) -> None:
    os.killpg(program.process.pid, signal.SIGQUIT)


def pause(program, setting, fault) -> None:
    """A rank stands still for up to three seconds, as on a swapping machine."""
    ranks = _ranks_of(program)
    _stand_still(ranks[fault.pick % len(ranks)], fault)


def pause_launcher(program, setting, fault) -> None:
    _stand_still(program.process.pid, fault)


def _stand_still(pid: int, fault: Fault) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5 + fault.pick % 5 / 2)
    os.kill(pid, signal.SIGCONT)


def second_run(program, setting, fault) -> bool:
    """A second run on the folder is refused; the first stands still meanwhile, so that it cannot end before."""
    if setting.disk.refuses:
        return False
    ranks = _ranks_of(program)
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    try:
        with locked(setting.folder / ".lock", wait=False) as is_free:
            if is_free:
                return False  # the first run has ended at this moment
        second = subprocess.run(
            [sys.executable, str(TRAIN), "--checkpoint_dir", str(setting.folder),
             "--dataset_folder", str(setting.dataset), "--max_steps", "1", "--num_threads", "1"],
            capture_output=True, text=True, timeout=150,
        )  # fmt: skip
    finally:
        for pid in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert second.returncode == 2 and "is in use by" in second.stderr, second.stderr[-2000:]
    return True


def full_disk(program, setting, fault) -> bool:
    """The disk of the run's folder is full until the program ends."""
    return setting.disk.fill()


def read_only_disk(program, setting, fault) -> bool:
    """The disk of the run's folder is mounted read-only, for up to four seconds or until the program ends."""
    done = setting.disk.make_read_only()
    if fault.pick % 2:
        time.sleep(0.5 + fault.pick % 8 / 2)
        setting.disk.restore()
    return done


def failed_disk(program, setting, fault) -> bool:
    """Nothing can be written until the program ends, and what was not flushed is lost."""
    return setting.disk.fail()


def out_of_memory(program, setting, fault) -> None:
    """Another process takes all memory, and the kernel kills the largest one (where it may be asked for that)."""
    if setting.group is not None:
        setting.group.starve(lambda: program.process.poll() is not None)
    else:
        os.kill(max([program.process.pid, *children(program.process.pid)], key=_resident), signal.SIGKILL)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


STRIKES = {"kill_rank": kill_rank, "kill_launcher": kill_launcher, "kill_all": kill_all, "terminate": terminate,
           "terminate_rank": terminate_rank, "hang_up": hang_up, "hang_up_rank": hang_up_rank, "quit": quit_,
           "pause": pause, "pause_launcher": pause_launcher, "second_run": second_run, "full_disk": full_disk,
           "read_only_disk": read_only_disk, "failed_disk": failed_disk, "out_of_memory": out_of_memory}  # fmt: skip
# Latents while they are read: the same as between two starts.
IN_USE = {f"{name}_in_use": lambda program, setting, fault, change=change: change(setting, fault)
          for name, change in OF_LATENTS.items()}  # fmt: skip
STRIKES |= IN_USE
ENDS_SOON = ("kill_launcher", "kill_all", "terminate", "terminate_rank", "hang_up", "hang_up_rank", "quit")  # 20 s
OF_DISKS = ("full_disk", "read_only_disk", "failed_disk")


def packets_lost(program, setting, fault) -> None:
    setting.relay.loss = 0.02 + fault.pick % 10 / 100


def packets_late(program, setting, fault) -> None:
    setting.relay.delay = 0.01 + fault.pick % 10 / 100


def short_cut(program, setting, fault) -> None:
    setting.relay.is_cut = True
    time.sleep(0.5 + fault.pick % 5)
    setting.relay.is_cut = False


def cut(program, setting, fault) -> None:
    """Until the next start."""
    setting.relay.is_cut = True


ON_THE_WIRE = {"packets_lost": packets_lost, "packets_late": packets_late, "short_cut": short_cut, "cut": cut}


# --- what a start begins with -------------------------------------------------------------------------------------

INSIDE = {  # see inject.py; number of a save, bytes, index of a sample, steps, seconds, megabytes
    "kill_in_save": lambda pick: {"number": 1 + pick % 3},
    "read_only": lambda pick: {"after": pick % 4},
    "slow_save": lambda pick: {"seconds": 0.5 + pick % 4, "after": pick % 3},
    "small_shared_memory": lambda pick: {"free": 1000},
    "stuck_readers": lambda pick: {"index": 10 + pick % 20, "patience": 3.0},
    "clock_back": lambda pick: {"step": pick % 20, "seconds": 60.0 * (1 + pick % 5000)},
    "memory_limit": lambda pick: {"step": pick % 12, "spare": pick % 9},
}
AT_START = (*INSIDE, "output_gone", "output_full", "other_ranks", "launcher_killed_early")


def early_s(fault: Fault) -> float:
    """Seconds after the start of a launcher that is killed before its ranks have begun."""
    return fault.pick % 60 / 10


ON_DISK = OF_SAVES | OF_LATENTS
NOT_ON_MACHINES = ("second_run", "output_gone", "output_full", "other_ranks", "out_of_memory", "hang_up", "quit",
                   "read_only_disk")  # fmt: skip
ALL = tuple(sorted({*STRIKES, *AT_START, *ON_DISK, *ON_THE_WIRE}))


def names_for(kind: str, launcher: str) -> list[str]:
    """The faults that a schedule may hold; those of the wire three times, since there are few."""
    names = {*STRIKES, *AT_START, *ON_DISK}
    if kind != "audio":
        names -= {*OF_LATENTS, *IN_USE}
    if launcher != "machines":
        return sorted(names)
    return sorted([*(names - {*NOT_ON_MACHINES}), *(3 * [*ON_THE_WIRE])])


def join(group: MemoryGroup | None):
    """For a new process: into the group whose memory can be short."""

    def prepare() -> None:
        default_signals()
        if group is not None:
            group.join()

    return prepare
