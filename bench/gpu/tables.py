"""What is left of a measurement: JSON for programs, Markdown for docs/performance.md."""

import json
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.figures import NOT_HERE
from bench.gpu.parts import Row
from runtime.cores import available_cores

_ASKED = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,memory.total,power.limit"


def machine(kind: str) -> dict[str, Any]:
    """Device, driver, clocks and versions."""
    import torch

    found: dict[str, Any] = {"kind": kind, "python": platform.python_version(), "torch": torch.__version__}
    found["cores"] = available_cores()
    if kind == "cuda":
        found |= {"cuda": torch.version.cuda, "gpus": torch.cuda.device_count(), "gpu": gpu_state()}
    return found


def gpu_state() -> list[str]:
    """A line for each GPU: its name, driver, clocks at this moment, memory and power limit."""
    query = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip().splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return []


def write(rows: list[Row], about: dict[str, Any], folder: Path) -> None:
    """`figures.json` and `tables.md`. What a CPU measured at toy size is in neither."""
    here = about["kind"] == "cuda"
    lines = [asdict(row) | {"verdict": row.verdict} for row in rows]
    for line in lines:
        if not here:
            line["figure"] |= {"value": None, "details": {}}
    described = about | {"rows": lines, "failed": [row.part for row in rows if row.failed]}
    (folder / "figures.json").write_text(json.dumps(described, indent=1, default=str) + "\n", encoding="utf-8")
    (folder / "tables.md").write_text(markdown(rows, about), encoding="utf-8")


def markdown(rows: list[Row], about: dict[str, Any]) -> str:
    here = about["kind"] == "cuda"
    lines = ["| part | measurement | measured | target | | note |", "|---|---|---|---|---|---|"]
    for row in rows:
        f = row.figure
        measured = f"{f.value:.4g}{f.unit}" if here and f.value is not None else NOT_HERE
        verdict = row.verdict if here or row.failed else ""
        note = (row.error or f.note).replace("|", "/")
        lines.append(f"| {row.part} | {f.name} | {measured} | {f.bar_gpu} | {verdict} | {note} |")
    facts = ", ".join(f"{name} {value}" for name, value in about.items() if name not in ("gpu", "kind"))
    devices = [*about.get("gpu", []), facts]
    return "\n".join([*lines, "", *devices, ""])
