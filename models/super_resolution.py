"""Super-resolution: a residual network with sub-pixel upsampling.

Residual blocks without normalisation as in EDSR (Lim et al. 2017), upsampling by sub-pixel convolutions (Shi et al.
2016), and the whole is a correction to bicubic interpolation, which an untrained network returns exactly.

Legend: B batch, C channels, H rows, W columns of the small image; F feature maps; S the factor.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.options import SuperResolutionOptions


class ResidualBlock(nn.Module):
    """Two convolutions, the second one scaled down at the start, added to the input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(features, features, 3, padding=1) for _ in range(2))

    def forward(self, x_BFHW: Tensor) -> Tensor:
        return x_BFHW + 0.1 * self.second(F.relu(self.first(x_BFHW)))


class SuperResolutionGenerator(nn.Module):
    """[B, C, H, W] -> [B, C, S H, S W], any H and W.

    Args:
        channels: C.
        upscale: S, a power of two.
        features: F. blocks: residual blocks.
    """

    def __init__(self, channels: int, upscale: int = 2, features: int = 32, blocks: int = 6) -> None:
        super().__init__()
        if upscale < 2 or upscale & (upscale - 1):
            raise ValueError(f"upscale must be a power of two from 2 on, but is {upscale}")
        self.upscale = upscale
        self.head = nn.Conv2d(channels, features, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(features) for _ in range(blocks)))
        self.body = nn.Conv2d(features, features, 3, padding=1)
        steps = upscale.bit_length() - 1
        self.upsample = nn.Sequential(*(layer for _ in range(steps) for layer in _doubling(features)))
        self.tail = nn.Conv2d(features, channels, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)
        self.to(memory_format=torch.channels_last)  # half the time on CPUs

    @classmethod
    def from_options(cls, options: SuperResolutionOptions, channels: int) -> "SuperResolutionGenerator":
        """As the options describe it, for images of that many channels."""
        return cls(channels, options.upscale, options.block_width, options.blocks)

    def forward(self, small_BCHW: Tensor, same_BCHW: Tensor | None = None) -> Tensor:
        """Generators have two sources; here both are the small image."""
        x_BFHW = self.head(small_BCHW)
        x_BFHW = self.upsample(x_BFHW + self.body(self.blocks(x_BFHW)))
        return bicubic(small_BCHW, self.upscale) + self.tail(x_BFHW)


def bicubic(small_BCHW: Tensor, upscale: int) -> Tensor:
    """Bicubic interpolation (Keys 1981) by a factor, in float32."""
    return F.interpolate(small_BCHW.float(), scale_factor=upscale, mode="bicubic", align_corners=False)


def _doubling(features: int) -> list[nn.Module]:
    return [nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(inplace=True)]
