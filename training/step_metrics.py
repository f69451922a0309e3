"""Metrics of a step: means over samples that count by their weight in the adversarial losses.

Legend: B samples of this rank.
"""

from torch import Tensor

from training.classification import per_label

Metrics = dict[str, Tensor]


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


def discriminator_metrics(real_B: Tensor, fake_B: Tensor, weight_B: Tensor, boundary: float = 0.0) -> Metrics:
    """Probabilities, shares classified as real, accuracy, and the gap between logits, each a `weighted_mean`. A logit
    of `boundary` means a probability of 0.5."""
    real_sign, fake_sign = (weighted_mean((x_B > boundary).float(), weight_B) for x_B in (real_B, fake_B))
    return {
        "d/real_prob": weighted_mean((real_B - boundary).sigmoid(), weight_B),
        "d/fake_prob": weighted_mean((fake_B - boundary).sigmoid(), weight_B),
        "d/real_sign": real_sign,
        "d/fake_sign": fake_sign,
        "d/accuracy": 0.5 * (real_sign + weight_B.mean() - fake_sign),
        "d/pair_accuracy": weighted_mean((real_B > fake_B).float(), weight_B),
        "d/gap": weighted_mean(real_B - fake_B, weight_B),
    }
