"""Regression loss of an output against its clean input and its clean target.

Legend: B samples, D channels, T positions.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from losses.options import RegressionOptions


@dataclass(frozen=True)
class Regression:
    """Called with output, clean input and clean target `[B, D, T]`; returns the weighted loss [B] and its metrics.

    Args:
        measure: loss of an output against a target, [B].
        active: False if it is measured on decoded data instead.
    """

    options: RegressionOptions
    measure: Callable[[Tensor, Tensor], Tensor]
    active: bool = True

    def __call__(self, output_BDT: Tensor, input_BDT: Tensor, target_BDT: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        loss_B = output_BDT.new_zeros(len(output_BDT))
        if not self.active:
            return loss_B, {}
        input_B, target_B = self.measure(output_BDT, input_BDT), self.measure(output_BDT, target_BDT)
        loss_B = loss_B + self.options.loss_weight_input * input_B + self.options.loss_weight_target * target_B
        return loss_B, {"loss/input": input_B.mean(), "loss/target": target_B.mean()}

    def validation_loss(self, output_BDT: Tensor, input_BDT: Tensor, target_BDT: Tensor) -> Tensor:
        """The weighted loss [B] of validation."""
        input_weight, target_weight = self.options.shown_weights
        return input_weight * self.measure(output_BDT, input_BDT) + target_weight * self.measure(output_BDT, target_BDT)
