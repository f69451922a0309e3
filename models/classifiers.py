"""Auxiliary classifiers: labels of a sample from the sample.

Legend: B batch, C channels, K categories of a column of labels.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from models.options import ClassifierOptions

SMALLEST = 4  # positions that are left of the longest axis, at most


class ConvClassifier(nn.Module):
    """Strided convolutions over the axes behind the channels, mean and maximum over what is left (a corner is a corner
    wherever it is), a linear layer per column.

    forward(x [B, C, ...]) -> {column: logits}: [B] for two categories (of the second one), [B, K] for more. Any size
    from 1 works, though the number of layers is made for samples of `shape`. No layer mixes samples of a batch.

    Args:
        columns: number of categories of each column, 2 or more.
        shape: of a sample, channels first, with one or two further axes.
        width: channels of the first layer; each further layer has twice as many, at most four times.
    """

    def __init__(self, columns: Mapping[str, int], shape: Sequence[int], width: int = 32) -> None:
        super().__init__()
        channels, *sides = shape
        convolution = {1: nn.Conv1d, 2: nn.Conv2d}[len(sides)]
        count = max(2, math.ceil(math.log2(max(sides) / SMALLEST)))
        sizes = [width, *(width * min(4, 2**k) for k in range(count))]
        layers: list[nn.Module] = [convolution(channels, width, 3, 1, 1), nn.LeakyReLU(0.2, inplace=True)]
        for inner, outer in zip(sizes, sizes[1:], strict=False):
            layers += [convolution(inner, outer, 4, 2, 2), nn.GroupNorm(1, outer), nn.LeakyReLU(0.2, inplace=True)]
        self.body = nn.Sequential(*layers)
        # Modules may not have all the names that labels have, hence a list
        self.columns = dict(columns)
        self.heads = nn.ModuleList(nn.Linear(2 * sizes[-1], 1 if k == 2 else k) for k in self.columns.values())

    @classmethod
    def from_options(
        cls, options: ClassifierOptions, columns: Mapping[str, int], shape: Sequence[int]
    ) -> "ConvClassifier":
        """As the options describe it."""
        return cls(columns, shape, options.classifier_width)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x_BCN = self.body(x).flatten(2)
        features_BC = torch.cat([x_BCN.mean(2), x_BCN.amax(2)], dim=1)
        logits = (head(features_BC) for head in self.heads)
        return {
            name: one.squeeze(1) if one.shape[1] == 1 else one for name, one in zip(self.columns, logits, strict=True)
        }
