"""What the options of every kind of data have. Nothing here imports torch."""

from registry import Options


class KindOptions(Options):
    """A kind without losses of its own; see `kinds.base.Kind`."""

    @property
    def loss_weight(self) -> float:
        """Sum of the weights of losses that only this kind has and a generator could learn from."""
        return 0.0

    @property
    def regresses_decoded(self) -> bool:
        """Whether the regression is measured on decoded data instead of the tensors that the networks see."""
        return False

    def decodes(self, regression_weights: tuple[float, float]) -> bool:
        """Whether some loss is measured on decoded data."""
        return False
