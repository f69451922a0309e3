"""Prepared images on disk, as pairs whose input is their target.

A split is a folder with `images.npy` (uint8 [N, H, W, C]), `labels.npy` (int64 [N], the class of each image; -1: none)
and `names.txt` (a name per line).
"""

from pathlib import Path

import numpy as np

from errors import UserError
from runtime.arrays import load_array

IMAGES, LABELS, NAMES = "images.npy", "labels.npy", "names.txt"


class ImagePairs:
    """See `data.pairs.Pairs`. Samples are float32 [C, H, W] in [-1, 1].

    Raises:
        UserError: a file of the split is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.names = []
        try:
            self._pictures = load_array(folder / IMAGES, mapped=True)
            self.classes = load_array(folder / LABELS)
            self.names = (folder / NAMES).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError as error:
            raise UserError(
                f"{folder} holds no {Path(error.filename).name}: make a dataset of images with "
                "`python prepare_dataset.py --kind images`"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(
                f"the images in {folder} are damaged ({str(error).splitlines()[0]}): "
                "prepare them again with --overwrite"
            ) from None
        count = len(self._pictures)
        if self._pictures.ndim != 4 or not count or {len(self.classes), len(self.names)} != {count}:
            raise UserError(f"the files in {folder} do not belong together: prepare the images again with --overwrite")
        _, rows, columns, channels = self._pictures.shape
        self.shape = (channels, rows, columns)
        self.mean, self.std = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        self._labelled = bool((self.classes >= 0).any())

    def __len__(self) -> int:
        return len(self.names)

    def input(self, i: int) -> np.ndarray:
        return self.target(i)

    def target(self, i: int) -> np.ndarray:
        return to_sample(self._pictures[i])

    def pictures(self, chosen: np.ndarray) -> np.ndarray:
        """Pictures by their numbers, uint8 [N, H, W, C]."""
        return np.array(self._pictures[chosen])

    def cut(self, whole_CHW: np.ndarray, draw: int | None = None) -> np.ndarray:
        return whole_CHW

    def labels(self, i: int) -> dict[str, float]:
        """{"class": number of the image's class, -1 without one}; nothing where no image has a class."""
        return {"class": float(self.classes[i])} if self._labelled else {}


def open_images(train: Path, val: Path) -> tuple[ImagePairs, ImagePairs]:
    """Training and validation images. Raises UserError where they are not there, damaged, or of different sizes."""
    splits = ImagePairs(train), ImagePairs(val)
    if splits[0].shape != splits[1].shape:
        raise UserError(f"the images in {train} and in {val} differ in size: prepare both with one command")
    return splits


def to_sample(image_HWC: np.ndarray) -> np.ndarray:
    """A picture, uint8 [H, W, C], as a sample, float32 [C, H, W] in [-1, 1]."""
    return np.ascontiguousarray(image_HWC.transpose(2, 0, 1)).astype(np.float32) / 127.5 - 1.0


def to_pictures(samples_BCHW: np.ndarray) -> np.ndarray:
    """Samples, float [B, C, H, W] in [-1, 1], as pictures, uint8 [B, H, W, 3]; NaN is black."""
    clean = np.nan_to_num(samples_BCHW, nan=-1.0).transpose(0, 2, 3, 1)
    pictures = np.clip(np.round((clean + 1.0) * 127.5), 0, 255).astype(np.uint8)
    return np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures[..., :3]
