"""Runs checks, speed measurements and the recipe, each group in a process of its own, and writes their tables.

Exit code: 0 if every part ran and every check held, whatever the speed; 1 if not; 2 for wrong options and missing
packages, which are found before anything else is imported. The tables are written after every group, also when one
fails.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.gpu import packages
from bench.gpu.programs import run_until
from errors import reports_user_errors

GROUPS = ("checks", "ranks", "launch", "speed", "recipe")
TIMED = {"speed"}  # groups and parts that measure instead of checking
# Seconds that a group may take at most, of nine minutes: a group that hangs must not cost the others theirs.
LIMITS = {"checks": 150, "ranks": 75, "launch": 60, "speed": 180}
LEAST_FOR_RECIPE = 150
TOY_RANKS = 2


@reports_user_errors("bench.gpu")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__.splitlines()[0])
    add = parser.add_argument
    output = Path(os.environ.get("OUT") or "results") / "gpu"
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: everything at toy size, nothing is measured")
    add("--minutes", type=float, default=8.5, help="time for all of it (default: 8.5)")
    add("--output", type=Path, default=output, help="folder for the tables (default: $OUT/gpu, else results/gpu)")
    add("--only", default=",".join(GROUPS), help=f"groups, joined by commas (default: {','.join(GROUPS)})")
    add("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    groups = args.only.split(",")
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"no group is called {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    packages.use()
    import torch

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
    from bench.gpu.launching import launched

    if group == "recipe":
        return recipe_rows(toy, deadline, work)
    until = math.inf if toy else min(deadline, time.monotonic() + LIMITS[group])
    if group == "launch":
        return launched(work, TOY_RANKS if toy else devices(), toy, until, environment(toy, work))
    if group == "ranks" and not toy and devices() < 2:
        from bench.figures import Figure
        from bench.gpu.parts import Row

        return [Row("ranks", Figure("all GPUs together", None, note="needs two GPUs"))]
    return child(group, toy, until, work)


def devices() -> int:
    import torch

    return torch.cuda.device_count()


def environment(toy: bool, work: Path) -> dict[str, str]:
    more = {"BENCH_WORK": str(work), "HF_HUB_OFFLINE": "1"}
    if toy:
        more |= {"BENCH_QUICK": "1", "BENCH_THREADS": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        more["BENCH_SONGS"] = "2"
    else:
        more["BENCH_SONGS"] = "26"  # a batch of 64 needs as many pairs
    return os.environ | more


def child(group: str, toy: bool, until: float, work: Path) -> list:
    """The rows of a group, run in its own process: an error of a device ends the process in which it occurs.

    The group `checks` is run by pytest, `ranks` by torchrun in one process per device.
    """
    from bench.gpu.parts import failure, kept

    out, device = work / f"{group}.jsonl", "cpu" if toy else "cuda"
    start = ["-m", "bench.gpu", "--only", group, "--inside", out]
    if group == "checks":
        start = ["-m", "pytest", "-p", "bench.gpu.gathering", "-p", "no:cacheprovider", "-m", "gpu", "tests/gpu"]
        start += ["--rows", out]
    if group == "ranks":
        count = TOY_RANKS if toy else devices()
        start = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}", *start]
    code = run_until([sys.executable, *start, "--device", device], until, environment(toy, work))
    ended = f"its process ended with exit code {code}" if code else "it brought no rows"
    if code and time.monotonic() >= until:
        ended = "not done within its time"
    rows = kept(out)
    missing = [name for name in parts_of(group, out) if name not in {row.part for row in rows}]
    return rows + [failure(name, ended) for name in missing]


def parts_of(group: str, out: Path) -> list[str]:
    """The names of a group's parts; of the checks, those that pytest found."""
    from bench.gpu.gathering import collected

    return (collected(out) or [group]) if group == "checks" else list(measurements(group))


def measurements(group: str) -> dict:
    from bench.gpu.ranks import RANKS
    from bench.gpu.speed import SPEED

    return {"ranks": RANKS, "speed": SPEED}[group]


def inside(groups: list[str], toy: bool, out: Path) -> int:
    """Runs the parts of `ranks` or `speed` in this process, with the other ranks if there are any; each part's rows
    are in the file as soon as it is done."""
    from bench.gpu.parts import Place, guarded, keep
    from bench.workloads import dataset, one_rank
    from runtime import distributed

    place = Place(one_rank(), toy)
    place.ranks.main_first(dataset)
    for group in groups:
        for name, part in measurements(group).items():
            begun = time.monotonic()
            rows = guarded(name, part, place, check=not TIMED & {group, name})
            if place.ranks.is_main:
                keep(rows, out)
                print(f"{name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
    distributed.stop(place.ranks)
    return 0


def recipe_rows(toy: bool, deadline: float, work: Path) -> list:
    from bench.gpu.parts import Row, failure
    from bench.gpu.recipe import Training, recipe

    if not toy and deadline - time.monotonic() < LEAST_FOR_RECIPE:
        return [failure("recipe", "no time was left for it")]
    training = Training(work, deadline, toy, 1 if toy else devices(), environment=environment(toy, work))
    try:
        return [Row("recipe", figure) for figure in recipe(training)]
    except Exception as error:
        return [failure("recipe", f"{type(error).__name__}: {error}")]


if __name__ == "__main__":
    sys.exit(main())
