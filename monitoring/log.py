"""Figures of a run: TensorBoard, and `metrics.jsonl` with one JSON object per logged step.

All but the object under `time` (speeds, waits) is reproducible: a resumed run writes the same lines, bit for bit.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np


class RunLog:
    """Writes figures under one step. With `folder=None` (ranks other than 0) it writes nothing.

    Args:
        folder: the run's folder; figures go to `metrics.jsonl` and `tb/` in it.
        purge_step: on resume, TensorBoard drops what it holds from this step on.
    """

    def __init__(self, folder: Path | None, purge_step: int | None = None) -> None:
        self._file = self._board = None
        if folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        self._file = open(folder / "metrics.jsonl", "a", encoding="utf-8")  # noqa: SIM115 (closed by close())
        self._board = SummaryWriter(str(folder / "tb"), purge_step=purge_step)

    def figures(
        self, step: int, header: dict[str, Any], scalars: dict[str, float], time: dict[str, float] | None = None
    ) -> None:
        """One line: `header` (step, epoch, alpha, phase, ...), named scalars, and speeds under `time`."""
        if self._file is None:
            return
        line = {"step": step} | header | {name: _finite(value) for name, value in scalars.items()}
        if time:
            line["time"] = {name: round(value, 6) for name, value in time.items()}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        numbers = {name: value for name, value in header.items() if isinstance(value, int | float)}
        for name, value in (numbers | scalars | {f"time/{k}": v for k, v in (time or {}).items()}).items():
            self._board.add_scalar(name if "/" in name else f"training/{name}", value, step)

    def text(self, name: str, text: str, step: int = 0) -> None:
        if self._board is not None:
            self._board.add_text(name, text, step)

    def audio(self, name: str, wav_N: np.ndarray, sample_rate: int, step: int) -> None:
        if self._board is not None:
            peak = max(1.0, float(np.abs(wav_N).max()))
            self._board.add_audio(name, wav_N[None] / peak, step, sample_rate)

    def image(self, name: str, image_HWC: np.ndarray, step: int) -> None:
        if self._board is not None:
            self._board.add_image(name, image_HWC, step, dataformats="HWC")

    def flush(self) -> None:
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._board.close()


def _finite(value: float) -> float | str:
    """JSON has no NaN: a figure that is not finite is written as a string."""
    return value if math.isfinite(value) else str(value)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a half-written last line is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return lines
