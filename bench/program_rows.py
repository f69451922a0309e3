"""Benchmarks of whole programs: time to the first step, and memory over a thousand steps."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.figures import Figure
from bench.workloads import ROOT, dataset, work_folder

TINY = {
    "generator": "patch", "width": 32, "nhead": 2, "num_layers": 1, "num_transformer_layers": 1, "patch_frames": 4,
    "crop_seconds": 0.5, "disc_width": 8, "global_batch_size": 2, "epochs": 10**6, "patience": 0, "val_every": 10**6,
    "sample_every": 0, "save_every": 10**6, "save_every_minutes": 0, "num_threads": 1,
}  # fmt: skip
LAUNCHERS = {
    "python": [sys.executable, "train_simple_ddp.py"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=1", "train_simple_ddp.py",
                 "--world_size", "1"],
}  # fmt: skip


def _start(launcher: str, **options: object) -> tuple[subprocess.Popen, Path]:
    """Starts a tiny training; returns its process and its metrics file."""
    folder = Path(tempfile.mkdtemp(prefix="program-", dir=work_folder()))
    call = [*LAUNCHERS[launcher], "--dataset_folder", str(dataset()), "--checkpoint_dir", str(folder)]
    call += [word for name, value in (TINY | options).items() for word in (f"--{name}", str(value))]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TORCHELASTIC")}
    process = subprocess.Popen(call, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return process, folder / "metrics.jsonl"


def _steps_done(metrics: Path) -> int:
    """The last logged step; 0 before the first."""
    with contextlib.suppress(OSError, json.JSONDecodeError, IndexError):
        return json.loads(metrics.read_text().rsplit("\n", 2)[-2])["step"]
    return 0


def _wait_for(process: subprocess.Popen, metrics: Path, step: int) -> None:
    while _steps_done(metrics) < step:
        if process.poll() not in (None, 0):
            raise RuntimeError(process.stderr.read().decode())
        time.sleep(0.02)


def startup(quick: bool) -> list[Figure]:
    """From the command line to the end of the first optimizer step, with cached latents."""
    dataset()
    found = []
    for launcher in LAUNCHERS:
        taken = []
        for _ in range(1 if quick else 3):
            begun = time.monotonic()
            process, metrics = _start(launcher, max_steps=1, log_every=1)
            _wait_for(process, metrics, 1)
            taken.append(time.monotonic() - begun)
            process.communicate()
        warm = taken[1:] or taken
        found.append(Figure(f"command line to first step, {launcher}", median(warm), "<= 8", "<= 20", " s",
                            details={"seconds": taken}))  # fmt: skip
    return found


def memory(quick: bool) -> list[Figure]:
    """Resident memory of the launcher and its worker over 1,000 tiny steps."""
    first, last = (20, 120) if quick else (300, 1300)
    process, metrics = _start("python", max_steps=last, log_every=10)
    seen: dict[int, list[tuple[int, int]]] = {}
    while process.poll() is None:
        step = _steps_done(metrics)
        for pid in _tree(process.pid):
            seen.setdefault(pid, []).append((step, _resident(pid)))
        time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    peaks = {pid: max(resident for _, resident in readings) for pid, readings in seen.items()}
    launcher, worker = process.pid, max(set(seen) - {process.pid}, key=peaks.get)
    growth = max(_growth(seen[pid], first, last) for pid in (launcher, worker))
    return [
        Figure(f"growth of memory over {last - first} steps", growth, "< 1", "< 1", "%"),
        Figure("peak memory, launcher", peaks[launcher] / 2**20, unit=" MiB"),
        Figure("peak memory, worker", peaks[worker] / 2**20, unit=" MiB"),
    ]


def _growth(readings: list[tuple[int, int]], first: int, last: int) -> float:
    """Per cent, from the first fifth of the steps between `first` and `last` to the last fifth; [(step, bytes)]."""
    fifth = (last - first) // 5
    early = median(resident for step, resident in readings if first <= step <= first + fifth)
    late = median(resident for step, resident in readings if last - fifth <= step and resident)
    return 100 * (late / early - 1)


def _tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += _tree(int(child))
    return found


def _resident(pid: int) -> int:
    """Private resident memory of a process in bytes, without mapped files such as latents."""
    with contextlib.suppress(OSError, ValueError):
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return 0
