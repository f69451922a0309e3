"""Conditions given to networks that take them; see `models.conditions`."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.conditions import Conditions
from registry import Chosen, Options


def noise_level(options: Options, alpha_B: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
    """The noise level alpha of the sample's sources, [B], 0 to 1."""
    return alpha_B


@dataclass(frozen=True)
class Conditioning:
    """Computes the selected conditions from a sample's noise level and labels; without a selection there are none."""

    chosen: Chosen | None = None

    def __call__(self, alpha: float | Tensor, labels: Mapping[str, Tensor], like_BDT: Tensor) -> Conditions:
        """The conditions of a batch like `like_BDT`; alpha is one number or [B]."""
        if self.chosen is None:
            return {}
        alpha_B = torch.as_tensor(alpha, dtype=torch.float32, device=like_BDT.device).expand(len(like_BDT))
        return {part.name: part.load()(options, alpha_B, labels) for part, options in self.chosen.members}
