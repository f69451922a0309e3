"""The training program with a fault in it: `N2M_FAULTS` holds a JSON object, fault -> its arguments.

Run by itself, a run of one rank; ranks under a launcher get the faults by `inject_plugin.py`. They are patched in from
outside: the program has no hooks.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch  # noqa: E402

from data import supply  # noqa: E402
from data.stream import SampleStream  # noqa: E402
from runtime import checkpoint, saver  # noqa: E402
from training import recovery, unreadable_samples  # noqa: E402
from training.trainer import Trainer  # noqa: E402
from training.validation import Validation  # noqa: E402

RANK = int(os.environ.get("RANK", 0))
ATTEMPT = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) + int(os.environ.get("N2M_ATTEMPT", 0))


def before_step(action) -> None:
    """Has action(batch, plan) called before every step; it may return another batch."""
    view = Trainer.view
    Trainer.view = lambda self, batch, plan: view(self, action(batch, plan) or batch, plan)


def slow_steps(seconds: float) -> None:
    before_step(lambda batch, plan: time.sleep(seconds))


def write_indices(path: str) -> None:
    def write(batch, plan) -> None:
        with open(f"{path}.{RANK}", "a") as file:
            file.write("".join(f"{index}\n" for index in batch.indices))

    before_step(write)


def write_steps(path: str, start: int) -> None:
    """A line for every step that begins: number of the start and of its attempt, step, indices of its samples."""

    def write(batch, plan) -> None:
        with open(f"{path}.{RANK}", "a") as file:
            file.write(f"{start} {ATTEMPT} {plan.step} {' '.join(map(str, batch.indices))}\n")

    before_step(write)


def kill(step: int, rank: int = 0, attempt: int = 0) -> None:
    def strike(batch, plan) -> None:
        if (plan.step, RANK, ATTEMPT) == (step, rank, attempt):
            os.kill(os.getpid(), signal.SIGKILL)

    before_step(strike)


def fail(step: int, rank: int) -> None:
    def strike(batch, plan) -> None:
        if (plan.step, RANK) == (step, rank):
            raise ValueError("the injected error")

    before_step(strike)


def nan(rank: int, first: int, last: int, above_lr: float = 0.0) -> None:
    def poison(batch, plan) -> None:
        if rank == RANK and first <= plan.step <= last and plan.lr_g > above_lr:
            batch.input_BDT = batch.input_BDT * float("nan")

    before_step(poison)


def nan_real(first: int, last: int) -> None:
    def poison(batch, plan) -> None:
        if first <= plan.step <= last:
            batch.real_BDT = batch.real_BDT * float("nan")

    before_step(poison)


def most_rollbacks(number: int) -> None:
    recovery.MOST_ROLLBACKS = number


def most_skipped(number: int) -> None:
    unreadable_samples.MOST = number


def kill_in_save(number: int) -> None:
    write, calls = checkpoint._write_to, []

    def half(file, state) -> None:
        calls.append(1)
        if len(calls) == number:
            file.write(checkpoint.serialise(state | {"ema": {}})[:5000])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        write(file, state)

    checkpoint._write_to = half


def slow_save(seconds: float, after: int = 0) -> None:
    save, calls = checkpoint.save, []

    def slowly(state, path) -> None:
        calls.append(1)
        if len(calls) > after:
            print("SAVING", flush=True)
            time.sleep(seconds)
        save(state, path)

    saver.checkpoint.save = slowly


def read_only(after: int) -> None:
    save, calls = checkpoint.save, []

    def refused(state, path) -> None:
        calls.append(1)
        if len(calls) > after:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        save(state, path)

    saver.checkpoint.save = refused


def slow_validation(seconds: float) -> None:
    readable = Validation.readable

    def slowly(*args):
        print("VALIDATING", flush=True)
        time.sleep(seconds)
        return readable(*args)

    Validation.readable = slowly


def slow_data(seconds: float, index: int) -> None:
    read = SampleStream.read

    def slowly(self, i, bad):
        if i >= index and "SAMPLES" in os.environ:  # not while the run is being built
            print("LOADING", flush=True)
            time.sleep(seconds)
        return read(self, i, bad)

    def arm(batch, plan) -> None:
        os.environ["SAMPLES"] = "1"

    SampleStream.read = slowly
    before_step(arm)


def small_shared_memory(free: int) -> None:
    supply.free_shared_memory = lambda: free


def stuck_readers(index: int, patience: float) -> None:
    """Reading processes stop at a sample, as where shared memory is full and nothing said so."""
    read, supply.PATIENCE_S = SampleStream.read, patience

    def stuck(self, i, bad):
        if i >= index and torch.utils.data.get_worker_info() is not None:
            print("STUCK", flush=True)
            time.sleep(10_000)
        return read(self, i, bad)

    SampleStream.read = stuck


def clock_back(step: int, seconds: float) -> None:
    """From a step on, clocks that can be set are behind by some seconds."""
    now, now_ns = time.time, time.time_ns

    def strike(batch, plan) -> None:
        if plan.step >= step:
            time.time = lambda: now() - seconds
            time.time_ns = lambda: now_ns() - round(1e9 * seconds)

    before_step(strike)


def memory_limit(step: int, spare: int) -> None:
    """From a step on (0: from the start) this process gets no memory but so many megabytes."""
    held: list[bytearray] = []

    def strike() -> None:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        with contextlib.suppress(MemoryError):
            while True:
                held.append(bytearray(1 << 16))  # until nothing is left of what was freed before
        del held[len(held) - 16 * spare :]

    if step == 0:
        strike()
    else:
        before_step(lambda batch, plan: strike() if plan.step == step else None)


def apply() -> None:
    """Patches in all that `N2M_FAULTS` names."""
    for name, arguments in json.loads(os.environ["N2M_FAULTS"]).items():
        globals()[name](**arguments)


if __name__ == "__main__":
    import train_simple_ddp
    from command_line import parse

    apply()
    sys.exit(train_simple_ddp.work(parse(sys.argv[1:])))
