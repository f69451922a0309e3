"""Base class of the options of a kind of data. Nothing here imports torch."""

from registry import Options


class KindOptions(Options):
    """Options of a kind without losses of its own; see `kinds.base.Kind`."""

    @property
    def observed(self) -> str | None:
        """What the generator starts from if the kind computes it from a sample (`kinds.base.Kind.observe`): equal to
        the generator's fact `starts_from`. None: from samples with noise, or from noise alone."""
        return None

    @property
    def makes(self) -> str | None:
        """What the generator makes if it is neither what the files hold nor latents of it: equal to the generator's
        fact `makes`, and to a discriminator's fact `of` if that has one."""
        return None

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
