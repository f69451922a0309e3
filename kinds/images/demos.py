"""Pictures that need no download: drawn sprites, scikit-learn's handwritten digits and its two photographs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kinds.images.reading import Picture, read_picture

FINE = 4  # sprites are drawn at this many times their size, then reduced, for smooth edges
SHAPES = ("circle", "square", "triangle")


def digits() -> list[Picture]:
    """1,797 handwritten digits of 8 x 8 pixels (Alpaydin and Kaynak 1998), as shipped with scikit-learn."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    pixels_NHW = np.round(loaded.images * (255 / 16)).astype(np.uint8)
    return [
        Picture(f"digit_{k:04d}", pixels_HW[..., None], str(label))
        for k, (pixels_HW, label) in enumerate(zip(pixels_NHW, loaded.target, strict=True))
    ]


def photographs() -> list[Picture]:
    """The two photographs that are shipped with scikit-learn, 640 x 427 pixels each."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    return [Picture(path.name, read_picture(path)) for path in sorted(folder.glob("*.jpg"))]


def sprites(count: int, size: int, seed: int, shapes: tuple[str, ...] = SHAPES) -> list[Picture]:
    """Drawn figures, RGB [size, size, 3] on black: shape, colour, place, size and angle are drawn from the seed."""
    rng = np.random.default_rng(seed)
    return [
        Picture(f"{shapes[k % len(shapes)]}_{k:05d}", draw_sprite(shapes[k % len(shapes)], size, rng),
                shapes[k % len(shapes)])
        for k in range(count)
    ]  # fmt: skip


def draw_sprite(shape: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """One figure, uint8 [size, size, 3]. KeyError for an unknown shape."""
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (FINE * size, FINE * size))
    radius = FINE * size * rng.uniform(0.2, 0.34)
    centre = FINE * size * rng.uniform(0.36, 0.64, 2)
    colour = tuple(int(c) for c in 255 * _colour(rng))
    _DRAW[shape](ImageDraw.Draw(canvas), centre, radius, rng.uniform(0, 2 * np.pi), colour)
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A bright colour of any hue, [3] in [0, 1]."""
    hue, value = rng.uniform(0, 6), rng.uniform(0.7, 1.0)
    ramps = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return value * (0.25 + 0.75 * ramps)


def _polygon(corners: int) -> Callable:
    def draw(canvas, centre, radius: float, angle: float, colour) -> None:
        angles = angle + 2 * np.pi * np.arange(corners) / corners
        canvas.polygon([tuple(centre + 1.1 * radius * np.array([np.cos(a), np.sin(a)])) for a in angles], fill=colour)

    return draw


def _circle(canvas, centre, radius: float, angle: float, colour) -> None:
    canvas.ellipse([*(centre - radius), *(centre + radius)], fill=colour)


_DRAW = dict(zip(SHAPES, (_circle, _polygon(4), _polygon(3)), strict=True))
