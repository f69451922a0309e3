"""Line charts and timelines as inline SVG. Colours come from the page's style, for light and dark mode."""

from dataclasses import dataclass, field
from math import ceil, floor, isfinite, log10

from monitoring.advice import BAD
from monitoring.report.data import Points, Segment
from monitoring.report.escaping import escape

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 34
MOST_POINTS = 200
LEAST = 1e-30  # smallest value on a logarithmic axis


@dataclass(frozen=True)
class Series:
    """A line of a chart: `colour` is a number of the page's palette, `dash` a style, 0 to 2."""

    label: str
    points: Points
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True)
class Chart:
    """A chart's contents. rules: (value, label) of horizontal lines; bands: (start, end, label) behind it."""

    title: str
    series: list[Series]
    rules: list[tuple[float, str]] = field(default_factory=list)
    bands: list[tuple[float, float, str]] = field(default_factory=list)
    logarithmic: bool = False
    low: float | None = None
    high: float | None = None
    note: str = ""


def render_chart(chart: Chart, end: float) -> str:
    """A figure with the chart, its legend and note; empty without points. `end`: the last epoch of the x axis."""
    drawn = [
        Series(s.label, thin([p for p in s.points if p[1] > LEAST or not chart.logarithmic]), s.colour, s.dash)
        for s in chart.series
    ]
    drawn = [s for s in drawn if s.points]
    if not drawn:
        return ""
    scale = _Scale(chart, drawn, end)
    parts = [scale.band(*band) for band in chart.bands]
    parts += [scale.grid(tick) for tick in scale.ticks] + [scale.epoch(tick) for tick in nice_ticks(0, scale.end, 5)]
    parts += [scale.rule(value, label) for value, label in chart.rules if scale.low <= scale.y_of(value) <= scale.high]
    parts += [scale.line(s) for s in drawn]
    parts.append(f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">epochs</text>')
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 24 8" aria-hidden="true"><path class="c{s.colour % 8} d{s.dash % 3}" '
        f'd="M0 4H24"/></svg>{escape(s.label)}</li>'
        for s in drawn
    )
    note = f"<p>{escape(chart.note)}</p>" if chart.note else ""
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">{"".join(parts)}</svg>'
        f'<ul class="legend">{legend}</ul>{note}</figure>'
    )


class _Scale:
    """Maps values to positions in the chart."""

    def __init__(self, chart: Chart, series: list[Series], end: float) -> None:
        self._log = chart.logarithmic
        values = [self.y_of(y) for s in series for _, y in s.points]
        values += [self.y_of(value) for value, _ in chart.rules if not self._log or value > 0]
        low = min(values) if chart.low is None else self.y_of(chart.low)
        high = max(values) if chart.high is None else self.y_of(chart.high)
        if high - low < 1e-12:
            margin = abs(high) * 0.5 or 0.5
            low, high = low - margin, high + margin
        pad = 0.06 * (high - low)
        self.low = low - (pad if chart.low is None else 0)
        self.high = high + (pad if chart.high is None else 0)
        self.end = max(end, 1e-9)
        self.ticks = self._log_ticks() if self._log else nice_ticks(self.low, self.high, 5)

    def y_of(self, value: float) -> float:
        return log10(value) if self._log else value

    def _log_ticks(self) -> list[float]:
        powers = range(ceil(self.low), floor(self.high) + 1)
        if len(powers) < 3:
            marks = (m * 10.0**p for p in range(floor(self.low), ceil(self.high)) for m in (1, 2, 5))
            return [mark for mark in marks if self.low <= log10(mark) <= self.high]
        return [10.0**p for p in powers[:: ceil(len(powers) / 6)]]

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / self.end * (WIDTH - LEFT - RIGHT)
        down = TOP + (self.high - self.y_of(y)) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)
        return across, down

    def line(self, series: Series) -> str:
        style = f"c{series.colour % 8} d{series.dash % 3}"
        places = [self.place(*point) for point in series.points]
        if len(places) == 1:
            ((x, y),) = places
            return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        path = "L".join(f"{x:.1f} {min(max(y, 0), HEIGHT):.1f}" for x, y in places)
        return f'<path class="line {style}" d="M{path}"/>'

    def grid(self, tick: float) -> str:
        _, y = self.place(0, tick)
        return (
            f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short_number(tick)}</text>'
        )

    def epoch(self, tick: float) -> str:
        x, _ = self.place(tick, 1)
        below = HEIGHT - BOTTOM
        return (
            f'<path class="grid" d="M{x:.1f} {below}v5"/>'
            f'<text class="axis" x="{x:.1f}" y="{below + 17}" text-anchor="middle">{short_number(tick)}</text>'
        )

    def rule(self, value: float, label: str) -> str:
        _, y = self.place(0, value)
        return (
            f'<path class="rule" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="axis" x="{WIDTH - RIGHT - 2}" y="{y - 4:.1f}" text-anchor="end">{escape(label)}</text>'
        )

    def band(self, start: float, end: float, label: str) -> str:
        (left, _), (right, _) = self.place(start, 1), self.place(end, 1)
        text = f'<text class="axis" x="{left + 4:.1f}" y="{TOP + 12}">{escape(label)}</text>'
        shade = "".join(ch for ch in label if ch.isalnum())
        return (
            f'<rect class="band b-{shade}" x="{left:.1f}" y="{TOP}" width="{max(0, right - left):.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"/>{text if right - left > 7 * len(label) else ""}'
        )


