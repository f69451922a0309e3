"""The charts of the report, and `make_report`, which writes it as one self-contained HTML file."""

from collections.abc import Sequence
from pathlib import Path

from errors import UserError
from monitoring.report.charts import Chart, Series
from monitoring.report.data import RunData, load_clips, load_run
from monitoring.report.page import render_page
from runtime.files import write_text

# title, [(metric, label)], options of the chart
CHARTS = (
    ("Losses of both networks", (("loss/d", "D"), ("loss/g_adv", "G")), {}),
    ("Probability of being real, by D", (), {"low": 0.0, "high": 1.0}),
    ("Validation loss", (("val/current", "current alpha"), ("val/clean", "clean"), ("val/ceiling", "ceiling")), {}),
    (
        "Diversity of generated clips",
        (
            ("diversity/ratio", "distance from each other"),
            ("diversity/nearest_train", "distance from training clips"),
            ("diversity/classes", "number of classes"),
        ),
        {"low": 0.0, "rules": [(1.0, "real music")]},
    ),
    (
        "Auxiliary classifier",
        (
            ("classifier/accuracy", "accuracy, training"),
            ("classifier/val_accuracy", "accuracy, held-out"),
            ("classifier/made_accuracy", "generated as asked"),
        ),
        {"high": 1.0},
    ),
    ("Signal-to-noise ratio in dB", (("val/psnr", "generated"), ("val/psnr_bicubic", "bicubic")), {}),
    ("Structural similarity", (("val/ssim", "generated"), ("val/ssim_bicubic", "bicubic")), {}),
    ("Learning rates", (("lr/g", "G"), ("lr/d", "D")), {"low": 0.0}),
    (
        "Weights",
        (
            ("weight/gan", "adversarial"),
            ("weight/recon", "regression"),
            ("weight/instance_noise", "instance noise"),
            ("weight/gan_fade", "fade of the adversarial losses"),
        ),
        {"low": 0.0},
    ),
    ("Gradient norms", (("grad_norm/g", "G"), ("grad_norm/d", "D")), {"logarithmic": True}),
    ("Deviation of latents", (("latents/fake_std", "generated"), ("latents/real_std", "real")), {"low": 0.0}),
)

# Often equal to another metric: dashed, so that both are visible.
OVERLAPPING = ("curriculum/sample_alpha_mean", "lr/d", "weight/recon", "weight/gan_fade", "val/clean", "val/ceiling")


def charts(runs: Sequence[RunData]) -> list[Chart]:
    """All charts. Several runs differ by colour, and the metrics of one chart by dash."""
    first = runs[0]
    made = [curriculum_chart(runs)]
    for title, names, options in CHARTS:
        rules = list(options.get("rules", []))
        if title.startswith("Losses"):
            rules += [(value, "random guess") for value in dict.fromkeys(run.baseline for run in runs) if value]
        if title.startswith("Probability"):
            rules.append((0.5, "undecided"))
            names = probability_names(runs)
        note = ""
        if title.startswith("Probability") and first.compares_pairs:
            note = "This objective compares pairs: only the share of pairs ranked correctly is meaningful."
        settings = {key: value for key, value in options.items() if key != "rules"}
        made.append(Chart(title, overlaid(runs, names), rules=rules, note=note, **settings))
    return made


def probability_names(runs: Sequence[RunData]) -> tuple[tuple[str, str], ...]:
    names = (("d/real_prob", "D(real)"), ("d/fake_prob", "D(generated)"))
    pairs = (("d/pair_accuracy", "pairs ranked correctly"),)
    return names + pairs if any(run.compares_pairs for run in runs) else names


def curriculum_chart(runs: Sequence[RunData]) -> Chart:
    """Alpha of the schedule, and mean and standard deviation of what samples get; with a single run its phases are
    shaded."""
    names = [("alpha", "schedule")]
    if any(run.series("curriculum/sample_alpha_mean") for run in runs):
        names += [("curriculum/sample_alpha_mean", "mean of samples"), ("curriculum/sample_alpha_std", "their spread")]
    series = overlaid(runs, names)
    bands = phase_bands(runs[0]) if len(runs) == 1 else []
    return Chart("Curriculum: noise level alpha", series, bands=bands, low=0.0, high=1.0)


def phase_bands(run: RunData) -> list[tuple[float, float, str]]:
    """(from, to, phase) in epochs, with pre-training as a separate phase."""
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
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_text(output, page)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; choose another --output") from None
    return output
