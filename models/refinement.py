"""Two-dimensional convolutions over bands and frames, which see what tokens of whole frames do not: that a partial in
one band looks like one in any other.

Legend: B batch, D latent channels (bands), T frames, P frames per fold, Q planes, C channels of the convolutions.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.conditions import ConditionEmbedding, Conditions

KERNEL = (3, 5)  # bands, folds
DILATIONS = (1, 2, 4)  # in time; with KERNEL 14 folds to each side, and one more of the last convolution
EMBEDDING = 32  # of the conditions


class LocalRefinement(nn.Module):
    """Three dilated convolutions, the last two of them residual, and one that adds up; it starts at zero.

    P neighbouring frames are channels of one image, so that a layer takes 1 / P of the time. Conditions scale and shift
    every layer (FiLM: Perez et al. 2018), from nothing at the start.

    planes            Q.
    channels          C from 1.
    fold              P from 1.
    conditions        widths of the conditions it takes, by name.
    """

    def __init__(self, planes: int, channels: int, fold: int, conditions: Mapping[str, int] | None = None):
        super().__init__()
        self.fold = fold
        inputs = [planes * fold] + [channels] * (len(DILATIONS) - 1)
        self.layers = nn.ModuleList(
            nn.Conv2d(size, channels, KERNEL, padding=(KERNEL[0] // 2, KERNEL[1] // 2 * step), dilation=(1, step))
            for size, step in zip(inputs, DILATIONS, strict=True)
        )
        self.output = nn.Conv2d(channels, fold, 3, padding=1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.embed = ConditionEmbedding(conditions, EMBEDDING) if conditions else None
        self.modulate = nn.Linear(EMBEDDING, 2 * channels * len(DILATIONS)) if conditions else None
        if self.modulate is not None:
            nn.init.zeros_(self.modulate.weight)
            nn.init.zeros_(self.modulate.bias)

    def forward(self, planes: Sequence[Tensor], conditions: Conditions | None = None) -> Tensor:
        """Q planes [B, D, T], T a multiple of P -> [B, D, T]."""
        x_BCDL = self._folded(torch.stack(list(planes), dim=1))
        modulations = self._modulations(conditions)
        for layer, modulation in zip(self.layers, modulations, strict=True):
            made_BCDL = layer(x_BCDL)
            if modulation is not None:
                made_BCDL = torch.addcmul(modulation[1], made_BCDL, 1 + modulation[0])
            made_BCDL = F.silu(made_BCDL)
            x_BCDL = made_BCDL if layer is self.layers[0] else x_BCDL + made_BCDL
        return self.output(x_BCDL).permute(0, 2, 3, 1).flatten(2)

    def _folded(self, x_BQDT: Tensor) -> Tensor:
        """[B, Q P, D, T / P], with channels last in memory, which CPUs convolve faster."""
        folds = torch.stack([x_BQDT[..., k :: self.fold] for k in range(self.fold)], dim=2)  # exports keep T open
        return folds.flatten(1, 2).contiguous(memory_format=torch.channels_last)

    def _modulations(self, conditions: Conditions | None) -> list[tuple[Tensor, Tensor] | None]:
        """Scale and shift [B, C, 1, 1] of every layer."""
        if self.embed is None:
            return [None] * len(self.layers)
        with torch.autocast(self.modulate.weight.device.type, enabled=False):  # noise levels need more than 8 bits
            parts = self.modulate(F.gelu(self.embed(conditions)))[:, :, None, None].chunk(2 * len(self.layers), dim=1)
        return list(zip(parts[::2], parts[1::2], strict=True))
