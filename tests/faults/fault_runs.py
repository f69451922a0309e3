"""Whole-program runs of tiny networks for fault tests: started, watched, signalled, compared."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]
INJECT = Path(__file__).with_name("inject.py")
TRAIN = ROOT / "train_simple_ddp.py"
PAIRS, EPOCHS = 20, 4

TINY = {
    "generator": "patch", "width": 16, "nhead": 2, "num_layers": 1, "num_transformer_layers": 1, "patch_frames": 4,
    "dropout": 0.1, "disc_width": 8, "batch_size": 2, "epochs": EPOCHS, "crop_seconds": 0.5, "lr": 1e-3,
    "pure_gan_mode": 0.2, "val_every": 2, "save_every": 2, "save_every_minutes": 0, "save_every_steps": 3,
    "log_every": 1, "sample_every": 0, "patience": 0, "num_threads": 1,
}  # fmt: skip


@dataclass
class Program:
    """A run in a process of its own; its output goes to a file."""

    process: subprocess.Popen
    output_path: Path

    @property
    def output(self) -> str:
        return self.output_path.read_text(errors="replace")

    def end(self, timeout: float = 240) -> int:
        """Waits; returns the exit code. What is left running after the time limit is killed and fails the test."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_tree(self.process.pid)
            raise AssertionError(f"still running after {timeout} s:\n{self.output[-4000:]}") from None

    def wait_for(self, text: str, timeout: float = 120) -> None:
        """Waits until the output holds a text."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, timeout, self)
        assert text in self.output, self.output[-4000:]

    def wait_for_step(self, folder: Path, step: int, timeout: float = 120) -> None:
        wait_until(lambda: last_step(folder) >= step or self.process.poll() is not None, timeout, self)
        assert self.process.poll() is None, self.output[-4000:]


def wait_until(condition, timeout: float, program: Program | None = None) -> None:
    give_up = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > give_up:
            if program:
                kill_tree(program.process.pid)
            raise AssertionError("waited in vain\n" + (program.output[-4000:] if program else ""))
        time.sleep(0.05)


def command(ranks: int, faults: dict | None, torchrun: bool, max_restarts: int = 0) -> list[str]:
    """How a run is started: by torchrun; by the plain launcher; or, with faults and one rank, by itself.

    Faults come into ranks of a launcher by a plug-in, see `environment_of`.
    """
    if torchrun:
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(ranks)]
        return [*start, "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0", "--max-restarts", str(max_restarts),
                str(TRAIN)]  # fmt: skip
    if faults is not None and ranks == 1:
        return [sys.executable, str(INJECT)]
    return [sys.executable, str(TRAIN), "--world_size", str(ranks)]


def start(
    folder: Path, dataset: Path, *, ranks: int = 1, faults: dict | None = None, torchrun: bool | None = None,
    max_restarts: int = 0, prefix: tuple[str, ...] = (), stdout: IO | None = None,
    preexec: Callable[[], object] | None = None, **options,
) -> Program:  # fmt: skip
    """Starts a run in `folder`. `options` are TINY's or others of the program; None leaves one out.

    Standard output goes to `stdout`, or where standard error goes. `preexec` is called in the new process.
    """
    torchrun = ranks > 1 and faults is not None if torchrun is None else torchrun
    values = TINY | {"dataset_folder": dataset, "checkpoint_dir": folder} | options
    flags = [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]
    environment = environment_of(faults, plug_in=ranks > 1 or torchrun)
    output = dataset.parent / f"{folder.parent.name}-{folder.name}-{time.monotonic_ns()}.output"
    with open(output, "w") as file:
        process = subprocess.Popen(
            [*prefix, *command(ranks, faults, torchrun, max_restarts), *flags],
            cwd=ROOT, stdout=stdout or file, stderr=file, env=environment, start_new_session=True,
            preexec_fn=preexec or default_signals,
        )  # fmt: skip
    return Program(process, output)


def environment_of(faults: dict | None, plug_in: bool) -> dict[str, str]:
    """The environment of a run with faults in it; `plug_in`: they come by the plug-in."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("TORCHELASTIC", "RANK", "WORLD"))}
    added = {"OMP_NUM_THREADS": "1", "N2M_FAULTS": json.dumps(faults or {}), "PYTHONUNBUFFERED": "1"}
    if faults and plug_in:
        added |= {"NOISE2MUSIC_PLUGINS": "inject_plugin", "PYTHONPATH": str(INJECT.parent)}
    return inherited | added


def default_signals() -> None:
    """As in a terminal, also where the tests run in the background."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def run(folder: Path, dataset: Path, *, code: int | None = 0, limit_s: float = 240, **how) -> Program:
    """A run to its end, with the exit code that is expected (None: any)."""
    program = start(folder, dataset, **how)
    ended = program.end(limit_s)
    assert code is None or ended == code, f"exit code {ended}\n{program.output[-6000:]}"
    return program


def children(pid: int) -> list[int]:
    """Processes below a process, nearest first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            child = int(entry.parent.name)
            found += [child, *children(child)]
    return found


def kill_tree(pid: int, number: int = signal.SIGKILL) -> None:
    for one in [pid, *children(pid)]:
        try:
            os.kill(one, number)
        except ProcessLookupError:
            continue


def lines(folder: Path) -> list[dict]:
    """The run's figures without what depends on the clock."""
    parsed = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in parsed]


def last_step(folder: Path) -> int:
    try:
        text = (folder / "metrics.jsonl").read_text()
        return json.loads(text[: text.rfind("\n")].splitlines()[-1])["step"]
    except (OSError, ValueError, IndexError):
        return 0


def assert_same_run(folder: Path, reference: Path) -> None:
    """All metrics of every step, the exported weights and the whole training state agree bit for bit."""
    ours, theirs = lines(folder), lines(reference)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == other, {k: (mine.get(k), other.get(k)) for k in mine | other if mine.get(k) != other.get(k)}
    assert (folder / "generator.safetensors").read_bytes() == (reference / "generator.safetensors").read_bytes()
    assert_same_state(folder, reference)


def assert_same_state(folder: Path, reference: Path) -> None:
    """The whole training state of the newest saves agrees bit for bit."""
    import torch

    from runtime import checkpoint

    mine, other = (checkpoint.load(place / "last.pt") for place in (folder, reference))
    for name in ("trainer", "ema", "schedules", "space"):
        assert equal(mine[name], other[name], torch), name
    assert {**mine["counters"], "rewinds": 0} == {**other["counters"], "rewinds": 0}


def equal(a, b, torch) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key], torch) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(equal(x, y, torch) for x, y in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def board_steps(folder: Path, tag: str = "loss/g_total") -> list[int]:
    """The steps that TensorBoard shows of a figure."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0})
    board.Reload()
    return [event.step for event in board.Scalars(tag)]
