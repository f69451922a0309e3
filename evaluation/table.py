"""The table of `evaluate.py`: every metric of every set with its interval, and the gap closed.

The metrics of a set are {metric: {"value", "low", "high"}}, as from `evaluation.scorer.Scorer.score`.
"""

from collections.abc import Sequence

from evaluation import ladder, metrics

HEADINGS = {  # metric -> heading, decimals
    "gap_closed": ("gap closed", 2),
    "frechet": ("Frechet", 1),
    "kernel": ("kernel", 3),
    "density": ("density", 2),
    "coverage": ("coverage", 2),
    "diversity": ("diversity", 2),
    "nearest_train": ("nearest train", 2),
    "silent": ("silent", 2),
    "clipped": ("clipped", 2),
}


def add_gap_closed(sets: dict[str, dict]) -> None:
    """Add "gap_closed" to every set, in place: its Frechet distance on a scale from Gaussian (0) to floor (1).

    The interval is that of the set's own distance; the two ends of the scale count as exact. Left out if the Gaussian
    is not above the floor.
    """
    floor, gaussian = (sets[rung]["frechet"]["value"] for rung in ("floor", "gaussian"))
    if not gaussian > floor:
        return
    for values in sets.values():
        closed = {end: metrics.gap_closed(values["frechet"][end], floor, gaussian) for end in ("value", "low", "high")}
        values["gap_closed"] = {"value": closed["value"], "low": closed["high"], "high": closed["low"]}


def broken_figures(sets: dict[str, dict]) -> dict[str, list[str]]:
    """`ladder.misordered` for metrics with intervals: metrics not to be trusted in this table, and why."""
    return ladder.misordered(
        {name: {metric: entry["value"] for metric, entry in sets[name].items()} for name in ladder.RUNGS}
    )


def render(
    sets: dict[str, dict],
    title: str,
    broken: dict[str, list[str]] | None = None,
    more: dict[str, tuple[str, int]] | None = None,
    rungs: Sequence[str] = ladder.RUNGS,
):
    """A rich table: one row per set, evaluated sets first, then the ladder from music to noise.

    A cell holds the value and half its 95 % interval; metrics in `broken` have an exclamation mark in their heading.
    more: further metrics of the sets to show, in the form of HEADINGS. rungs: of the ladder, in its order.
    """
    from rich.table import Table

    headings = HEADINGS | (more or {})
    shown = [metric for metric in headings if all(metric in values for values in sets.values())]
    table = Table(title=title, title_justify="left")
    table.add_column("set", no_wrap=True)
    for metric in shown:
        table.add_column(headings[metric][0] + (" !" if metric in (broken or {}) else ""), justify="right")
    evaluated = [name for name in sets if name not in rungs]
    for name in (*evaluated, *rungs):
        style = "bold" if name in evaluated else None
        table.add_row(name, *(_cell(sets[name][metric], headings[metric][1]) for metric in shown), style=style)
    return table


def _cell(entry, decimals):
    half = (entry["high"] - entry["low"]) / 2
    return f"{entry['value']:.{decimals}f} ±{half:.{decimals}f}"
