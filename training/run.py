"""A run in progress, as one rank sees it, and its clock."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from config import RunConfig
from data.cache import LatentPairs
from data.stream import SampleStream
from models.ema import WeightAverage
from monitoring.health import Doctor
from monitoring.log import RunLog
from monitoring.progress import ProgressLine
from runtime.distributed import Ranks
from runtime.run_folder import RunLock
from runtime.saver import Saver
from runtime.signals import StopRequest
from training.bad_clips import BadClips
from training.diversity import DiversityGauge
from training.plan import Scheduler
from training.state import Counters, LatentSpace
from training.steps import Game


@dataclass
class Run:
    """A run in progress, as one rank sees it.

    Attributes:
        save_first: there is no save yet of where the run stands.
        saved_at: (step, finished epochs) of the latest save as last.pt.
    """

    config: RunConfig
    ranks: Ranks
    folder: Path
    game: Game
    average: WeightAverage
    stream: SampleStream
    held_out: LatentPairs
    scheduler: Scheduler
    space: LatentSpace
    counters: Counters
    log: RunLog
    progress: ProgressLine
    stop: StopRequest
    lock: RunLock | None = None
    last_save: float = field(default_factory=time.monotonic)
    save_first: bool = False
    saved_at: tuple[int, int] | None = None
    saver: Saver = field(default_factory=Saver)
    collapsed: bool = False
    gauge: DiversityGauge = field(init=False)
    doctor: Doctor = field(init=False)
    bad_clips: BadClips = field(init=False)

    def __post_init__(self) -> None:
        self.gauge = DiversityGauge(self.game, self.stream.pairs, self.held_out, self.stream.frames)
        self.doctor = Doctor(self.config)
        self.bad_clips = BadClips(self.config.max_bad_clips)

    @property
    def place(self) -> tuple[int, int]:
        """What tells two states of a run apart."""
        return self.counters.step, self.counters.finished_epochs

    @property
    def epoch_ended(self) -> bool:
        return self.counters.samples_seen // len(self.stream) > self.counters.finished_epochs

    @property
    def complete(self) -> bool:
        c = self.counters
        patience = self.config.patience
        settled = self.config.pure_gan_mode == 0 or c.phase == "noise"
        return c.samples_seen >= self.scheduler.total_samples or (settled and 0 < patience <= c.since_best)


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
        """Samples a second and the share of time that data were waited for; starts anew."""
        elapsed = max(1e-9, time.perf_counter() - self._start)
        figures = {
            "samples_per_s": self._steps * self._per_step / elapsed,
            "data_wait_share": self._waited / elapsed,
            "step_s": elapsed / max(1, self._steps),
        }
        self._reset()
        return figures
