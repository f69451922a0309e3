"""The table of a ladder: every figure of every set with its interval, and the gap closed.

A set's figures are {figure: {"value", "low", "high"}}, as `judge.Judge.score` gives them.
"""

from evaluation import ladder, metrics

HEADINGS = {  # figure -> heading, decimals
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
    """Add "gap_closed" to every set, in place: its Frechet distance between that of the floor and the Gaussian.

    The interval is that of the set's own distance; the two ends of the scale are taken as they are. Left out where the
    Gaussian does not lie above the floor.
    """
    floor, gaussian = (sets[rung]["frechet"]["value"] for rung in ("floor", "gaussian"))
    if not gaussian > floor:
        return
    for figures in sets.values():
        closed = {end: metrics.gap_closed(figures["frechet"][end], floor, gaussian) for end in ("value", "low", "high")}
        figures["gap_closed"] = {"value": closed["value"], "low": closed["high"], "high": closed["low"]}


def broken_figures(sets: dict[str, dict]) -> dict[str, list[str]]:
    """`ladder.misordered` for figures with intervals: which are not to be trusted in this table, and why."""
    return ladder.misordered(
        {name: {figure: entry["value"] for figure, entry in sets[name].items()} for name in ladder.RUNGS}
    )


def render(
    sets: dict[str, dict],
    title: str,
    broken: dict[str, list[str]] | None = None,
    more: dict[str, tuple[str, int]] | None = None,
):
    """A rich table: one row a set, judged sets first, then the ladder from music to noise.

    A cell is the value and half its 95 % interval; figures in `broken` carry an exclamation mark in their heading.
    """
    from rich.table import Table

    headings = HEADINGS | (more or {})  # `more`: what else the sets hold and the table shows, in the form of HEADINGS
    shown = [figure for figure in headings if all(figure in figures for figures in sets.values())]
    table = Table(title=title, title_justify="left")
    table.add_column("set", no_wrap=True)
    for figure in shown:
        table.add_column(headings[figure][0] + (" !" if figure in (broken or {}) else ""), justify="right")
    judged = [name for name in sets if name not in ladder.RUNGS]
    for name in (*judged, *ladder.RUNGS):
        style = "bold" if name in judged else None
        table.add_row(name, *(_cell(sets[name][figure], headings[figure][1]) for figure in shown), style=style)
    return table


def _cell(entry, decimals):
    half = (entry["high"] - entry["low"]) / 2
    return f"{entry['value']:.{decimals}f} ±{half:.{decimals}f}"
