"""What a run does about its own validation figures: how fast noise comes, and when a learning rate is reduced.

All other schedules follow from counters; these two remember. Their state is plain types and lies in the counters.
"""

from dataclasses import asdict
from typing import Any

from config import RunConfig
from curriculum.pure_gan import AdaptiveAlpha, adapt_alpha
from curriculum.schedules import Plateau


class Reactions:
    """Adaptive alpha and the plateau of each network, fed once at the end of every epoch.

    A validation at another alpha measures another task, so a plateau counts anew from there.

    Attributes:
        adaptive: alpha and speed of the adaptive curriculum in the present epoch.
        began: validation loss when noise began, which the default threshold refers to.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self.plateaus = {}
        for network in ("g", "d"):
            settings = config.plateau(network)
            del settings["metric"]
            self.plateaus[network] = Plateau(**settings)
        self.began: float | None = None
        self._measured_at: float | None = None
        self.adaptive = self._adapted(AdaptiveAlpha(), None, epoch=1)

    def rate_multiplier(self, network: str) -> float:
        """Factor on a network's learning rate."""
        return self.plateaus[network].multiplier

    def end_of_epoch(self, epoch: int, alpha: float, figures: dict[str, float] | None) -> None:
        """Takes in the figures of the validation after `epoch`, made at `alpha`; None where there was none."""
        c = self._config
        loss = None
        if figures is not None:
            loss = figures["val/current"]
            if alpha == 0 or self.began is None:
                self.began = loss
            if c.lr_schedule == "plateau":
                self._count(alpha, figures)
        if c.adaptive_alpha:
            self.adaptive = self._adapted(self.adaptive, loss, epoch + 1)

    @property
    def threshold(self) -> float | None:
        """The validation loss that slows the curriculum; None while there is nothing to compare with."""
        c = self._config
        if c.adaptive_alpha_threshold is not None or self.began is None:
            return c.adaptive_alpha_threshold
        return (1 + c.health_val_rise) * self.began

    def _adapted(self, state: AdaptiveAlpha, loss: float | None, epoch: int) -> AdaptiveAlpha:
        c, threshold = self._config, self.threshold
        return adapt_alpha(
            state,
            None if threshold is None else loss,
            epoch=epoch,
            rate=c.pure_gan_mode,
            start_epoch=c.gan_curriculum_start_epoch,
            ceiling=c.gan_noise_ceiling,
            threshold=threshold or 0.0,
            floor=c.adaptive_alpha_floor,
        )

    def _count(self, alpha: float, figures: dict[str, float]) -> None:
        for network, plateau in self.plateaus.items():
            if alpha != self._measured_at:
                plateau.best, plateau.stale = None, 0
            metric = figures.get(f"val/{self._config.plateau(network)['metric']}")
            if metric is not None:
                plateau.update(metric)
        self._measured_at = alpha

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "adaptive": asdict(self.adaptive),
            "began": self.began,
            "measured_at": self._measured_at,
            "plateaus": {network: plateau.state() for network, plateau in self.plateaus.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a kept state; an empty one (of a new run) changes nothing."""
        if not state:
            return
        self.adaptive = AdaptiveAlpha(**state["adaptive"])
        self.began, self._measured_at = state["began"], state["measured_at"]
        for network, plateau in self.plateaus.items():
            plateau.restore(state["plateaus"][network])
