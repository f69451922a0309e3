"""The report of a run, or of several laid over each other: one self-contained HTML file.

    python -m monitoring.report checkpoints
    python -m monitoring.report checkpoints_a checkpoints_b --output comparison.html

Exit codes: 0 done; 2 a folder that holds no run, told in one sentence.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from errors import UserError
from monitoring.report_charts import Chart, Series
from monitoring.report_data import RunData, load_clips, load_run
from monitoring.report_page import render_page

# title, [(figure, label)], options of the chart
FIGURES = (
    ("Losses of the two players", (("loss/d", "D"), ("loss/g_adv", "G")), {}),
    ("What D thinks: probability of being real", (), {"low": 0.0, "high": 1.0}),
    ("Validation loss", (("val/current", "current alpha"), ("val/clean", "clean"), ("val/ceiling", "ceiling")), {}),
    (
        "Diversity of generated clips",
        (("diversity/ratio", "of each other"), ("diversity/nearest_train", "from training clips")),
        {"low": 0.0, "rules": [(1.0, "real music")]},
    ),
    ("Learning rates", (("lr/g", "G"), ("lr/d", "D")), {"low": 0.0}),
    (
        "Weights",
        (("weight/gan", "adversarial"), ("weight/recon", "regression"), ("weight/instance_noise", "instance noise")),
        {"low": 0.0},
    ),
    ("Gradient norms", (("grad_norm/g", "G"), ("grad_norm/d", "D")), {"logarithmic": True}),
    ("Deviation of latents", (("latents/fake_std", "generated"), ("latents/real_std", "real")), {"low": 0.0}),
)

OVERLAPPING = ("lr/d", "weight/recon", "val/clean", "val/ceiling")  # often equal to another: dashed, so that both show


def charts(runs: Sequence[RunData]) -> list[Chart]:
    """All charts; of several runs each has a colour of its own, and the figures of one chart differ by dash."""
    first = runs[0]
    made = [curriculum_chart(runs)]
    for title, names, options in FIGURES:
        rules = list(options.get("rules", []))
        if title.startswith("Losses"):
            rules += [(value, "random guess") for value in dict.fromkeys(run.baseline for run in runs) if value]
        if title.startswith("What D"):
            rules.append((0.5, "undecided"))
            names = probability_names(runs)
        note = ""
        if title.startswith("What D") and first.compares_pairs:
            note = "This objective compares pairs: only the share of pairs that D ranks rightly says who leads."
        settings = {key: value for key, value in options.items() if key != "rules"}
        made.append(Chart(title, overlaid(runs, names), rules=rules, note=note, **settings))
    return made


def probability_names(runs: Sequence[RunData]) -> tuple[tuple[str, str], ...]:
    names = (("d/real_prob", "D(real)"), ("d/fake_prob", "D(generated)"))
    pairs = (("d/pair_accuracy", "pairs ranked rightly"),)
    return names + pairs if any(run.compares_pairs for run in runs) else names


def curriculum_chart(runs: Sequence[RunData]) -> Chart:
    """Alpha over the epochs; the phases of a single run lie behind it."""
    series = overlaid(runs, (("alpha", "alpha"),))
    bands = phase_bands(runs[0]) if len(runs) == 1 else []
    return Chart("Curriculum: share of noise in the input (alpha)", series, bands=bands, low=0.0, high=1.0)


def phase_bands(run: RunData) -> list[tuple[float, float, str]]:
    """(from, to, phase) in epochs, pre-training being a phase of its own."""
    bands: list[tuple[float, float, str]] = []
    before = 0.0
    for line in run.lines:
        if "pretrain_phase" not in line:
            continue
        phase, now = "pre-training" if line["pretrain_phase"] else line.get("phase", ""), run.at(line)
        if bands and bands[-1][2] == phase:
            bands[-1] = (bands[-1][0], now, phase)
        else:
            bands.append((before, now, phase))
        before = now
    return bands


def overlaid(runs: Sequence[RunData], names: Sequence[tuple[str, str]]) -> list[Series]:
    if len(runs) == 1:
        return [
            Series(label, runs[0].series(name), k, dash=k * (name in OVERLAPPING))
            for k, (name, label) in enumerate(names)
        ]
    return [
        Series(f"{run.name}: {label}" if len(names) > 1 else run.name, run.series(name), colour=r, dash=k)
        for r, run in enumerate(runs)
        for k, (name, label) in enumerate(names)
    ]


def make_report(folders: Sequence[Path | str], output: Path | str) -> Path:
    """Writes the report of the runs in `folders`.

    Raises:
        UserError: a folder holds no run, or the file cannot be written.
    """
    runs = [load_run(Path(folder)) for folder in folders]
    names = [run.name for run in runs]
    for run in runs:
        if names.count(run.name) > 1:
            run.name = str(run.folder)
    most = 6 if len(runs) == 1 else 1
    page = render_page(runs, charts(runs), [load_clips(run.folder, most) for run in runs])
    output = Path(output)
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(output)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise UserError(f"cannot write {output}: {error.strerror}; choose another --output") from None
    return output


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.report", description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", help="folders of runs; several are laid over each other")
    parser.add_argument("--output", help="the file to write (default: report.html in the first folder)")
    given = parser.parse_args(argv)
    try:
        path = make_report(given.runs, given.output or Path(given.runs[0]) / "report.html")
    except UserError as error:
        print(f"monitoring.report: {error}", file=sys.stderr)
        return 2
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
