"""The curriculum of a run: alpha by the epoch alone, or by validation as well."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, ClassVar

from curriculum.alpha import AdaptiveAlpha, adapt_alpha, adapt_speed, alpha_at
from curriculum.options import AdaptiveOptions, CurriculumOptions
from registry import Options

RISE = 0.5  # relative rise of the validation loss since noise began, above which alpha is reduced


class Curriculum:
    """Alpha follows from the epoch; the base class of the adaptive ones.

    Attributes:
        state: alpha and speed of an adaptive curriculum.
        began: validation loss when noise began, the basis of the default threshold.
        known_ahead: whether `alpha` knows later epochs.
    """

    known_ahead: ClassVar[bool] = True

    def __init__(self, options: Options, curriculum: CurriculumOptions) -> None:
        self._options, self._curriculum = options, curriculum
        self.began: float | None = None
        self.state = AdaptiveAlpha()

    def alpha(self, epoch: int) -> float:
        """Alpha of an epoch, from 1; an adaptive curriculum only knows, and returns, the current one."""
        c = self._curriculum
        return alpha_at(epoch, c.pure_gan_mode, c.gan_curriculum_start_epoch, c.gan_noise_ceiling)

    def end_of_epoch(self, epoch: int, alpha: float, loss: float | None) -> None:
        """Records the validation loss after `epoch`, measured at `alpha`; None if there was no validation."""
        if loss is not None and (alpha == 0 or self.began is None):
            self.began = loss

    def metrics(self) -> dict[str, float]:
        """For the log."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        return asdict(self.state) | {"began": self.began}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state, self.began = AdaptiveAlpha(state["alpha"], state["speed"]), state["began"]


class AdaptiveLevel(Curriculum):
    """Validation multiplies alpha itself, see `adapt_alpha`."""

    known_ahead = False
    adapt: ClassVar[Callable[..., AdaptiveAlpha]] = staticmethod(adapt_alpha)

    def __init__(self, options: AdaptiveOptions, curriculum: CurriculumOptions) -> None:
        super().__init__(options, curriculum)
        self.state = self._next(None, epoch=1)

    @property
    def threshold(self) -> float | None:
        """The validation loss above which alpha is reduced; None while it is unknown."""
        given = self._options.adaptive_alpha_threshold
        return given if given is not None or self.began is None else (1 + RISE) * self.began

    def alpha(self, epoch: int) -> float:
        return self.state.alpha

    def end_of_epoch(self, epoch: int, alpha: float, loss: float | None) -> None:
        super().end_of_epoch(epoch, alpha, loss)
        self.state = self._next(loss, epoch + 1)

    def _next(self, loss: float | None, epoch: int) -> AdaptiveAlpha:
        c, threshold = self._curriculum, self.threshold
        return self.adapt(
            self.state,
            None if threshold is None else loss,
            epoch=epoch,
            rate=c.pure_gan_mode,
            start_epoch=c.gan_curriculum_start_epoch,
            ceiling=c.gan_noise_ceiling,
            threshold=threshold or 0.0,
            floor=self._options.adaptive_alpha_floor,
        )


class AdaptiveSpeed(AdaptiveLevel):
    """Validation multiplies the growth of alpha, which never falls, see `adapt_speed`."""

    adapt = staticmethod(adapt_speed)

    def metrics(self) -> dict[str, float]:
        return {"curriculum/speed": self.state.speed}
