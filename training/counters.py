"""Counters of a run's progress."""

from dataclasses import asdict, dataclass
from math import isnan
from typing import Any


@dataclass
class Counters:
    """`samples_seen` is the whole state of the data; schedules depend on it.

    Attributes:
        best: lowest validation loss within the current phase; `since_best`: validations since then.
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
    rewinds: int = 0
    rollbacks: int = 0
    lr_factor: float = 1.0

    def is_best(self, loss: float, phase: str) -> bool:
        """Records a validation loss; returns whether it is the best of its phase. Losses of different phases are not
        compared, since they measure different tasks."""
        if phase != self.phase or self.best is None:
            self.phase, self.best, self.since_best = phase, loss, 0
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
