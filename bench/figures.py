"""A measurement with its targets ("bars"), and the table of measurements."""

import operator
from dataclasses import dataclass, field
from typing import Any

_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}
NOT_HERE = "not measured here"


@dataclass
class Figure:
    """One line of the table.

    Attributes:
        value: the result; None if this machine cannot measure it (`note` says why).
        bar_cpu, bar_gpu: targets such as "<= 1.03", "" for none.
        details: further data for the JSON file.
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
    """All measurements with the targets for this kind of device ("cpu" or "cuda"), then those for the other kind."""
    rows = [("measurement", "measured", f"target ({kind})", "", "")]
    for f in figures:
        measured = NOT_HERE if f.value is None else f"{f.value:.4g}{f.unit}"
        verdict = "" if f.value is None else f.verdict(kind)
        rows.append((f.name, measured, f.bar(kind), verdict, f.note))
    if kind == "cpu":
        rows += [(f"{f.name}, one GPU", NOT_HERE, f.bar_gpu, "", "") for f in figures if f.bar_gpu]
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
