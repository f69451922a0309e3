"""Options of what a run shows, and the thresholds of its health checks. Nothing here imports torch."""

from typing import Literal

from registry import Options, opt


class LoggingOptions(Options):
    """logging"""

    log_every: int = opt(10, "write a line of metrics every so many steps", ge=1)
    sample_every: int = opt(5, "write samples to TensorBoard every so many epochs; 0 = never", ge=0)
    profile: bool = opt(
        False, "write a torch profiler trace of steps 6 to 10; print the slowest operations", per_call=True
    )


class HealthThresholds(Options):
    """Where a verdict on a run begins; see `monitoring.health_rules`."""

    window: int = opt(20, "logged steps that a verdict is based on", ge=4)
    d_accuracy: float = opt(0.95, "the discriminator is too strong from this accuracy on", gt=0.5, le=1)
    d_loss: float = opt(0.25, "... if its loss is also under this share of the random guess's", gt=0, le=1)
    g_accuracy: float = opt(0.35, "the generator is too strong under this accuracy", ge=0, lt=0.5)
    tolerance: float = opt(0.05, "equilibrium: probabilities this close to a half, losses as flat", gt=0, lt=0.5)
    swing: float = opt(0.4, "oscillation: spread of the discriminator's loss over its mean", gt=0)
    growth: float = opt(10.0, "divergence: growth of gradients and losses within the window", gt=1)
    spread: float = opt(3.0, "divergence: deviation of fakes over that of reals", gt=1)
    diversity: float = opt(0.15, "mode collapse: diversity of generated samples over that of real ones", gt=0)
    variance: float = opt(0.6, "regression to the mean: deviation of fakes over that of reals", gt=0, le=1)
    alpha: float = opt(0.8, "regression to the mean is looked for from this alpha on", ge=0, le=1)
    nearest: float = opt(0.5, "memorisation: distance to the nearest training sample over held-out samples'", gt=0)
    val_rise: float = opt(0.5, "curriculum too fast: rise of the validation loss since noise began", gt=0)
    on_collapse: Literal["warn", "stop"] = opt("warn", "what a mode collapse does to the run")


class HealthOptions(Options):
    """health"""

    health: HealthThresholds = opt(
        HealthThresholds(), "thresholds of the verdicts: a YAML block, or name=value,name=value"
    )
