"""Health checks: read a run's logged metrics and report the state of the two networks, problems, and advice.

A `Doctor` reads the lines of `metrics.jsonl` one by one; reading the file of a resumed run restores its state. Every
line gives one verdict on the state of the networks, and any number of findings about the generated samples.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

from curriculum.options import RateOptions, WeightOptions
from losses.adversarial import Objective
from monitoring.advice import advise
from monitoring.health_rules import FINDINGS, STATE
from monitoring.options import HealthThresholds
from monitoring.sample_words import CLIPS, SampleWords
from monitoring.verdicts import Line, Past, Verdict

ABOVE_CHANCE = 0.6
SETTLED_LINES = 3


@dataclass
class Doctor:
    """Reads line after line; lines of the same step are merged.

    Args:
        adversarial: whether this run trains a discriminator.
        options: the run's, by name, for advice with values.
        words: what its kind of data calls its samples.

    Attributes:
        verdicts: after the last line; the state comes first.
    """

    thresholds: HealthThresholds
    objective: Objective
    adversarial: bool = True
    weights: WeightOptions = field(default_factory=WeightOptions)
    rates: RateOptions = field(default_factory=RateOptions)
    options: Mapping[str, Any] = field(default_factory=dict)
    words: SampleWords = CLIPS
    verdicts: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._steps: deque[Line] = deque(maxlen=self.thresholds.window)
        self._checks: deque[Line] = deque(maxlen=2)  # lines with validation metrics
        self._began: Line | None = None  # the last validation without noise, or the first one
        self._clean: float | None = None  # the last loss without noise of the phase without noise
        self._learned = False
        self._stood = 0  # for how many lines the state has not changed
        self._reported, self._found = "", set()

    def see(self, line: Line) -> list[Verdict]:
        """Reads a line and returns the current verdicts."""
        again = bool(self._steps) and self._steps[-1]["step"] == line["step"]
        if again:
            self._steps[-1] = line = self._steps[-1] | line
        elif "loss/g_total" in line or "loss/d" in line:
            self._steps.append(line)
        if "val/current" in line:
            self._take_check(line)
        past = self._past()
        state = next(verdict for rule in STATE if (verdict := rule(past)) is not None)
        self._learned |= state.name not in ("pre-training", "warming up") and past.trained.accuracy > ABOVE_CHANCE
        self._stood = self._stood + 1 if self.verdicts and self.verdicts[0].name == state.name else 1
        found = [state, *(finding for find in FINDINGS if (finding := find(past)) is not None)]
        self.verdicts = [replace(one, advice=advise(one.name, self.options, self.words)) for one in found]
        return self.verdicts

    def _take_check(self, line: Line) -> None:
        if self._checks and self._checks[-1]["step"] == line["step"]:
            self._checks.pop()
        self._checks.append(line)
        if self._began is None or line["alpha"] == 0:
            self._began = line
        if line["alpha"] == 0 and isfinite(clean := float(line.get("val/clean", "nan"))):
            self._clean = clean

    def news(self) -> list[Verdict]:
        """Verdicts that have not been reported yet: a state only after a few lines (a run between two states would
        flood the output), divergence and findings at once."""
        state, *findings = self.verdicts
        settled = self._stood >= SETTLED_LINES or not self._reported or state.name == "divergence"
        fresh = [state] if state.name != self._reported and settled else []
        self._reported = state.name if fresh else self._reported
        fresh += [finding for finding in findings if finding.name not in self._found]
        self._found = {finding.name for finding in findings}
        return fresh

    def has(self, name: str) -> bool:
        return any(verdict.name == name for verdict in self.verdicts)

    def _past(self) -> "Past":
        return Past(
            self.thresholds,
            self.objective,
            self.adversarial,
            self.weights,
            self.rates,
            list(self._steps),
            list(self._checks),
            self._began,
            self._learned,
            self._clean,
            self.words,
        )
