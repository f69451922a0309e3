"""Trains one recipe several times, with every combination of some options, and compares the runs in one report.

    python sweep.py --config recipes/demo.yaml --set lr=1e-4,3e-4 --set gan_loss=bce,rpgan -- --epochs 2

Each run is a plain `train_simple_ddp.py` in a folder of its own, one after the other. Options after `--` go to
all of them. After an interruption run the same command again: finished runs are skipped, others resumed.

Exit codes: 0 done; 1 a run failed (the others are run all the same); 2 wrong input; 128 + n stopped by signal n.
"""

import argparse
import itertools
import re
import subprocess
import sys
from pathlib import Path

import yaml

from command_line import parse
from config import RunConfig, known_options
from errors import UserError, reports_user_errors
from registry import mark_of
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting

LAUNCHER = Path(__file__).with_name("train_simple_ddp.py")
FINISHED = "generator.safetensors"


def combinations(settings: list[str]) -> list[dict[str, str]]:
    """["lr=1e-4,3e-4", "gan_loss=bce"] -> every combination, as option -> value.

    Raises:
        UserError: not of the form option=value,value; an option given twice.
    """
    axes: dict[str, list[str]] = {}
    for setting in settings:
        name, sign, values = setting.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not sign or not name or not all(values.split(",")):
            raise UserError(f"--set {setting} is not possible: write option=value,value, for example lr=1e-4,3e-4")
        if name in axes:
            raise UserError(f"--set names {name} twice: give all its values at once")
        if name == "checkpoint_dir":
            raise UserError("checkpoint_dir is set by the sweep: give --output instead")
        axes[name] = list(dict.fromkeys(values.split(",")))
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def folder_name(chosen: dict[str, str]) -> str:
    """ "lr=1e-4 gan_loss=bce" as a folder's name."""
    return re.sub(r"[^\w.=+-]", "-", "_".join(f"{name}={value}" for name, value in chosen.items()))


def arguments(config: str | None, chosen: dict[str, str], common: list[str], folder: Path) -> list[str]:
    """The launcher's command line for one run; it resumes an existing run in the folder."""
    from_file = ["--config", config] if config else []
    options = [part for name, value in chosen.items() for part in (f"--{name}", value)]
    return [*from_file, *common, *options, "--checkpoint_dir", str(folder), "--resume", "auto"]


def is_done(folder: Path, config: RunConfig) -> bool:
    """Whether the folder holds this run with these options, finished."""
    if not (folder / FINISHED).exists():
        return False
    try:
        made = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        return False
    known, wanted = known_options(), config.flat()
    passing = {name for name in wanted if mark_of(known[name].field, "per_call")} | {"num_threads"}
    return isinstance(made, dict) and all(made.get(name) == wanted[name] for name in wanted.keys() - passing)


def run_sweep(config: str | None, settings: list[str], common: list[str], output: Path) -> int:
    """Runs all combinations and writes the report; returns the exit code. All are checked before the first one runs."""
    plans = []
    for chosen in combinations(settings):
        folder = output / folder_name(chosen)
        line = arguments(config, chosen, common, folder)
        plans.append((folder, line, parse(line)))
    failed = 0
    for number, (folder, line, wanted) in enumerate(plans, start=1):
        label = f"[{number}/{len(plans)}] {folder.name}"
        if is_done(folder, wanted):
            print(f"{label}: already finished", flush=True)
            continue
        print(f"{label}: {LAUNCHER.name} {' '.join(line)}", flush=True)
        code = subprocess.run([sys.executable, str(LAUNCHER), *line], check=False).returncode
        if code == 2 or code >= 128 or code < 0:
            return 128 - code if code < 0 else code  # a wrong input concerns all runs; or a stop was requested
        if code:
            print(f"{label}: ended with exit code {code}", file=sys.stderr, flush=True)
            failed += 1
    compare([folder for folder, _, _ in plans], output)
    return 1 if failed else 0


def compare(folders: list[Path], output: Path) -> None:
    from monitoring.report import make_report

    logged = [folder for folder in folders if (folder / "metrics.jsonl").is_file()]
    if logged:
        print(f"comparison: {make_report(logged, output / 'report.html')}")


@reports_user_errors("sweep.py")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--config", help="recipe (YAML file of options) of all runs")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="OPTION=V,V",
        help="an option and the values to try; may be repeated",
    )
    parser.add_argument(
        "--output", default="checkpoints_sweep", help="folder for all runs (default: checkpoints_sweep)"
    )
    parser.add_argument("common", nargs="*", help="after --: options for every run")
    given = parser.parse_args(argv)
    if not given.set:
        raise UserError("nothing to vary: give --set option=value,value")
    return run_sweep(given.config, given.set, given.common, Path(given.output))


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
