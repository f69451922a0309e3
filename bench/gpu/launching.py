"""The files of launch/, run as they are on this machine's devices: one machine instead of several, no cluster."""

import json
import socket
import sys
import time
from pathlib import Path

from bench.figures import Figure
from bench.gpu.parts import Row, failure
from bench.gpu.programs import run_until
from bench.gpu.recipe import TOY
from bench.workloads import ROOT

STEPS = 3
# A cluster of one machine: names it, and starts a job's steps here.
STUBS = {
    "scontrol": "echo localhost",
    "srun": 'while [ "$1" != torchrun ]; do shift; done; exec "$@"',
}


def launched(work: Path, devices: int, toy: bool, until: float, environment: dict[str, str]) -> list[Row]:
    """A row for each file: the steps that its ranks trained. `until` as in `run_until`."""
    if not (music := work / "dataset").exists():
        songs = ("--demo_songs", environment["BENCH_SONGS"])
        run_until([sys.executable, ROOT / "prepare_dataset.py", "--demo", *songs, "--output_dir", music],
                  until, environment)  # fmt: skip
    (stubs := work / "stubs").mkdir()
    for name, body in STUBS.items():
        (stubs / name).write_text(f"#!/bin/sh\n{body}\n")
        (stubs / name).chmod(0o755)
    path = f"{stubs}:{Path(sys.executable).parent}:{environment['PATH']}"
    environment = environment | {"PATH": path} | commands_environment(devices)
    commands = {
        "launch/two_nodes.sh": ["bash", ROOT / "launch" / "two_nodes.sh", "127.0.0.1", "127.0.0.1"],
        "launch/slurm.sbatch": ["bash", ROOT / "launch" / "slurm.sbatch"],
    }
    return [
        one(name, command, options_of(work, name, devices, toy), until, environment)
        for name, command in commands.items()
    ]


def commands_environment(devices: int) -> dict[str, str]:
    """What the files read from the environment; their ports are free ones."""
    port = free_port()
    job = {"JOB_ID": str(free_port() % 10_000), "JOB_NODELIST": "localhost", "JOB_NUM_NODES": "1"}
    slurm = {f"SLURM_{name}": value for name, value in (job | {"GPUS_ON_NODE": str(devices)}).items()}
    return {"NODES": "1", "GPUS": str(devices), "PORT": str(port), "RESTARTS": "0"} | slurm


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def options_of(work: Path, name: str, devices: int, toy: bool) -> dict[str, object]:
    own = {"global_batch_size": max(4, 2 * devices), "max_steps": STEPS, "sample_every": 0, "log_every": 1}
    folders = {"dataset_folder": work / "dataset", "checkpoint_dir": work / Path(name).stem}
    return (TOY if toy else {}) | own | folders


def one(name: str, command: list, options: dict[str, object], until: float, environment: dict[str, str]) -> Row:
    words = [word for option, value in options.items() for word in (f"--{option}", value)]
    code = run_until([*command, "--config", ROOT / "recipes" / "demo.yaml", *words], until, environment)
    if code:
        return failure(
            name, "not done within its time" if time.monotonic() >= until else f"it ended with exit code {code}"
        )
    lines = (Path(options["checkpoint_dir"]) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    about = json.loads((Path(options["checkpoint_dir"]) / "about.json").read_text(encoding="utf-8"))
    title = f"{name}: steps on {about['world']} ranks"
    return Row(name, Figure(title, float(json.loads(lines[-1])["step"]), "", f">= {STEPS}"), check=True)
