"""Encoding of images, and grids of them."""

import math

import numpy as np

GAP = 2


def encoded(image_HWC: np.ndarray, kind: str = "png") -> bytes:
    """An RGB image encoded as "png", or as "jpeg" at a tenth of the size."""
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(image_HWC).save(buffer, kind, quality=80)
    return buffer.getvalue()


def tiled(pictures_BHWC: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Pictures row by row, uint8 [H', W', 3], with white gaps; without `columns` about as many as rows."""
    count, high, wide, _ = pictures_BHWC.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.full((rows * (high + GAP) - GAP, columns * (wide + GAP) - GAP, 3), 255, np.uint8)
    for k, picture in enumerate(pictures_BHWC):
        top, left = (k // columns) * (high + GAP), (k % columns) * (wide + GAP)
        grid[top : top + high, left : left + wide] = picture
    return grid
