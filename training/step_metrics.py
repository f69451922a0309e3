"""Metrics of a step: means over samples that count by their weight in the adversarial losses.

Legend: B samples of this rank.
"""

from torch import Tensor

from losses.adversarial import Objective
from training.classification import per_label

Metrics = dict[str, Tensor]
ALPHA_MEAN, ALPHA_STD = "curriculum/sample_alpha_mean", "curriculum/sample_alpha_std"
_ALPHA_SQUARE = "curriculum/sample_alpha_square"


def weighted_mean(value_B: Tensor, weight_B: Tensor) -> Tensor:
    """The mean over samples of weight x value; `averaged_metrics` divides by the mean weight over all ranks."""
    return (weight_B * value_B).mean()


def averaged_metrics(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics of a step, averaged over all ranks, in their logged form: adversarial ones are means weighted by
    `gan_fade`. So they do not depend on the number of ranks, and `loss/d` can be compared with its baseline."""
    metrics = per_label(metrics)
    weight = metrics.get("weight/gan_fade")
    if not weight:
        return metrics
    adversarial = {name for name in metrics if name.startswith("d/")} | {"loss/d", "loss/g_adv", "loss/features"}
    return {name: value / weight if name in adversarial else value for name, value in metrics.items()}


def alpha_metrics(alpha_B: Tensor, alpha: float) -> Metrics:
    """The samples' noise levels, and their squared distances from the schedule's, which give the spread over ranks."""
    return {ALPHA_MEAN: alpha_B.mean(), _ALPHA_SQUARE: (alpha_B - alpha).square().mean()}


def averaged_alphas(metrics: dict[str, float], alpha: float) -> dict[str, float]:
    """`alpha_metrics`, averaged over all ranks, as mean and standard deviation; beside them the schedule's alpha."""
    square = metrics.get(_ALPHA_SQUARE)
    if square is None:
        return metrics
    rest = {name: value for name, value in metrics.items() if name != _ALPHA_SQUARE}
    variance = square - (metrics[ALPHA_MEAN] - alpha) ** 2
    return rest | {"curriculum/alpha": alpha, ALPHA_STD: max(0.0, variance) ** 0.5}


def discriminator_metrics(real_B: Tensor, fake_B: Tensor, weight_B: Tensor, objective: Objective) -> Metrics:
    """Probabilities on the objective's own scale, shares classified as real, accuracy, and the gap between logits, each
    a `weighted_mean`."""
    real_sign, fake_sign = (weighted_mean((x_B > objective.boundary).float(), weight_B) for x_B in (real_B, fake_B))
    return {
        "d/real_prob": weighted_mean(objective.probability(real_B), weight_B),
        "d/fake_prob": weighted_mean(objective.probability(fake_B), weight_B),
        "d/real_sign": real_sign,
        "d/fake_sign": fake_sign,
        "d/accuracy": 0.5 * (real_sign + weight_B.mean() - fake_sign),
        "d/pair_accuracy": weighted_mean((real_B > fake_B).float(), weight_B),
        "d/gap": weighted_mean(real_B - fake_B, weight_B),
    }
