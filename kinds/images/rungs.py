"""The ladder of pictures: reference sets whose order from real pictures to noise is known; see `evaluation.ladder`.

    floor         training pictures as they are: the best that can be reached
    shuffled      the pixels of each picture in random order: its colours, without its shapes
    mean_picture  the mean of all pictures, repeated: the blur that regression alone would end in
    one_picture   one picture, repeated: complete mode collapse
    white_noise   every pixel drawn from the values that occur

Shapes: N pictures, H rows, W columns, C channels; uint8.
"""

import numpy as np

RUNGS = ("floor", "shuffled", "mean_picture", "one_picture", "white_noise")

_DISTANCES = [("floor", "<", rung) for rung in RUNGS[1:]]
_REPEATED = ("mean_picture", "one_picture")
ORDER = {
    "frechet": _DISTANCES,
    "kernel": _DISTANCES,
    "density": [(rung, "<", "floor") for rung in ("shuffled", "white_noise")],
    "coverage": [(rung, "<", "floor") for rung in RUNGS[1:]],
    "diversity": [(rung, "<", "floor") for rung in _REPEATED],
    "nearest_train": [("floor", "<", rung) for rung in ("shuffled", "mean_picture", "white_noise")],
}


def make_rung(name: str, pictures_NHWC: np.ndarray, seed: int = 0) -> np.ndarray:
    """One rung from training pictures -> as many pictures. KeyError for a name not in RUNGS."""
    makers = {
        "floor": lambda rng: pictures_NHWC,
        "shuffled": lambda rng: _shuffled(pictures_NHWC, rng),
        "mean_picture": lambda rng: _repeated(pictures_NHWC.mean(0).round().astype(np.uint8), len(pictures_NHWC)),
        "one_picture": lambda rng: _repeated(pictures_NHWC[rng.integers(len(pictures_NHWC))], len(pictures_NHWC)),
        "white_noise": lambda rng: rng.choice(pictures_NHWC.reshape(-1), pictures_NHWC.shape),
    }
    return makers[name](np.random.default_rng([seed, RUNGS.index(name) if name in RUNGS else 0]))


def _shuffled(pictures_NHWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count, rows, columns, channels = pictures_NHWC.shape
    flat = pictures_NHWC.reshape(count, rows * columns, channels)
    order = rng.permuted(np.tile(np.arange(rows * columns), (count, 1)), axis=1)
    return np.take_along_axis(flat, order[:, :, None], axis=1).reshape(pictures_NHWC.shape)


def _repeated(picture_HWC: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(picture_HWC[None], count, axis=0)
