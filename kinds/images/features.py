"""Cheap statistics of pictures, by which sets of pictures are compared.

Legend: B samples, C channels, H rows, W columns, F statistics.
"""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

CELLS = 6  # rows and columns in which pixels are averaged
EDGE_CELLS = 3  # and absolute differences of neighbours


def picture_features(x_BCHW: Tensor) -> Tensor:
    """[B, F]: mean colours in 6 x 6 cells, mean absolute differences of neighbouring pixels across and down in 3 x 3
    cells, and mean and deviation of each channel. F = C (36 + 18 + 2)."""
    across, down = x_BCHW.diff(dim=3).abs(), x_BCHW.diff(dim=2).abs()
    cells = [adaptive_avg_pool2d(x_BCHW, CELLS), *(adaptive_avg_pool2d(edges, EDGE_CELLS) for edges in (across, down))]
    flat_BCN = x_BCHW.flatten(2)
    return torch.cat([*(c.flatten(1) for c in cells), flat_BCN.mean(2), flat_BCN.std(2, correction=0)], dim=1)
