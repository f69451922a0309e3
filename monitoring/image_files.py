"""Encoding of images."""

import numpy as np


def encoded(image_HWC: np.ndarray, kind: str = "png") -> bytes:
    """An RGB image encoded as "png", or as "jpeg" at a tenth of the size."""
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(image_HWC).save(buffer, kind, quality=80)
    return buffer.getvalue()
