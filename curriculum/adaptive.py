"""The adaptive curriculum: validation sets the pace at which noise is added."""

from dataclasses import asdict
from typing import Any

from curriculum.alpha import AdaptiveAlpha, adapt_alpha
from curriculum.options import CurriculumOptions

RISE = 0.5  # relative rise of the validation loss since noise began, above which the curriculum slows down


class AdaptiveCurriculum:
    """Alpha of the current epoch, updated at the end of every epoch.

    Attributes:
        state: alpha and speed.
        began: validation loss when noise began, the basis of the default threshold.
    """

    def __init__(self, options: CurriculumOptions) -> None:
        self._options = options
        self.began: float | None = None
        self.state = self._next(AdaptiveAlpha(), None, epoch=1)

    @property
    def threshold(self) -> float | None:
        """The validation loss above which the curriculum slows down; None while it is unknown."""
        given = self._options.adaptive_alpha_threshold
        return given if given is not None or self.began is None else (1 + RISE) * self.began

    def end_of_epoch(self, epoch: int, alpha: float, loss: float | None) -> None:
        """Records the validation loss after `epoch`, measured at `alpha`; None if there was no validation."""
        if loss is not None and (alpha == 0 or self.began is None):
            self.began = loss
        if self._options.adaptive_alpha:
            self.state = self._next(self.state, loss, epoch + 1)

    def _next(self, state: AdaptiveAlpha, loss: float | None, epoch: int) -> AdaptiveAlpha:
        o, threshold = self._options, self.threshold
        return adapt_alpha(
            state,
            None if threshold is None else loss,
            epoch=epoch,
            rate=o.pure_gan_mode,
            start_epoch=o.gan_curriculum_start_epoch,
            ceiling=o.gan_noise_ceiling,
            threshold=threshold or 0.0,
            floor=o.adaptive_alpha_floor,
        )

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.state) | {"began": self.began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.began = AdaptiveAlpha(state["alpha"], state["speed"]), state["began"]
