"""What the parts have in common: the machine they run on, how each is guarded, how their rows are kept."""

import gc
import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from bench.figures import Figure, meets
from runtime.distributed import Ranks

# Both sides of a comparison: small networks, whose CPU side takes seconds.
SMALL = {
    "width": 32, "nhead": 2, "num_layers": 1, "crop_seconds": 0.5, "disc_width": 4, "global_batch_size": 4,
    "dropout": 0.0, "log_every": 1,
}  # fmt: skip
ON_CPU = Ranks(0, 0, 1, 1, torch.device("cpu"))


@dataclass(frozen=True)
class Place:
    """Where the parts run: this process as one rank on its device; `toy`: at the smallest size, without a GPU."""

    ranks: Ranks
    toy: bool

    @property
    def device(self) -> torch.device:
        return self.ranks.device


Part = Callable[[Place], list[Figure]]


def forget() -> None:
    """Frees the devices' memory of runs that nothing refers to any more, cycles of references included."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class Row:
    """A line of the tables. `error` is that of a part that failed; `check` says that missing its bar is an error."""

    part: str
    figure: Figure
    check: bool = False
    error: str = ""
    took_s: float = 0.0
    command: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        missed = self.check and self.figure.value is not None and not self.meets_bar
        return bool(self.error) or missed

    @property
    def meets_bar(self) -> bool:
        return not self.figure.bar_gpu or meets(self.figure.value, self.figure.bar_gpu)

    @property
    def verdict(self) -> str:
        if self.failed:
            return "failed"
        if self.figure.value is None:
            return "left out"
        return ("pass" if self.meets_bar else "short") if self.figure.bar_gpu else ""


def failure(part: str, error: str) -> Row:
    """The row of a part that brought no figures."""
    return Row(part, Figure(part, None), error=error)


def guarded(name: str, part: Part, place: Place, check: bool) -> list[Row]:
    """A part's rows; one row with the error if it failed."""
    begun = time.monotonic()
    try:
        rows = [Row(name, figure, check) for figure in part(place)]
    except Exception as error:
        traceback.print_exc()
        rows = [failure(name, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}")]
    for row in rows:
        row.took_s = round(time.monotonic() - begun, 1)
    return rows


def keep(rows: list[Row], path: Path) -> None:
    """Appends rows to a file, so that they survive what ends the process."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def kept(path: Path) -> list[Row]:
    """The rows of a file, without a last line that was cut off."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    fields = [json.loads(line) for line in lines if line.endswith("\n")]
    return [Row(**some | {"figure": Figure(**some["figure"])}) for some in fields]
