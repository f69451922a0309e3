"""Verdicts of the health checks, the advice for each, and the metrics that they are based on.

The meaning of logits depends on the objective. If it compares pairs (rpgan, wgan-gp), accuracy is the share of pairs
that the discriminator ranks correctly, else the share of samples that it classifies correctly. Losses are compared with
that of a random guess; wgan-gp has none (its loss is the gap itself), so there a growing gap counts, not a large one.
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
    "warming up": "wait: a warm-up (learning rates, adversarial weight) or the window of steps is not complete",
    "pre-training": "wait: the generator trains alone; --g_pretrain_steps sets how long (--gan_weight 0: always)",
    "balanced": "nothing to do: both networks learn",
    "equilibrium": "the discriminator cannot separate real from generated; stop, or enlarge it (--disc_width)",
    "discriminator too strong": "lower --disc_lr, raise --r1_weight and --r2_weight, or add --instance_noise_std 0.1",
    "generator too strong": "raise --disc_lr or --n_critic, or lower --disc_dropout, R1/R2 and instance noise",
    "discriminator not learning": "raise --disc_lr, lower --disc_dropout and R1/R2; --d_warmup_steps must be over",
    "oscillation": "lower both learning rates, set --beta1 0, or raise --r1_weight and --r2_weight",
    "divergence": "resume an earlier checkpoint with lower learning rates; clip gradients (--grad_clip 1)",
    "mode collapse": "use --gan_loss rpgan with --r1_weight and --r2_weight, a larger batch, a lower --lr",
    "regression to the mean": "fade the regression loss (--recon_fade linear) or lower --loss_weight_input, _target",
    "memorisation": "use more music, a smaller generator, or stop earlier: samples repeat training clips",
    "curriculum too fast": "lower --pure_gan_mode, or let validation set the pace: --adaptive_alpha",
}
BAD = frozenset(ADVICE) - {"warming up", "pre-training", "balanced", "equilibrium"}


@dataclass(frozen=True)
class Verdict:
    """A key of `ADVICE`, and the metrics that the verdict is based on."""

    name: str
    evidence: str

    @property
    def advice(self) -> str:
        return ADVICE[self.name]

    def __str__(self) -> str:
        return f"{self.name} ({self.evidence}): {self.advice}"


@dataclass(frozen=True)
class Past:
    """Input of the rules: the window of logged steps, the last two validations, the validation when noise began.

    adversarial: whether this run trains a discriminator. learned: its accuracy has been above chance before.
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
        """The finite values of a metric in the window; values that are not finite are logged as strings."""
        return [value for line in self.steps if name in line and isfinite(value := float(line[name]))]

    def mean(self, name: str) -> float:
        return fmean(self.series(name) or [nan])

    @property
    def with_discriminator(self) -> list[Line]:
        """The steps with a discriminator update."""
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
        """Mean probability of being real, of reals and of fakes; for pairs, the shares ranked correctly and wrongly."""
        if self.objective.compares_pairs:
            return self.accuracy, 1.0 - self.accuracy
        return self.mean("d/real_prob"), self.mean("d/fake_prob")

    def evidence(self) -> str:
        """The metrics of both networks, in words."""
        kind = "pairs ranked correctly" if self.objective.compares_pairs else "D accuracy"
        parts = [f"{kind} {self.accuracy:.2f}"]
        if self.share_of_guess is not None:
            parts.append(f"L_D {self.share_of_guess:.2f} of a random guess")
        if self.objective.compares_pairs:
            parts.append(f"gap {self.mean('d/gap'):.3g}")
        else:
            parts.append("D(x) {:.2f}, D(G) {:.2f}".format(*self.probabilities))
        return ", ".join(parts)
