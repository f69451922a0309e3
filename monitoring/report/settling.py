"""Checks of the adversarial losses over a run: whether they settle, in which range, and how smoothly."""

from math import log
from statistics import fmean, pstdev

from monitoring.loss_table import SETTLED, trend
from monitoring.report.data import RunData

FEWEST = 9  # logged values, three for each third of the run
STEADY = 0.25  # deviation of a settled loss over its mean
SMOOTH = 0.35  # root mean square of successive differences over the mean
LOWEST_OF_PAIRS = 0.1  # in bce: with R1 and R2 a discriminator of pairs settles lower


def settling(run: RunData) -> list[tuple[bool, str, str]]:
    """(whether it is well, a sentence, what is expected) for each check; nothing for runs with few values."""
    if not run.options["gan_weight"]:
        return []
    checks = []
    for name, network in (("loss/d", "D"), ("loss/g_adv", "G")):
        values = [y for _, y in run.series(name)]
        if len(values) >= FEWEST:
            checks += [_range(run, values)] if network == "D" else [_first_to_last(values)]
            checks += _smoothness(values, network)
    return checks


def _range(run: RunData, values: list[float]) -> tuple[bool, str, str]:
    """Of the discriminator's loss in the last third of the run."""
    late = values[-(len(values) // 3) :]
    spread = pstdev(late) / max(fmean(map(abs, late)), 1e-12)
    text = f"L_D lay between {min(late):.2f} and {max(late):.2f} in the last third of the run"
    text += f", {fmean(late):.2f} on average, and varied by {spread:.0%} of its size"
    steady = f"varies by less than {STEADY:.0%}"
    if run.baseline is None:
        return spread < STEADY, text, steady
    low = LOWEST_OF_PAIRS if run.compares_pairs else SETTLED[0]
    low, high = (bar * run.baseline / log(2) for bar in (low, SETTLED[1]))
    well = spread < STEADY and low <= fmean(late) <= 1.1 * run.baseline
    return well, text, f"{low:.2g} to {high:.2g} (a random guess: {run.baseline:.2g}), {steady}"


def _first_to_last(values: list[float]) -> tuple[bool, str, str]:
    third = len(values) // 3
    text = f"L_G is {trend(values)}: {fmean(values[:third]):.2f} in the first third of the run, "
    return trend(values) != "rising", f"{text}{fmean(values[-third:]):.2f} in the last", "falling, then constant"


def _smoothness(values: list[float], network: str) -> list[tuple[bool, str, str]]:
    third = len(values) // 3
    early, late = values[:third], values[-third:]
    jumps = _jumps(late) / max(fmean(map(abs, late)), 1e-12)
    less = pstdev(late) <= pstdev(early)
    return [
        (
            jumps < SMOOTH,
            f"L_{network} changes by {jumps:.0%} of its size from one logged step to the next",
            f"less than {SMOOTH:.0%}",
        ),
        (less, f"L_{network} swings {'less' if less else 'more'} in the last third than in the first", "less"),
    ]


def _jumps(values: list[float]) -> float:
    return fmean((b - a) ** 2 for a, b in zip(values, values[1:], strict=False)) ** 0.5
