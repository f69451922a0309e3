"""Runs checks, speed measurements and the recipe, each group in a process of its own, and writes their tables.

Exit code: 0 if every part ran and every check held, whatever the speed; 1 if not; 2 for wrong options. The tables are
written after every group, also when one fails.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.workloads import ROOT

GROUPS = ("checks", "ranks", "speed", "recipe")
# Seconds that a group may take at most, of nine minutes: a group that hangs must not cost the others theirs.
LIMITS = {"checks": 150, "ranks": 60, "speed": 210}
LEAST_FOR_RECIPE = 60


def main(argv: list[str] | None = None) -> int:
    import torch

    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: everything at toy size, nothing is measured")
    add("--minutes", type=float, default=8.5, help="time for all of it (default: 8.5)")
    add("--output", type=Path, default=Path("results") / "gpu", help="folder for the tables (default: results/gpu)")
    add("--only", default=",".join(GROUPS), help=f"groups, joined by commas (default: {','.join(GROUPS)})")
    add("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    groups = args.only.split(",")
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"no group is called {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("this machine has no GPU that torch can use: give --device cpu to try everything at toy size")
    if args.inside:
        return inside(groups, args.device == "cpu", args.inside)
    return run_all(groups, args.device == "cpu", args.minutes, args.output)


def run_all(groups: list[str], toy: bool, minutes: float, output: Path) -> int:
    """All groups one after the other; after each, the tables of what there is so far."""
    from bench.gpu.tables import machine, write

    deadline = time.monotonic() + 60 * minutes
    output.mkdir(parents=True, exist_ok=True)
    about, rows = machine("cpu" if toy else "cuda"), []
    with tempfile.TemporaryDirectory(prefix="gpu-") as work:
        for group in groups:
            rows += rows_of(group, toy, deadline, Path(work))
            write(rows, about, output)
    print((output / "tables.md").read_text(encoding="utf-8"))
    failed = [row.figure.name for row in rows if row.failed]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def rows_of(group: str, toy: bool, deadline: float, work: Path) -> list:
    if group == "recipe":
        return recipe_rows(toy, deadline, work)
    if group == "ranks":
        return rank_rows(toy, work)
    return child(group, toy, deadline, work)


def environment(toy: bool, work: Path) -> dict[str, str]:
    more = {"BENCH_WORK": str(work), "HF_HUB_OFFLINE": "1"}
    if toy:
        more |= {"BENCH_QUICK": "1", "BENCH_THREADS": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        more["BENCH_SONGS"] = "2"
    else:
        more["BENCH_SONGS"] = "26"  # a batch of 64 needs as many pairs
    return os.environ | more


def child(group: str, toy: bool, deadline: float, work: Path) -> list:
    """The rows of a group, run in its own process: an error of a device ends the process in which it occurs."""
    from bench.gpu.parts import failure, kept

    out = work / f"{group}.jsonl"
    call = [sys.executable, "-m", "bench.gpu", "--only", group, "--inside", str(out)]
    call += ["--device", "cpu"] if toy else []
    limit = max(1.0, min(LIMITS[group], deadline - time.monotonic())) if not toy else None
    try:
        code = subprocess.run(call, cwd=ROOT, env=environment(toy, work), stdout=sys.stderr, timeout=limit).returncode
        ended = f"its process ended with exit code {code}" if code else ""
    except subprocess.TimeoutExpired:
        ended = f"not done within {limit:.0f} s"
    rows = kept(out)
    missing = [name for name in names_of(group) if name not in {row.part for row in rows}]
    return rows + [failure(name, ended or "it brought no rows") for name in missing]


def names_of(group: str) -> list[str]:
    from bench.gpu.checks import CHECKS
    from bench.gpu.speed import SPEED

    return list({"checks": CHECKS, "speed": SPEED}[group])


def inside(groups: list[str], toy: bool, out: Path) -> int:
    """Runs the parts of groups in this process; each one's rows are in the file as soon as it is done."""
    from bench.gpu.checks import CHECKS
    from bench.gpu.parts import Place, guarded, keep
    from bench.gpu.speed import SPEED
    from bench.workloads import one_rank

    place = Place(one_rank(), toy)
    for group in groups:
        for name, part in {"checks": CHECKS, "speed": SPEED}[group].items():
            begun = time.monotonic()
            keep(guarded(name, part, place, check=group == "checks"), out)
            print(f"{name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
    return 0


def rank_rows(toy: bool, work: Path) -> list:
    """The speed of all devices over that of one, under torchrun; nothing where there is one device."""
    import torch

    from bench import rank_rows
    from bench.figures import Figure
    from bench.gpu.parts import Row, failure

    devices = 0 if toy else torch.cuda.device_count()
    if devices < 2:
        return [Row("ranks", Figure("all GPUs / one GPU, samples per second", None, note="needs two GPUs"))]
    os.environ.update(environment(toy, work))  # the dataset is made here, in the folder where the ranks expect it
    try:
        figures = rank_rows.measured(devices, False, dict(os.environ), LIMITS["ranks"])
    except (OSError, subprocess.SubprocessError) as error:
        return [failure("ranks", f"{type(error).__name__}: {error}")]
    return [Row("ranks", figure) for figure in figures]


def recipe_rows(toy: bool, deadline: float, work: Path) -> list:
    from bench.gpu.parts import Row, failure
    from bench.gpu.recipe import Training, recipe

    if not toy and deadline - time.monotonic() < LEAST_FOR_RECIPE:
        return [failure("recipe", "no time was left for it")]
    training = Training(work, deadline, toy, environment=environment(toy, work))
    try:
        return [Row("recipe", figure) for figure in recipe(training)]
    except Exception as error:
        return [failure("recipe", f"{type(error).__name__}: {error}")]


if __name__ == "__main__":
    sys.exit(main())
