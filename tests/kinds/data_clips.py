"""Clips and small datasets in the documented layout."""

import numpy as np

from kinds.audio.files import write_wav
from kinds.audio.pairs import pair_paths

RATE = 24_000
SAMPLES = RATE // 2


def chirp(seed: int, samples: int = SAMPLES) -> np.ndarray:
    """A clip that no other seed gives."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 100 * seed) * time) + 0.02 * rng.standard_normal(samples)).astype(
        np.float32
    )


def make_hand_made(folder, train: int = 4, val: int = 1):
    """Consecutive pairs (clip k, clip k + 1) in train/ and val/, no dataset.yaml."""
    for split, pairs, first in (("train", train, 0), ("val", val, 100)):
        (folder / split).mkdir(parents=True)
        for number in range(pairs):
            for offset, path in enumerate(pair_paths(folder / split, number)):
                write_wav(path, chirp(first + number + offset))
    return folder
