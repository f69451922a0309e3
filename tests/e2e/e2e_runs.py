"""Whole programs on a tiny dataset: as processes, or in this one where a process is not the point."""

import os
import subprocess
import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from forked_ranks import ForkedRanks

import train_simple_ddp
import train_simple_worker
from command_line import parse
from kinds.audio.files import write_wav
from kinds.audio.pairs import pair_paths
from kinds.audio.preparing.demo_music import demo_song
from monitoring.log import read_metrics
from runtime import checkpoint, run_folder
from runtime.signals import StopRequest

ROOT = Path(__file__).parents[2]
RATE = 24_000
# Small enough for a step of some milliseconds; appended to a command line, they win over what stands before them.
TINY = ["--num_layers", "1", "--num_transformer_layers", "1", "--nhead", "2", "--disc_width", "4", "--log_every", "1"]
TINY += ["--batch_size", "2", "--sample_every", "0", "--num_threads", "1", "--save_every_minutes", "0"]


def make_dataset(folder: Path, train: int = 8, val: int = 4, seconds: float = 1.0) -> Path:
    """Pairs of consecutive clips of demo songs, one song for each split, in the layout of datasets made by hand."""
    samples = round(seconds * RATE)
    for seed, (split, count) in enumerate({"train": train, "val": val}.items()):
        (folder / split).mkdir(parents=True)
        clips = demo_song(seed, (count + 1) * seconds, RATE)[: (count + 1) * samples].reshape(count + 1, samples)
        for number in range(count):
            for clip, path in zip(clips[number : number + 2], pair_paths(folder / split, number), strict=True):
                write_wav(path, clip, RATE, durable=False)
    return folder


def train_here(*argv) -> int:
    """The program as one rank in this process, its signals left alone; the exit code."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    patches = [
        mock.patch.object(StopRequest, "listen", lambda self: self),
        mock.patch.object(train_simple_worker, "end_with_parent", lambda: None),
        mock.patch.object(train_simple_ddp, "end_with_parent", lambda: None),
        mock.patch.object(train_simple_ddp, "work", lambda config: train_simple_worker.main(config)),
        mock.patch.dict(os.environ, TORCHELASTIC_RUN_ID="test"),
        _own_job(),
    ]
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        try:
            return train_simple_ddp.main([*map(str, argv)])
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)


def _own_job():
    """Jobs are distinguished by their launcher's process, which all runs of a test session have in common."""
    name = uuid.uuid4().hex
    return mock.patch.object(run_folder, "_job", lambda: {"run": "none", "agent": name})


class Ranks(ForkedRanks):
    """The program's worker on several ranks: Ranks(2, "--epochs", 1).wait() == [0, 0]."""

    def __init__(self, world: int, *argv) -> None:
        super().__init__(world, _one_rank, [*map(str, argv)])


def _one_rank(argv: list[str]) -> int:
    with _own_job():
        return train_simple_worker.main(parse(argv))


def start(program: list[str], cwd: Path, **more) -> subprocess.Popen:
    """A program from the root of the project, run in another folder, its output kept."""
    return subprocess.Popen(
        [*map(str, program)],
        cwd=cwd,
        env=plain_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def plain_environment() -> dict[str, str]:
    """This process's, but for what belongs to a run around it."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("TORCHELASTIC", "N2M_", "RANK"))}
    return env | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def torchrun(ranks: int | None, *argv) -> list[str]:
    """The command line of torchrun with that many ranks (None: as users type it, without a number)."""
    number = [] if ranks is None else ["--nproc_per_node", str(ranks)]
    own_port = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    launcher = [sys.executable, "-m", "torch.distributed.run", *own_port, *number]
    return [*launcher, str(ROOT / "train_simple_ddp.py"), *map(str, argv)]


def plain(*argv) -> list[str]:
    """The command line without torchrun."""
    return [sys.executable, str(ROOT / "train_simple_ddp.py"), *map(str, argv)]


def finished(process: subprocess.Popen, timeout: float = 120) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); a process that hangs is ended and fails the test."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate(timeout=60)
        raise
    return process.returncode, out, err


def figures(folder: Path) -> list[dict]:
    """The lines of a run, all but `time`."""
    return [
        {name: value for name, value in line.items() if name != "time"}
        for line in read_metrics(folder / "metrics.jsonl")
    ]


def state(folder: Path, name: str = "last.pt") -> dict:
    """A checkpoint but for the options, in which two runs may differ by their folders and limits."""
    saved = checkpoint.load(folder / name)
    return {key: value for key, value in saved.items() if key != "config"}


def identical(a, b) -> bool:
    """Whether two nests of tensors and plain values are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, np.ndarray):
        return bool((a == b).all())
    return a == b
