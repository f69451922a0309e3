"""Verdicts of the health checks, and the metrics that they are based on.

The meaning of logits depends on the objective. If it compares pairs (rpgan, wgan-gp), accuracy is the share of pairs
that the discriminator ranks correctly, else the share of samples that it classifies correctly. Losses are compared with
that of a random guess; wgan-gp has none (its loss is the gap itself), so there a growing gap counts, not a large one.

The discriminator's figures come from two places. Those of training steps are over one pass of the generator at the
noise levels of training. Those of the last validation are over held-out samples and what is generated: at the ceiling
of alpha, with all sampling steps. Until alpha is at its ceiling, generation from there is not what is trained; then
those at the current alpha stand in.
"""

from dataclasses import dataclass, field
from math import isfinite, nan
from statistics import fmean
from typing import Any

from curriculum.options import RateOptions, WeightOptions
from losses.adversarial import Objective
from monitoring.loss_table import trend
from monitoring.options import HealthThresholds
from monitoring.sample_words import CLIPS, SampleWords

Line = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A key of `monitoring.advice.ADVICE`, the metrics that the verdict is based on, and what to do."""

    name: str
    evidence: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.evidence}): {self.advice}"


@dataclass(frozen=True)
class Figures:
    """The discriminator's figures from one place.

    Attributes:
        accuracy: see the head of this file.
        share_of_guess: its loss over that of a random guess; None for an objective without one.
        probabilities: mean probability of being real, of reals and of fakes; for pairs, the shares that are ranked
            correctly and wrongly; None where they are not known.
        gap: mean difference of the logits of reals and fakes; None where it is not known.
    """

    accuracy: float
    share_of_guess: float | None
    probabilities: tuple[float, float] | None
    gap: float | None
    pairs: bool

    def __str__(self) -> str:
        kind = "pairs ranked correctly" if self.pairs else "D accuracy"
        parts = [f"{kind} {self.accuracy:.2f}"]
        if self.share_of_guess is not None:
            parts.append(f"L_D {self.share_of_guess:.2f} of a random guess")
        if self.pairs and self.gap is not None:
            parts.append(f"gap {self.gap:.3g}")
        if not self.pairs and self.probabilities is not None:
            parts.append("D(x) {:.2f}, D(G) {:.2f}".format(*self.probabilities))
        return ", ".join(parts)


@dataclass(frozen=True)
class Past:
    """Input of the rules: the window of logged steps, the last two validations, the validation when noise began.

    adversarial: whether this run trains a discriminator. learned: its accuracy has been above chance before. clean: the
    last validation loss on samples without noise in the phase without noise.
    """

    thresholds: HealthThresholds
    objective: Objective
    adversarial: bool
    weights: WeightOptions
    rates: RateOptions
    steps: list[Line]
    checks: list[Line]
    began: Line | None
    learned: bool
    clean: float | None = None
    words: SampleWords = field(default=CLIPS)

    def series(self, name: str) -> list[float]:
        """The finite values of a metric in the window; values that are not finite are logged as strings."""
        return [value for line in self.steps if name in line and isfinite(value := float(line[name]))]

    def mean(self, name: str) -> float:
        return fmean(self.series(name) or [nan])

    @property
    def with_discriminator(self) -> list[Line]:
        """The steps with a discriminator update."""
        return [line for line in self.steps if "loss/d" in line]

    @property
    def phase(self) -> str:
        """Of the last line: "music", "transition" or "noise"."""
        lines = self.steps or self.checks
        return lines[-1].get("phase", "") if lines else ""

    @property
    def trained(self) -> Figures:
        """Of the training steps in the window."""
        pairs = self.objective.compares_pairs
        accuracy = self.mean("d/pair_accuracy" if pairs else "d/accuracy")
        share = self.mean("loss/d") / self.objective.baseline if self.objective.baseline else None
        real, fake = (accuracy, 1.0 - accuracy) if pairs else (self.mean("d/real_prob"), self.mean("d/fake_prob"))
        return Figures(accuracy, share, (real, fake), self.mean("d/gap"), pairs)

    @property
    def generated(self) -> Figures | None:
        """Of what is generated, in the last validation; None before there is one with the discriminator."""
        line = self.checks[-1] if self.checks else {}
        at_ceiling = line.get("phase") == "noise" or "val/ceiling" not in line
        found = {name: _number(line, f"{'generated' if at_ceiling else 'val'}/d_{name}") for name in _NAMES}
        if found["accuracy"] is None:
            return None
        pairs, baseline = self.objective.compares_pairs, self.objective.baseline
        share = found["loss"] / baseline if baseline and found["loss"] is not None else None
        known = found["real_prob"] is not None and found["fake_prob"] is not None
        probabilities = (found["real_prob"], found["fake_prob"]) if known else None
        probabilities = (found["accuracy"], 1.0 - found["accuracy"]) if pairs else probabilities
        return Figures(found["accuracy"], share, probabilities, found["gap"], pairs)

    @property
    def places(self) -> list[Figures]:
        """Both places, that of what is generated first."""
        return [figures for figures in (self.generated, self.trained) if figures is not None]

    def evidence(self) -> str:
        """The metrics of both networks, in words."""
        made, way = self.generated, trend(self.series("loss/g_adv"))
        text = str(self.trained) if made is None else f"generated: {made}; training steps: {self.trained}"
        return text if way is None else f"{text}, L_G {way}"


_NAMES = ("accuracy", "loss", "real_prob", "fake_prob", "gap")


def _number(line: Line, name: str) -> float | None:
    """A finite value of a line; None if it is missing or not finite."""
    return value if name in line and isfinite(value := float(line[name])) else None
