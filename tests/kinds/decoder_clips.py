"""Half a second of noise in each file, for the training of decoders."""

from pathlib import Path

import numpy as np

from kinds.audio.files import write_wav
from kinds.audio.pairs import pair_paths

RATE, SAMPLES = 24_000, 12_000


def clip(seed: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(SAMPLES)).astype(np.float32)


def make_clips(folder: Path) -> Path:
    """Three training pairs of consecutive clips and one validation pair: six distinct clips in all."""
    for split, count in (("train", 3), ("val", 1)):
        (folder / split).mkdir()
        for number in range(count):
            paths = pair_paths(folder / split, number)
            for k, path in enumerate(paths):
                write_wav(path, clip(number + k + 100 * (split == "val")), RATE)
    return folder
