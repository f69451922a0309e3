"""The interface of pairs that the sample stream reads, for any kind of data."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class ReadError(RuntimeError):
    """A sample was removed or modified on disk while in use; the message and `sample` name it."""

    def __init__(self, message: str, sample: str = "") -> None:
        super().__init__(message)
        self.sample = sample

    def __reduce__(self):
        return type(self), (*self.args, self.sample)


class Pairs(Protocol):
    """The pairs of one split, numbered from 0.

    Attributes:
        names: of the pairs, as in their files.
        shape: of a sample cut for training, channels first.
        mean, std: float32 [D], of the distinct TRAINING samples, whichever split this is.
    """

    names: list[str]
    shape: tuple[int, ...]
    mean: np.ndarray
    std: np.ndarray

    def __len__(self) -> int: ...

    def input(self, i: int) -> np.ndarray:
        """The input of pair i, whole. Raises ReadError."""
        ...

    def target(self, i: int) -> np.ndarray:
        """The target of pair i, whole. Raises ReadError."""
        ...

    def cut(self, whole: np.ndarray, draw: int | None = None) -> np.ndarray:
        """Cuts a sample from a whole input or target: where the random number `draw` says, or in the middle."""
        ...

    def labels(self, i: int) -> Mapping[str, float]:
        """Labels of pair i by name; the same names for all pairs."""
        ...
