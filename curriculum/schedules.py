"""Schedules: what a learning rate or a weight is multiplied by, as functions of how far the run has come.

Counters. `seen` is what lies behind the present step, 0 at the first one: samples seen by all ranks, so that a schedule
means the same on 1 and on 64 devices (or steps of one network, where an option counts them). A length is in the
same unit. `stride` is what one step adds: the global batch where samples are counted, 1 where steps are.
"""

from dataclasses import dataclass
from math import cos, isnan, pi

SHAPES = {"linear": lambda share: share, "cosine": lambda share: 0.5 - 0.5 * cos(pi * share)}
DECAYS = {"constant": lambda share: 1.0, "cosine": lambda share: 0.5 + 0.5 * cos(pi * share)}


def _share(seen: float, length: float) -> float:
    """Part of the way, 0 to 1; a length of 0 is over at once."""
    return min(1.0, max(0.0, seen / length)) if length > 0 else 1.0


def warmup(seen: int, length: int, shape: str = "linear", stride: int = 1) -> float:
    """Factor of a learning rate, in (0, 1]: linear is (seen + stride) / length, so the first step already learns.

    "cosine" joins the same two ends, stride / length at the first step and 1 from seen = length - stride on, along half
    a cosine. A length of 0 turns the warm-up off.
    """
    first = _share(stride, length)
    if first == 1.0:
        return 1.0
    share = (_share(seen + stride, length) - first) / (1 - first)
    return first + (1 - first) * SHAPES[shape](share)


def decay(seen: int, length: int, kind: str = "constant", minimum: float = 0.0) -> float:
    """Factor of a learning rate: 1 ("constant"), or half a cosine from 1 to `minimum` over `length`, then `minimum`
    (Loshchilov and Hutter 2017, eq. 5, one period)."""
    return minimum + (1 - minimum) * DECAYS[kind](_share(seen, length))


def rate_factor(
    seen: int,
    length: int,
    *,
    warmup_length: int = 0,
    warmup_shape: str = "linear",
    kind: str = "constant",
    minimum: float = 0.0,
    stride: int = 1,
) -> float:
    """Warm-up, then decay over what is left of `length`, the whole run; a warm-up longer than the run only warms."""
    if seen < warmup_length:
        return warmup(seen, warmup_length, warmup_shape, stride)
    return decay(seen - warmup_length, length - warmup_length, kind, minimum)


def is_pretraining(seen: int, length: int) -> bool:
    """Whether the generator still learns alone, the discriminator untouched: the first `length` of the run."""
    return seen < length


def adversarial_ramp(seen: int, length: int, shape: str = "linear", pretraining: int = 0) -> float:
    """Factor of the adversarial weight: 0 while pre-training, then from 0 to 1 over `length` (0: 1 at once).

    Counted once for each batch, whatever the number of discriminator updates in it.
    """
    if is_pretraining(seen, pretraining):
        return 0.0
    return SHAPES[shape](_share(seen - pretraining, length))


def instance_noise(epochs_done: float, std: float, rate: float) -> float:
    """Standard deviation of the noise on what the discriminator sees, real and fake alike: std * rate^epochs_done.

    Counted in epochs behind the present step: 0 in the first one; a fraction (samples seen / samples of an epoch)
    decays smoothly. rate: 0 to 1, what is left after an epoch (1: constant).
    """
    return std * rate**epochs_done


@dataclass
class Plateau:
    """Reduce a learning rate where its metric stands still; counts its own updates (one for each validation).

    factor: what the multiplier is multiplied by after more than `patience` updates without an improvement of more than
    `threshold` (relative); cooldown: updates after that in which nothing counts; minimum: of the multiplier.
    maximise: the metric should grow. The rest is state; `state()` gives it as plain types for a checkpoint.
    """

    factor: float = 0.5
    patience: int = 10
    cooldown: int = 0
    minimum: float = 0.0
    threshold: float = 1e-4
    maximise: bool = False
    multiplier: float = 1.0
    best: float | None = None
    stale: int = 0
    cooling: int = 0

    _STATE = ("multiplier", "best", "stale", "cooling")

    def update(self, metric: float) -> float:
        """Count one value of the metric (NaN is no improvement); returns the multiplier from now on."""
        if self._improved(metric):
            self.best, self.stale = metric, 0
        else:
            self.stale += 1
        if self.cooling > 0:
            self.cooling, self.stale = self.cooling - 1, 0
        if self.stale > self.patience:
            self.multiplier = max(self.minimum, self.multiplier * self.factor)
            self.cooling, self.stale = self.cooldown, 0
        return self.multiplier

    def _improved(self, metric: float) -> bool:
        if isnan(metric):
            return False
        if self.best is None:
            return True
        gain = metric - self.best if self.maximise else self.best - metric
        return gain > self.threshold * abs(self.best)

    def state(self) -> dict[str, float | int | None]:
        """What a checkpoint keeps."""
        return {name: getattr(self, name) for name in self._STATE}

    def restore(self, state: dict[str, float | int | None]) -> None:
        """Take up a kept state; the settings stay this object's. Raises KeyError where the state lacks a field."""
        for name in self._STATE:
            setattr(self, name, state[name])
