"""The DCGAN pair (Radford et al. 2016): images from a noise vector, and a discriminator of images.

A sample [D, T] counts as an image of one channel, so that spectrograms can be trained on as well as pictures.

The paper's batch normalisation is group normalisation here (Wu and He 2018): no layer mixes the samples of a batch, so
results do not depend on the number of devices, and gradient penalties are defined.

Legend: B batch, Z numbers of the noise vector, C channels, H rows, W columns.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.discriminators import ConvStack, Discriminator, _maybe_spectral
from models.options import DcganOptions, DiscriminatorOptions

SMALLEST = 4  # rows and columns of the first (last) feature map, at most
WIDEST = 8  # no layer has more channels than this many times the width
GROUPS = 8  # of the normalisation


def image_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """(C, H, W) of a sample [C, H, W], or of a sample [D, T] as an image of one channel."""
    channels, rows, columns = shape if len(shape) == 3 else (1, *shape)
    return channels, rows, columns


def doublings(rows: int, columns: int) -> int:
    """How often a map of at most 4 x 4 is doubled until it covers an image; at least once."""
    return max(1, math.ceil(math.log2(max(rows, columns) / SMALLEST)))


class DcganGenerator(nn.Module):
    """Transposed convolutions from a noise vector to a sample of a fixed shape; tanh, times `limit`.

    Args:
        shape: of a sample, [C, H, W] or [D, T]; other sizes than powers of two are cut from the next larger map.
        noise_size: Z.
        width: channels of the last hidden layer; earlier ones have twice as many each, at most 8 times the width.
        limit: the output lies in [-limit, limit].
    """

    def __init__(self, shape: Sequence[int], noise_size: int = 100, width: int = 64, limit: float = 1.0) -> None:
        super().__init__()
        self.shape, self.limit = tuple(shape), limit
        channels, rows, columns = image_shape(shape)
        count = doublings(rows, columns)
        widths = [width * min(WIDEST, 2 ** (count - 1 - k)) for k in range(count)]
        first = math.ceil(rows / 2**count), math.ceil(columns / 2**count)
        layers: list[nn.Module] = [nn.ConvTranspose2d(noise_size, widths[0], first, bias=False)]
        for inner, outer in zip(widths, [*widths[1:], channels], strict=True):
            layers += [nn.GroupNorm(math.gcd(GROUPS, inner), inner), nn.ReLU(inplace=True)]
            layers += [nn.ConvTranspose2d(inner, outer, 4, 2, 1)]
        self.layers = nn.Sequential(*layers)
        _initialise(self)

    @classmethod
    def from_options(cls, options: DcganOptions, channels: int, shape: Sequence[int]) -> "DcganGenerator":
        """As the options describe it, for samples of that shape."""
        return cls(shape, options.noise_size, options.gen_width, options.output_limit)

    def forward(self, noise_BZ: Tensor, same_BZ: Tensor | None = None) -> Tensor:
        """Noise of variance 1 -> samples [B, *shape]. Generators have two sources; here both are the noise."""
        x_BCHW = self.layers(noise_BZ[:, :, None, None])
        _, rows, columns = image_shape(self.shape)
        made_BCHW = self.limit * x_BCHW[:, :, :rows, :columns].tanh()
        return made_BCHW.reshape(-1, *self.shape)


class DcganDiscriminator(Discriminator):
    """Strided convolutions 4 x 4 to a map of at most 4 x 4, then one kernel over all of it: one logit per sample.

    See `models.discriminators` for the interface.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 64,
        dropout: float = 0.0,
        spectral_norm: bool = False,
        final_bias: bool = True,
    ) -> None:
        super().__init__()
        self.shape = tuple(shape)
        channels, rows, columns = image_shape(shape)
        count = doublings(rows, columns)
        sizes = [channels, *(width * min(WIDEST, 2**k) for k in range(count))]
        layers: list[nn.Module] = []
        for k, (inner, outer) in enumerate(zip(sizes, sizes[1:], strict=False)):
            kernel, stride = zip(*((4, 2) if side > 1 else (3, 1) for side in (rows, columns)), strict=True)
            conv = _maybe_spectral(nn.Conv2d(inner, outer, kernel, stride, 1), spectral_norm)
            layers.append(conv if k == 0 else nn.Sequential(conv, nn.GroupNorm(1, outer)))
            rows, columns = max(1, rows // 2), max(1, columns // 2)
        self.stack = ConvStack(layers, dropout)
        self.final = _maybe_spectral(nn.Conv2d(sizes[-1], 1, (rows, columns), bias=final_bias), spectral_norm)
        _initialise(self)

    @classmethod
    def from_options(
        cls, options: DiscriminatorOptions, channels: int, final_bias: bool, shape: Sequence[int]
    ) -> "DcganDiscriminator":
        """As the options describe it, for samples of that shape."""
        width = {} if options.disc_width is None else {"width": options.disc_width}
        return cls(shape, dropout=options.disc_dropout, spectral_norm=options.disc_spectral_norm,
                   final_bias=final_bias, **width)  # fmt: skip

    def forward(self, x_BCHW: Tensor, copies: int = 1, return_features: bool = False):
        if len(self.shape) == 2:
            x_BCHW = x_BCHW.unsqueeze(1)
        x_BCHW, features = self.stack(x_BCHW, copies)
        logits_B = self.final(x_BCHW).flatten()
        return (logits_B, features) if return_features else logits_B


def _initialise(network: nn.Module) -> None:
    """Weights of convolutions from N(0, 0.02), biases 0 (Radford et al. 2016, sec. 4)."""
    network.to(memory_format=torch.channels_last)  # two thirds of the time on CPUs
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
