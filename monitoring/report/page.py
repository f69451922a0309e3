"""The HTML page of the report. It loads nothing from elsewhere and supports light and dark mode."""

from collections.abc import Sequence
from itertools import groupby
from math import isfinite
from pathlib import Path

from monitoring.loss_table import BANDS, TRENDS, shares, trend
from monitoring.report.charts import Chart, render_chart, render_timeline, verdict_kind
from monitoring.report.checks import checklist
from monitoring.report.data import GRID, Clip, RunData, Segment
from monitoring.report.escaping import escape
from monitoring.report.words import commands, comparison, facts, segment_words

STYLE = Path(__file__).with_name("report.css")


def render_page(runs: Sequence[RunData], charts: Sequence[Chart], clips: Sequence[list[Clip]]) -> str:
    """The whole document; `clips` holds the clips of each run."""
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs: " + ", ".join(run.name for run in runs)
    end = max(run.end for run in runs)
    parts = [f"<h1>{escape(title)}</h1>", '<p class="lead">A report of noise2music.</p>']
    if len(runs) > 1:
        parts += [section("Differences", comparison_table(runs))]
    parts += [section("What was trained", each(runs, facts_list))]
    parts += [section("Checks", each(runs, check_items))]
    drawn = "".join(render_chart(chart, end) for chart in charts)
    parts += [section("Metrics", f'<div class="cards">{drawn}</div>' if drawn else "<p>Nothing was logged.</p>")]
    parts += [section("Health", each(runs, health, end))]
    shown = [render_clips(run_clips) for run_clips in clips]
    parts += [section("Samples", named(runs, shown))]
    parts += [section("Commands", each(runs, command_list))]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE.read_text(encoding='utf-8')}{palette()}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def palette() -> str:
    return "".join(f".c{k} {{ stroke: var(--k{k}); }} .dot.c{k} {{ fill: var(--k{k}); }}\n" for k in range(8))


def section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def each(runs: Sequence[RunData], render, *more) -> str:
    return named(runs, [render(run, *more) for run in runs])


def named(runs: Sequence[RunData], parts: Sequence[str]) -> str:
    """The parts in sequence; with several runs each under the name of its run."""
    if len(runs) == 1:
        return parts[0]
    return "".join(f"<h3>{escape(run.name)}</h3>{part}" for run, part in zip(runs, parts, strict=True))


def comparison_table(runs: Sequence[RunData]) -> str:
    headings, rows = comparison(runs)
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def facts_list(run: RunData) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(run))
    return f'<dl class="facts">{rows}</dl>'


def check_items(run: RunData) -> str:
    rows = []
    for item in checklist(run):
        expected = f' <span class="when">Expected: {escape(item.expected)}.</span>' if item.expected else ""
        rows.append(f'<li class="{item.kind}">{escape(item.text)}{expected}</li>')
    return f'<ul class="checks">{"".join(rows)}</ul>'


def health(run: RunData, end: float) -> str:
    """The timeline, and its latest segments in words."""
    if not run.segments:
        return "<p>No verdicts were logged.</p>"
    latest = sorted(run.segments, key=lambda s: (s.end, s.start), reverse=True)[:12]
    rows = "".join(f"<li>{_verdict(run, segment)}</li>" for segment in latest)
    return f'{render_timeline(run.segments, end)}<ul class="verdicts">{rows}</ul>{loss_table(run)}'


def loss_table(run: RunData) -> str:
    """The bands of the discriminator's loss, with the share of logged steps in each, and the trends of the
    generator's; empty for objectives without a random guess's loss."""
    losses = [y for _, y in run.series("loss/d")]
    if run.baseline is None or not losses:
        return ""
    found, rows = shares(losses, run.baseline), []
    for band in BANDS:
        low, high = band.within(run.baseline)
        limits = f"{low:.2g} to {high:.2g}" if isfinite(high) else f"over {low:.2g}"
        rows.append((f"L_D {limits}", f"{found[band.name]:.0%} of the steps", f"{band.name}: {band.meaning}"))
    now = trend([y for _, y in run.series("loss/g_adv")][-3 * run.options["health"]["window"] :])
    rows += [(f"L_G {name}", "now" if name == now else "", meaning) for name, meaning in TRENDS.items()]
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<h3>What the losses say</h3><div class="scroll"><table>{body}</table></div>'


def _verdict(run: RunData, segment: Segment) -> str:
    kind, name = verdict_kind(segment.verdict), escape(segment.verdict)
    when = f'<span class="when">epoch {segment.start:.1f} to {segment.end:.1f}</span>'
    return f'<b class="{kind}">{name}</b> {when}<br>{escape(segment_words(run, segment))}'


def render_clips(clips: list[Clip]) -> str:
    """Rows of clips of one kind: the real ones first, then epoch by epoch."""
    if not clips:
        return "<p>No samples were written (see --sample_every).</p>"
    rows = []
    for title, group in groupby(clips, key=lambda clip: clip.title):
        cells = "".join(_clip(clip) for clip in group)
        rows.append(f'<div><h3>{escape(title)}</h3><div class="samples">{cells}</div></div>')
    return f'<div class="groups">{"".join(rows)}</div>'


def _clip(clip: Clip) -> str:
    """A player under its spectrogram; a picture without sound in full width."""
    kind = "sample real" if clip.epoch == 0 else "sample"
    kind += "" if clip.sound else " wide"
    which = "all" if clip.number == GRID else f"number {clip.number + 1}"
    label = escape(clip.caption or f"{clip.title}, {which}")
    sound = f'<audio controls preload="none" src="{clip.sound}" aria-label="{label}"></audio>' if clip.sound else ""
    caption = f"<figcaption>{escape(clip.caption)}</figcaption>" if clip.caption else ""
    return f'<figure class="{kind}">{caption}<img src="{clip.picture}" alt="{label}">{sound}</figure>'


def command_list(run: RunData) -> str:
    return "".join(f"<h3>{escape(what)}</h3><pre>{escape(command)}</pre>" for what, command in commands(run))
