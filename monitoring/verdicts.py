"""Verdicts on a run, the advice that goes with each, and the metrics that they rest on.

Objectives differ in what their logits mean. Where one compares pairs (rpgan, wgan-gp), accuracy is the share of pairs
that the discriminator ranks rightly, else that of reals and fakes it calls rightly. Losses are read against that of a
random guess; wgan-gp has none (its loss is the gap itself), so there a growing gap counts, not a large one.
"""

from dataclasses import dataclass
from math import isfinite, nan
from statistics import fmean
from typing import Any

from curriculum.options import RateOptions, WeightOptions
from losses.adversarial import Objective
from monitoring.options import HealthThresholds

Line = dict[str, Any]

ADVICE = {
    "warming up": "wait: learning rates, the adversarial weight or the window have not filled yet",
    "pre-training": "wait: the generator learns alone; --g_pretrain_steps and --gan_weight decide how long",
    "balanced": "nothing to do: both networks learn",
    "equilibrium": "the discriminator can no longer tell; stop here, or give it more to see (--disc_width)",
    "discriminator too strong": "lower --disc_lr, raise --r1_weight and --r2_weight, or add --instance_noise_std 0.1",
    "generator too strong": "raise --disc_lr or --n_critic, or ease --disc_dropout, R1/R2 and instance noise",
    "discriminator not learning": "raise --disc_lr, ease --disc_dropout and R1/R2, check that --d_warmup_steps ended",
    "oscillation": "lower both learning rates, --beta1 0, or damp the discriminator with --r1_weight and --r2_weight",
    "divergence": "go back to an earlier checkpoint with lower learning rates; clip gradients (--grad_clip 1)",
    "mode collapse": "--gan_loss rpgan with --r1_weight and --r2_weight, a larger batch, a lower --lr",
    "regression to the mean": "let the regression fade (--recon_fade linear) or lower --loss_weight_input and _target",
    "memorisation": "more music, a smaller generator, or stop earlier: samples repeat training clips",
    "curriculum too fast": "lower --pure_gan_mode, or let validation set the pace: --adaptive_alpha",
}
BAD = frozenset(ADVICE) - {"warming up", "pre-training", "balanced", "equilibrium"}


@dataclass(frozen=True)
class Verdict:
    """A name out of `ADVICE`, and the metrics that it rests on."""

    name: str
    evidence: str

    @property
    def advice(self) -> str:
        return ADVICE[self.name]

    def __str__(self) -> str:
        return f"{self.name} ({self.evidence}): {self.advice}"


@dataclass(frozen=True)
class Past:
    """What the rules look at: the window of logged steps, the last two validations, the one when noise began.

    adversarial: whether there is a discriminator in this run. learned: it has been above chance before.
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

    def series(self, name: str) -> list[float]:
        """The finite values of a figure in the window; what JSON cannot hold stands there as a string."""
        return [value for line in self.steps if name in line and isfinite(value := float(line[name]))]

    def mean(self, name: str) -> float:
        return fmean(self.series(name) or [nan])

    @property
    def with_discriminator(self) -> list[Line]:
        """The steps on which the discriminator learned."""
        return [line for line in self.steps if "loss/d" in line]

    @property
    def accuracy(self) -> float:
        return self.mean("d/pair_accuracy" if self.objective.compares_pairs else "d/accuracy")

    @property
    def share_of_guess(self) -> float | None:
        """The discriminator's loss over that of a random guess."""
        return self.mean("loss/d") / self.objective.baseline if self.objective.baseline else None

    @property
    def probabilities(self) -> tuple[float, float]:
        """Mean probability of reals and of fakes; of a pair being ranked rightly or wrongly where pairs count."""
        if self.objective.compares_pairs:
            return self.accuracy, 1.0 - self.accuracy
        return self.mean("d/real_prob"), self.mean("d/fake_prob")

    def evidence(self) -> str:
        """The metrics of both networks, in words."""
        kind = "pairs ranked rightly" if self.objective.compares_pairs else "D accuracy"
        parts = [f"{kind} {self.accuracy:.2f}"]
        if self.share_of_guess is not None:
            parts.append(f"L_D {self.share_of_guess:.2f} of a random guess")
        if self.objective.compares_pairs:
            parts.append(f"gap {self.mean('d/gap'):.3g}")
        else:
            parts.append("D(x) {:.2f}, D(G) {:.2f}".format(*self.probabilities))
        return ", ".join(parts)
