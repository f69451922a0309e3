"""Schedules: factors on learning rates and weights, as functions of the progress of the run.

Counters. `seen` is the number of samples that all ranks have seen before the current step, so that a schedule means the
same on 1 and on 64 devices (or the number of steps of one network, where an option counts steps). A length is in the
same unit. `stride` is the increment of one step: the global batch if samples are counted, 1 if steps are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, isnan, pi
from typing import Any

from curriculum.options import PLATEAU_METRICS, PlateauOptions
from registry import Options

Shape = Callable[[float], float]


def linear(share: float) -> float:
    """From 0 to 1, linear."""
    return share


def cosine(share: float) -> float:
    """From 0 to 1 along half a cosine."""
    return 0.5 - 0.5 * cos(pi * share)


def share_of(seen: float, length: float) -> float:
    """Progress, 0 to 1; a length of 0 is complete at once."""
    return min(1.0, max(0.0, seen / length)) if length > 0 else 1.0


def warmup(seen: int, length: int, shape: Shape = linear, stride: int = 1) -> float:
    """Factor of a learning rate, in (0, 1]: linear is (seen + stride) / length, which is not 0 at the first step.

    Other shapes have the same ends: stride / length at the first step and 1 from seen = length - stride on. A length
    of 0 disables the warm-up.
    """
    first = share_of(stride, length)
    if first == 1.0:
        return 1.0
    share = (share_of(seen + stride, length) - first) / (1 - first)
    return first + (1 - first) * shape(share)


def is_pretraining(seen: int, length: int) -> bool:
    """Whether the generator still trains alone, without the discriminator: the first `length` of the run."""
    return seen < length


def adversarial_ramp(seen: int, length: int, shape: Shape = linear, pretraining: int = 0) -> float:
    """Factor of the adversarial weight: 0 while pre-training, then from 0 to 1 over `length` (0: 1 at once).

    It advances once per batch, whatever the number of discriminator updates.
    """
    if is_pretraining(seen, pretraining):
        return 0.0
    return shape(share_of(seen - pretraining, length))


def instance_noise(epochs_done: float, std: float, rate: float) -> float:
    """Standard deviation of the noise on the discriminator's inputs, real and fake: std * rate^epochs_done.

    epochs_done: samples seen / samples per epoch, a fraction, so that the decay is smooth. rate: factor per epoch, 0
    to 1 (1: constant).
    """
    return std * rate**epochs_done


# --- learning rates after their warm-up ----------------------------------------------------------------------------


class ConstantRate:
    """A constant learning rate; the base class of the other schedules.

    Args:
        network: "g" or "d".

    Attributes:
        multiplier: factor on the learning rate (warm-up included) that depends on validations.
    """

    multiplier: float = 1.0

    def __init__(self, options: Options, network: str) -> None:
        self.options, self.network = options, network

    def decay(self, share: float) -> float:
        """Factor at `share` (0 to 1) of the time from the end of the warm-up to the end of the run."""
        return 1.0

    def observe(self, alpha: float, metrics: dict[str, float]) -> None:
        """Receives the metrics of a validation at `alpha`."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class CosineRate(ConstantRate):
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, eq. 5, one period)."""

    def decay(self, share: float) -> float:
        return 0.5 + 0.5 * cos(pi * share)


class PlateauRate(ConstantRate):
    """Reduced when a validation metric stops improving.

    At another alpha, `current`, `d_loss` and `g_loss` measure another task, so a change of alpha restarts their count;
    `clean` and `ceiling` are measured at the same alpha always.
    """

    LEAST = 0.01  # smallest multiplier

    def __init__(self, options: PlateauOptions, network: str) -> None:
        super().__init__(options, network)
        self.plateau = Plateau(options.plateau_factor, options.plateau_patience, minimum=self.LEAST)
        self._measured_at: float | None = None

    @property
    def multiplier(self) -> float:
        return self.plateau.multiplier

    def observe(self, alpha: float, metrics: dict[str, float]) -> None:
        name = self.options.metric(self.network)
        if alpha != self._measured_at and PLATEAU_METRICS[name]:
            self.plateau.best, self.plateau.stale = None, 0
        metric = metrics.get(f"val/{name}")
        if metric is not None:
            self.plateau.update(metric)
        self._measured_at = alpha

    def state_dict(self) -> dict[str, Any]:
        return self.plateau.state_dict() | {"measured_at": self._measured_at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.plateau.load_state_dict(state)
        self._measured_at = state["measured_at"]


@dataclass
class Plateau:
    """Reduces a multiplier when a metric stops improving; counts its updates (one per validation).

    factor: what the multiplier is multiplied by after more than `patience` updates without an improvement of more than
    `threshold` (relative); minimum: of the multiplier. The rest is state.
    """

    factor: float = 0.5
    patience: int = 10
    minimum: float = 0.0
    threshold: float = 1e-4
    multiplier: float = 1.0
    best: float | None = None
    stale: int = 0

    _STATE = ("multiplier", "best", "stale")

    def update(self, metric: float) -> float:
        """Adds a value of the metric, lower is better (NaN is no improvement); returns the new multiplier."""
        if self._improved(metric):
            self.best, self.stale = metric, 0
        else:
            self.stale += 1
        if self.stale > self.patience:
            self.multiplier, self.stale = max(self.minimum, self.multiplier * self.factor), 0
        return self.multiplier

    def _improved(self, metric: float) -> bool:
        if isnan(metric):
            return False
        return self.best is None or self.best - metric > self.threshold * abs(self.best)

    def state_dict(self) -> dict[str, float | int | None]:
        return {name: getattr(self, name) for name in self._STATE}

    def load_state_dict(self, state: dict[str, float | int | None]) -> None:
        """Restores the state; settings stay as they are. Raises KeyError if a field is missing."""
        for name in self._STATE:
            setattr(self, name, state[name])
