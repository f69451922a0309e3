"""Base class of the options of a kind of data. Nothing here imports torch."""

from registry import Options


class KindOptions(Options):
    """Options of a kind without losses of its own; see `kinds.base.Kind`."""

    @property
    def loss_weight(self) -> float:
        """Sum of the weights of the kind's own losses that alone would suffice to train a generator."""
        return 0.0

    @property
    def regresses_decoded(self) -> bool:
        """Whether the regression loss is measured on decoded data instead of the latents."""
        return False

    def decodes(self, regression_weights: tuple[float, float]) -> bool:
        """Whether some loss is measured on decoded data."""
        return False
