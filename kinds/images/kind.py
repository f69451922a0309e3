"""Pictures as a kind of data: samples [C, H, W] in [-1, 1].

With `--upscale` over 1 a generator starts from a smaller copy of a picture and makes the picture of it.

Legend: B samples, C channels, H rows, W columns, F statistics, K measures.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from errors import UserError
from kinds.images.decoder import PictureDecoder
from kinds.images.features import picture_features
from kinds.images.options import ImagesOptions
from kinds.images.pairs import ImagePairs, open_images
from kinds.options import DataOptions
from losses.pictures import psnr, ssim
from monitoring.sample_words import SampleWords
from registry import Chosen
from synthesis.space import Space


class ImagesKind:
    """See `kinds.base.Kind`."""

    unit = "image"
    words = SampleWords("image", "images", "images")
    least_std = 0.05  # of features: pixels that are always black do not outweigh the others

    def __init__(self, options: ImagesOptions, choices: Mapping[str, Chosen] | None = None) -> None:
        self._options = options
        self.identity, self.rate, self.about = "", 1.0, {}
        if options.upscale > 1:
            self.observe, self.own_reals = self._observe, True
            self.measured = ("psnr", "psnr_bicubic", "ssim", "ssim_bicubic")

    def open(self, data: DataOptions, build: bool) -> tuple[ImagePairs, ImagePairs]:
        """Pictures [C, H, W] of one size."""
        folder = Path(data.dataset_folder)
        train, val = Path(data.train_dir or folder / "train"), Path(data.val_dir or folder / "val")
        splits = open_images(train, val)
        channels, rows, columns = splits[0].shape
        factor = self._options.upscale
        if rows % factor or columns % factor or min(rows, columns) < 4 * factor:
            raise UserError(
                f"--upscale {factor} does not fit images of {columns} x {rows}: prepare them with a --size that is a "
                f"multiple of {factor}, at least {4 * factor}"
            )
        self.identity = f"images-{channels}x{rows}x{columns}"
        self.rate = float(columns)
        self.about = {"upscale": factor}
        if factor > 1:
            self.source_channels = self.made_channels = channels
        return splits

    def _observe(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """(the picture made smaller, the picture)."""
        return smaller(x_BCHW, self._options.upscale), x_BCHW

    def measures(self, made_BCHW: Tensor, clean_BCHW: Tensor, start_BCHW: Tensor) -> Tensor:
        """[B, K] of `measured`: PSNR in dB and SSIM of the enlarged picture, and of bicubic interpolation."""
        enlarged = interpolate(start_BCHW, size=clean_BCHW.shape[2:], mode="bicubic", align_corners=False)
        clean, *both = (unit_range(x) for x in (clean_BCHW, made_BCHW, enlarged))
        return torch.stack([measure(x, clean) for measure in (psnr, ssim) for x in both], dim=1)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """[B, F]: see `kinds.images.features`."""
        return picture_features(x_BCHW)

    def open_decoder(self, space: Space, device: str) -> PictureDecoder:
        """Writes pictures."""
        return PictureDecoder(self._options)


def smaller(x_BCHW: Tensor, factor: int) -> Tensor:
    """Pictures reduced by a whole factor: bicubic with antialiasing, as is usual for this task, within [-1, 1]."""
    size = [side // factor for side in x_BCHW.shape[2:]]
    return interpolate(x_BCHW, size=size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)


def unit_range(x_BCHW: Tensor) -> Tensor:
    """From [-1, 1] to [0, 1]; values beyond are cut off."""
    return (0.5 * (x_BCHW + 1)).clamp(0, 1)
