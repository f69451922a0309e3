"""Options of logging, and thresholds of the health checks. Nothing here imports torch."""

from typing import Literal

from registry import Options, opt


class LoggingOptions(Options):
    """logging"""

    log_every: int = opt(10, "log metrics every this many steps", ge=1)
    sample_every: int = opt(5, "write samples (files, TensorBoard) every this many epochs; 0 = never", ge=0)
    sample_num: int = opt(8, "generated samples in the grid of --sample_every", ge=1, le=1024)


class HealthThresholds(Options):
    """Thresholds of the health checks; see `monitoring.health_rules`."""

    window: int = opt(20, "number of logged steps that a verdict is based on", ge=4)
    d_accuracy: float = opt(0.95, "discriminator too strong: accuracy of at least this", gt=0.5, le=1)
    d_loss: float = opt(0.43, "... and its loss below this share of a random guess's loss (bce: 0.3)", gt=0, le=1)
    d_loss_pairs: float = opt(0.25, "... the same for objectives that compare pairs, which settle lower", gt=0, le=1)
    g_accuracy: float = opt(0.35, "generator too strong: discriminator accuracy below this", ge=0, lt=0.5)
    g_loss: float = opt(1.3, "... or wrong more often than not, with a loss over this share of a random guess's", gt=1)
    weak: float = opt(0.6, "discriminator weak: accuracy below this during the transition", ge=0, le=1)
    tolerance: float = opt(0.05, "equilibrium: probabilities this close to 0.5, losses this constant", gt=0, lt=0.5)
    chance_loss: float = opt(0.1, "... and the discriminator's loss this close to that of a random guess", gt=0, lt=1)
    swing: float = opt(0.4, "oscillation: deviation of the discriminator's loss over its mean", gt=0)
    growth: float = opt(10.0, "divergence: factor by which gradients and losses grow within the window", gt=1)
    spread: float = opt(3.0, "divergence: standard deviation of fakes over that of reals", gt=1)
    diversity: float = opt(0.15, "mode collapse: diversity of generated samples below this share of real ones'", gt=0)
    classes: float = opt(
        0.5, "mode collapse: effective number of classes of generated samples below this share of real ones'", gt=0
    )
    variance: float = opt(0.6, "regression to the mean: deviation of fakes below this share of reals'", gt=0, le=1)
    alpha: float = opt(0.8, "regression to the mean: checked from this alpha on", ge=0, le=1)
    nearest: float = opt(0.5, "memorisation: distance to the nearest training sample over held-out samples'", gt=0)
    val_rise: float = opt(0.5, "curriculum too fast: relative rise of the validation loss since noise began", gt=0)
    clean_rise: float = opt(0.2, "music forgotten: rise of the loss on clean samples since noise began", gt=0)
    on_collapse: Literal["warn", "stop"] = opt("warn", "on mode collapse: only warn, or stop the run")


class HealthOptions(Options):
    """health"""

    health: HealthThresholds = opt(
        HealthThresholds(), "thresholds of the health checks: a YAML block, or name=value,name=value"
    )
