"""Runs benchmarks, each in its own process, and prints measurements with their targets.

Exit code: 0 whatever the timings; 1 if a benchmark failed; 2 for an unknown benchmark.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from bench.figures import Figure, table
from runtime.cores import available_cores, sleep_while_waiting

# Benchmark -> its function, and its time limit (seconds; three times what it takes on two busy cores).
ROWS = {
    "step": ("bench.step_rows:step", 720),
    "library": ("bench.step_rows:library", 540),
    "codec": ("bench.step_rows:codec", 540),
    "repeat": ("bench.step_rows:repeat", 540),
    "flops": ("bench.step_rows:flops", 540),
    "data": ("bench.step_rows:data", 360),
    "amp": ("bench.step_rows:amp", 360),
    "ranks": ("bench.rank_rows:ranks", 720),
    "beside": ("bench.beside_rows:beside", 720),
    "startup": ("bench.program_rows:startup", 720),
    "memory": ("bench.program_rows:memory", 900),
    "checkpoint": ("bench.checkpoint:stall", 540),
    "generation": ("bench.io_rows:generation", 540),
    "prepare": ("bench.io_rows:prepare_rate", 720),
    "cache": ("bench.io_rows:cache", 360),
    "growth": ("bench.growth:growth", 900),
}
LATEST = Path("bench") / "latest.json"


def main(argv: list[str]) -> int:
    sleep_while_waiting()
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--quick", action="store_true", help="run each benchmark once, small: to find errors only")
    parser.add_argument("--json", type=Path, help=f"file for the measurements (default: {LATEST}; with --quick: none)")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    unknown = set(options.rows) - set(ROWS)
    if unknown:
        print(f"python -m bench: no benchmark is called {', '.join(sorted(unknown))}: choose from {', '.join(ROWS)}",
              file=sys.stderr)  # fmt: skip
        return 2
    if options.inside:
        return inside(options.rows[0], options.quick, Path(options.inside))
    return run_all(options.rows or list(ROWS), options.quick, options.json, ["python", "-m", "bench", *argv])


def inside(row: str, quick: bool, out: Path) -> int:
    """Runs one benchmark in its own process and writes its measurements as JSON to `out`."""
    import importlib

    module, function = ROWS[row][0].split(":")
    figures = getattr(importlib.import_module(module), function)(quick)
    out.write_text(json.dumps([asdict(figure) for figure in figures]))
    return 0


def run_all(rows: list[str], quick: bool, json_path: Path | None, command: list[str]) -> int:
    begun, figures, broken = time.monotonic(), [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        for row in rows:
            started = time.monotonic()
            found = run_row(row, quick, Path(work))
            broken += [row] if found is None else []
            figures += found or []
            print(f"{row}: {'BROKEN' if found is None else f'{time.monotonic() - started:.0f} s'}", file=sys.stderr)
            for figure in found or []:
                print(f"    {figure.name} {figure.value} {figure.bar_cpu}", file=sys.stderr)
    kind = device()["kind"]
    print(table(figures, kind))
    print(f"{len(rows)} rows in {time.monotonic() - begun:.0f} s")
    if broken:
        print(f"broken: {', '.join(broken)}", file=sys.stderr)
    path = json_path or (None if quick else LATEST)
    if path:
        write_json(path, figures, kind, command)
    return 1 if broken else 0


def run_row(row: str, quick: bool, work: Path) -> list[Figure] | None:
    """The measurements of a benchmark, or None if it failed."""
    out = work / f"{row}.json"
    call = [sys.executable, "-m", "bench", row, "--inside", str(out), *(["--quick"] if quick else [])]
    environment = (
        os.environ | {"BENCH_WORK": str(work), "HF_HUB_OFFLINE": "1"} | ({"BENCH_QUICK": "1"} if quick else {})
    )
    try:
        done = subprocess.run(
            call, env=environment, capture_output=True, text=True, timeout=None if quick else ROWS[row][1]
        )
        if done.returncode == 0:
            return [Figure(**fields) for fields in json.loads(out.read_text())]
        print(done.stdout[-2000:] + done.stderr[-4000:], file=sys.stderr)
    except subprocess.TimeoutExpired:
        print(f"{row}: not done within {ROWS[row][1]} s", file=sys.stderr)
    return None


def device() -> dict[str, object]:
    """The machine of the measurements."""
    import torch

    found: dict[str, object] = {
        "kind": "cuda" if torch.cuda.is_available() else "cpu",
        "cores": available_cores(),
        "load_average": os.getloadavg()[0],
        "processor": next(
            (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")), platform.machine(),
        ),
    }  # fmt: skip
    if found["kind"] == "cuda":
        query = ["nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    return found


def write_json(path: Path, figures: list[Figure], kind: str, command: list[str]) -> None:
    import torch

    from bench.workloads import SEED

    described = {
        "command": " ".join(command),
        "seed": SEED,
        "device": device(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "figures": [asdict(figure) | {"verdict": figure.verdict(kind)} for figure in figures],
    }
    path.write_text(json.dumps(described, indent=1) + "\n")
    print(f"measurements in {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
