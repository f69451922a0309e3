"""A run in progress, as one rank sees it, and its clock."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import RunConfig
from data.pairs import Pairs
from data.stream import SampleStream
from errors import UserError
from kinds.base import Decoder, Kind, words_of
from models.ema import WeightAverage
from monitoring.health import Doctor
from monitoring.log import RunLog
from monitoring.progress import ProgressLine
from runtime.distributed import Ranks
from runtime.run_folder import RunLock
from runtime.saver import Saver
from runtime.signals import StopRequest
from synthesis.space import Space
from training.counters import Counters
from training.diversity import DiversityGauge
from training.step_plan import Schedules
from training.trainer import Trainer
from training.unreadable_samples import SkippedSamples


@dataclass
class Run:
    """A run in progress, as one rank sees it.

    Attributes:
        decoder: from samples to files; None if this rank needs none or it is not available.
        save_first: whether there is no checkpoint of the current state yet.
        saved_at: (step, finished epochs) of the latest last.pt.
    """

    config: RunConfig
    ranks: Ranks
    folder: Path
    trainer: Trainer
    average: WeightAverage
    kind: Kind
    stream: SampleStream
    held_out: Pairs
    schedules: Schedules
    counters: Counters
    log: RunLog
    progress: ProgressLine
    stop: StopRequest
    decoder: Decoder | None = None
    lock: RunLock | None = None
    last_save: float = field(default_factory=time.monotonic)
    save_first: bool = False
    saved_at: tuple[int, int] | None = None
    saver: Saver = field(default_factory=Saver)
    collapsed: bool = False
    gauge: DiversityGauge = field(init=False)
    doctor: Doctor = field(init=False)
    skipped: SkippedSamples = field(init=False)

    def __post_init__(self) -> None:
        least_std = getattr(self.kind, "least_std", 0.0)
        self.gauge = DiversityGauge(self.kind.features, self.trainer.clean, self.stream.pairs, self.held_out, least_std)
        self.doctor = self.new_doctor()
        self.skipped = SkippedSamples()

    def new_doctor(self) -> Doctor:
        """Health checks without any history."""
        c = self.config
        return Doctor(
            c.health.health,
            self.trainer.objective,
            c.adversarial.gan_weight > 0,
            c.weights,
            c.rates,
            c.flat(),
            words_of(self.kind),
        )

    def say_from_any_rank(self, sentence: str) -> None:
        """Prints a line about this rank; `progress` is silent on others than the first."""
        if self.ranks.is_main:
            self.progress.say(sentence)
        else:
            print(f"rank {self.ranks.rank}: {sentence}", file=sys.stderr, flush=True)

    @property
    def space(self) -> Space:
        return self.trainer.space

    @property
    def place(self) -> tuple[int, int]:
        """Identifies a state of the run: (step, finished epochs)."""
        return self.counters.step, self.counters.finished_epochs

    @property
    def epoch_ended(self) -> bool:
        return self.counters.samples_seen // len(self.stream) > self.counters.finished_epochs

    @property
    def steps(self) -> int:
        """How many steps the run will have had at its end."""
        left = max(0, self.schedules.total_samples - self.counters.samples_seen)
        return self.counters.step + -(-left // self.schedules.global_batch)

    @property
    def complete(self) -> bool:
        c = self.counters
        patience = self.config.training.patience
        settled = self.config.curriculum.pure_gan_mode == 0 or c.phase == "noise"
        return c.samples_seen >= self.schedules.total_samples or (settled and 0 < patience <= c.since_best)

    def stateful(self) -> dict[str, Any]:
        """The objects saved in a checkpoint, by their names there; each has `state_dict` and `load_state_dict`."""
        return {
            "counters": self.counters,
            "trainer": self.trainer,
            "ema": self.average,
            "schedules": self.schedules,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Restores a checkpoint. Raises UserError if its weights have other shapes."""
        try:
            for name, owner in self.stateful().items():
                owner.load_state_dict(state[name])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"the checkpoint does not fit this program's networks: {reason}") from None


class Stopwatch:
    """Speed and time spent waiting for data, since the last status."""

    def __init__(self, samples_per_step: int) -> None:
        self._per_step = samples_per_step
        self._reset()

    def _reset(self) -> None:
        self._start, self._steps, self._waited = time.perf_counter(), 0, 0.0

    def waiting(self) -> "Stopwatch":
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_) -> None:
        self._waited += time.perf_counter() - self._began

    def step(self) -> None:
        self._steps += 1

    def read(self) -> dict[str, float]:
        """Samples per second and the share of time spent waiting for data; then resets."""
        elapsed = max(1e-9, time.perf_counter() - self._start)
        measured = {
            "samples_per_s": self._steps * self._per_step / elapsed,
            "data_wait_share": self._waited / elapsed,
            "step_s": elapsed / max(1, self._steps),
        }
        self._reset()
        return measured
