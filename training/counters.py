"""Counters of a run's progress."""

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any


@dataclass
class Counters:
    """`samples_seen` is the whole state of the data; schedules depend on it.

    Attributes:
        best: lowest value within the current phase of the validation metric `best_by` (`training.selection`);
            `since_best`: validations since then.
        phase: the phase that `best` belongs to.
        finished_epochs: epochs whose end (validation, samples, checkpoint) is done.
        rewinds: how often the run returned to an older checkpoint; checkpoints after that one are then outdated.
        rollbacks: how often it did so automatically, each time halving `lr_factor`, the factor on the learning rates.
    """

    step: int = 0
    samples_seen: int = 0
    finished_epochs: int = 0
    best: float | None = None
    since_best: int = 0
    phase: str = "music"
    best_by: str = "val/current"
    rewinds: int = 0
    rollbacks: int = 0
    lr_factor: float = 1.0

    def is_best(self, loss: float, phase: str, best_by: str = "val/current") -> bool:
        """Records a validation metric; returns whether it is the best of its phase. Metrics of different phases are not
        compared, since they measure different tasks."""
        if (phase, best_by) != (self.phase, self.best_by) or self.best is None:
            self.phase, self.best_by, self.best, self.since_best = phase, best_by, loss, 0
            return True
        if loss < self.best or (isnan(self.best) and not isnan(loss)):
            self.best, self.since_best = loss, 0
            return True
        self.since_best += 1
        return False

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
