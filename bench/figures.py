"""What a row measures, its bars, and the table."""

import operator
from dataclasses import dataclass, field
from typing import Any

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}
NOT_HERE = "not measured here"


@dataclass
class Figure:
    """One line of the table.

    Attributes:
        value: what was measured; None where this machine cannot (`note` says why).
        bar_cpu, bar_gpu: "<= 1.03", "" where there is none.
        details: readings behind the value, for the JSON.
    """

    name: str
    value: float | None
    bar_cpu: str = ""
    bar_gpu: str = ""
    unit: str = ""
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def bar(self, kind: str) -> str:
        return self.bar_gpu if kind == "cuda" else self.bar_cpu

    def verdict(self, kind: str) -> str:
        if self.value is None:
            return NOT_HERE
        bar = self.bar(kind)
        return ("pass" if meets(self.value, bar) else "short") if bar else ""


def meets(value: float, bar: str) -> bool:
    """Whether 1.01 meets "<= 1.03"."""
    sign, limit = bar.split()
    return bool(_COMPARE[sign](value, float(limit)))


def table(figures: list[Figure], kind: str) -> str:
    """All figures with the bars of this kind of device ("cpu" or "cuda"), then the bars that need the other kind."""
    rows = [("figure", "measured", f"bar ({kind})", "", "")]
    for f in figures:
        measured = NOT_HERE if f.value is None else f"{f.value:.4g}{f.unit}"
        verdict = "" if f.value is None else f.verdict(kind)
        rows.append((f.name, measured, f.bar(kind), verdict, f.note))
    if kind == "cpu":
        rows += [(f"{f.name}, one GPU", NOT_HERE, f.bar_gpu, "", "") for f in figures if f.bar_gpu]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
