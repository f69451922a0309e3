"""The faults of soak.py by name: what strikes a running program, what is injected into it, what befalls its files."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fault_runs import TRAIN, children, default_signals, kill_tree
from machines import Relay
from memory_group import MemoryGroup

from runtime import checkpoint
from runtime.files import locked


@dataclass(frozen=True)
class Fault:
    """One fault; `step` is when it strikes, for those that strike a running program."""

    name: str
    step: int
    pick: int


@dataclass
class Setting:
    """What a schedule runs on: the run's folder (on a small disk of its own, if `small_disk`), its data, the wire
    between its machines, the processes' group if they can be short of memory."""

    folder: Path
    dataset: Path
    small_disk: bool = False
    relay: Relay | None = None
    group: MemoryGroup | None = None

    @property
    def ballast(self) -> Path:
        """A file that fills the disk."""
        return self.folder.parent / "ballast"


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


def quit_(program, setting, fault) -> None:
    os.killpg(program.process.pid, signal.SIGQUIT)


def pause(program, setting, fault) -> None:
    """A rank stands still for up to three seconds, as on a swapping machine."""
    ranks = _ranks_of(program)
    pid = ranks[fault.pick % len(ranks)]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5 + fault.pick % 5 / 2)
    os.kill(pid, signal.SIGCONT)


def second_run(program, setting, fault) -> None:
    """A second run on the folder is refused; the first stands still meanwhile, so that it cannot end before."""
    ranks = _ranks_of(program)
    for pid in ranks:
        os.kill(pid, signal.SIGSTOP)
    try:
        with locked(setting.folder / ".lock", wait=False) as is_free:
            if is_free:
                return  # the first run has ended at this moment
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


def full_disk(program, setting, fault) -> None:
    """The disk of the run's folder is full until the program ends."""
    if not setting.small_disk:
        return
    with open(setting.ballast, "wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


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


def latents_in_use(program, setting, fault) -> None:
    """A bit of the latents that the run is reading."""
    _flip_latents(setting, fault)


STRIKES = {"kill_rank": kill_rank, "kill_launcher": kill_launcher, "kill_all": kill_all, "terminate": terminate,
           "terminate_rank": terminate_rank, "hang_up": hang_up, "quit": quit_, "pause": pause,
           "second_run": second_run, "full_disk": full_disk, "out_of_memory": out_of_memory,
           "latents_in_use": latents_in_use}  # fmt: skip
ENDS_SOON = ("kill_launcher", "kill_all", "terminate", "terminate_rank", "hang_up", "quit")  # within 20 s


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


# --- what befalls files between two starts: (setting, fault) --------------------------------------------------------


def _damage(setting: Setting, change) -> bool:
    """Changes the newest good save, if there is another one; whether there is."""
    saves = sorted(setting.folder.glob("*.pt"), key=lambda path: path.stat().st_mtime)
    good = [path for path in saves if checkpoint.is_whole(path)]
    if len(good) > 1:
        change(good[-1])
    return len(good) > 1


def truncate(setting: Setting, fault: Fault) -> bool:
    return _damage(setting, lambda path: os.truncate(path, fault.pick % 5000))


def flip(setting: Setting, fault: Fault) -> bool:
    return _damage(setting, lambda path: _flip_a_bit(path, fault.pick))


def delete(setting: Setting, fault: Fault) -> bool:
    return _damage(setting, Path.unlink)


def wrong_times(setting: Setting, fault: Fault) -> None:
    """Times of files in no order, up to a day off, as clocks leave them that are set back and forth."""
    chance = random.Random(fault.pick)
    for path in [path for path in setting.folder.rglob("*") if path.is_file()]:
        when = time.time() + chance.uniform(-86400, 86400)
        os.utime(path, (when, when))


def latents_altered(setting: Setting, fault: Fault) -> None:
    """By a program that writes into them."""
    _flip_latents(setting, fault)


def latents_rotten(setting: Setting, fault: Fault) -> None:
    """By the disk, which leaves the file's time as it was."""
    path, status = _flip_latents(setting, fault)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _flip_latents(setting: Setting, fault: Fault) -> tuple[Path, os.stat_result]:
    shards = sorted(setting.dataset.glob("latents/*/shard_*.npy"))
    path = shards[fault.pick % len(shards)]
    status = path.stat()
    _flip_a_bit(path, 50 + fault.pick % 50)  # behind the header
    return path, status


def _flip_a_bit(path: Path, pick: int) -> None:
    with open(path, "r+b") as file:
        place = path.stat().st_size * (pick % 100) // 100
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << pick % 8]))


ON_DISK = {"truncate": truncate, "flip": flip, "delete": delete, "wrong_times": wrong_times,
           "latents_altered": latents_altered, "latents_rotten": latents_rotten}  # fmt: skip
OF_LATENTS = ("latents_in_use", "latents_altered", "latents_rotten")
NOT_ON_MACHINES = ("second_run", "output_gone", "output_full", "other_ranks", "out_of_memory", "hang_up", "quit",
                   "kill_launcher")  # fmt: skip


def names_for(kind: str, launcher: str) -> list[str]:
    """The faults that a schedule may hold; those of the wire three times, since there are few."""
    names = {*STRIKES, *AT_START, *ON_DISK}
    if kind != "audio":
        names -= {*OF_LATENTS}
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
