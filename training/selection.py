"""Which validation metric the best checkpoint of a phase, and early stopping, go by.

Music phase: the regression loss. Transition: that loss rises with alpha whatever the generator learns, so the mean of
the losses at both ends of the curriculum counts, which are measured at the same noise levels in every epoch. Noise
phase: nothing of the target is left in the sources, and regression only asks for the mean of all targets, so the
distance of generated samples from held-out ones counts, by their features and without the discriminator
(`DiversityGauge.distance`).
"""

from math import nan

CURRENT, ENDS, DISTANCE = "val/current", "val/clean_and_ceiling", "val/distance"
CRITERIA = {"music": CURRENT, "transition": ENDS, "noise": DISTANCE}


def with_criteria(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics of a validation, with those that are computed from others."""
    ends = [metrics[name] for name in ("val/clean", "val/ceiling") if name in metrics]
    return metrics | ({ENDS: sum(ends) / 2} if len(ends) == 2 else {})


def criterion(phase: str, metrics: dict[str, float], compared: int) -> tuple[str, float]:
    """(name, value) of the metric for a phase, lower is better. NaN where it could not be measured this time.

    compared: how many generated samples are compared with held-out ones; with none (too few held-out samples) the
    noise phase goes by the regression loss as well.
    """
    name = CRITERIA[phase]
    if name == DISTANCE and not compared:
        name = CURRENT
    return name, metrics.get(name, nan)