def thin(points: Points, most: int = MOST_POINTS) -> Points:
    """At most `most` points: means over equal segments, so that the file of a long run stays small."""
    if len(points) <= most:
        return points
    edges = [round(k * len(points) / most) for k in range(most + 1)]
    stretches = [points[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    return [(sum(x for x, _ in s) / len(s), sum(y for _, y in s) / len(s)) for s in stretches]


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers within [low, high], at most about `most`."""
    if not (isfinite(low) and isfinite(high)) or high <= low:
        return [low] if isfinite(low) else []
    raw = (high - low) / most
    unit = 10.0 ** floor(log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    return [k * step for k in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def short_number(value: float) -> str:
    """At most about six characters."""
    if value == 0 or abs(value) < 1e-12:
        return "0"
    if abs(value) >= 1e4 or abs(value) < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def verdict_kind(verdict: str) -> str:
    """The colour class of a verdict."""
    if verdict in BAD:
        return "bad"
    return "wait" if verdict in ("warming up", "pre-training") else "good"


def render_timeline(segments: list[Segment], end: float) -> str:
    """One row per verdict, in order of appearance, each segment a bar along the epochs."""
    rows = list(dict.fromkeys(segment.verdict for segment in segments))
    if not rows:
        return ""
    end, line, label = max(end, 1e-9), 22, 168
    height = line * len(rows) + 26
    across = WIDTH - label - RIGHT
    parts = []
    for k, verdict in enumerate(rows):
        y = k * line + 4
        parts.append(f'<text class="axis" x="{label - 8}" y="{y + 12}" text-anchor="end">{escape(verdict)}</text>')
        parts.append(f'<path class="grid" d="M{label} {y + 8}H{WIDTH - RIGHT}"/>')
        for s in (s for s in segments if s.verdict == verdict):
            x, width = label + s.start / end * across, max(2.0, (s.end - s.start) / end * across)
            x = min(x, WIDTH - RIGHT - width)
            title = f"{s.verdict}, epoch {s.start:.1f} to {s.end:.1f}: {s.evidence}"
            parts.append(
                f'<rect class="{verdict_kind(verdict)}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="15" rx="3">'
                f"<title>{escape(title)}</title></rect>"
            )
    for tick in nice_ticks(0, end, 5):
        x = label + tick / end * across
        text = f'<text class="axis" x="{x:.1f}" y="{height - 4}" text-anchor="middle">{short_number(tick)}</text>'
        parts.append(text)
    return (
        f'<figure class="chart wide"><svg class="timeline" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="health verdicts by epoch">{"".join(parts)}</svg></figure>'
    )
