"""Small picture files of many sorts for tests."""

import gzip
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def folder_of_classes(home: Path, count: int = 6, size: int = 12) -> Path:
    """Sub-folders `dark` and `light` with `count` grey PNGs each."""
    for name, low in (("dark", 0), ("light", 128)):
        (home / name).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(low + noise(size, size) // 2).save(home / name / f"{k}.png")
    return home


def idx_bytes(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def idx_files(home: Path, train: int = 12, val: int = 4, size: int = 8, compressed: bool = True) -> Path:
    """As MNIST comes: pictures and labels, training and test."""
    for stem, count in (("train", train), ("t10k", val)):
        write_idx(home, stem, noise(count, size, size), np.arange(count) % 3, compressed)
    return home


def write_idx(home: Path, stem: str, pixels_NHW: np.ndarray, labels_N: np.ndarray, compressed: bool = True) -> None:
    """The two files of one split."""
    home.mkdir(parents=True, exist_ok=True)
    pack, end = (gzip.compress, ".gz") if compressed else (bytes, "")
    (home / f"{stem}-images-idx3-ubyte{end}").write_bytes(pack(idx_bytes(pixels_NHW)))
    (home / f"{stem}-labels-idx1-ubyte{end}").write_bytes(pack(idx_bytes(labels_N)))
