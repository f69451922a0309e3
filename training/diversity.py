"""How different generated samples are from each other and from the training samples, without decoding them.

A sample is described by cheap statistics, which its kind of data defines (`kinds.base.Kind.features`). They are scaled
by their standard deviations over training samples; the distances are those of `evaluation.metrics`.
N samples, D channels, T positions, F statistics.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from data.pairs import Pairs, ReadError
from evaluation.metrics import diversity_ratio, kernel_distance, nearest_train_ratio

COMPARED = 64  # generated samples per validation
KNOWN = 512  # training samples among which the nearest one is searched
FEWEST = 4


class DiversityGauge:
    """Compares generated samples with held-out and training targets, which are read once, at first use.

    Args:
        features: of normalised samples [B, D, T] -> [B, F].
        clean: from samples as they are stored to samples as the generator makes them.
        least_std: features that vary less over training samples are scaled by this, so that one which is nearly
            constant there does not outweigh the others.
    """

    def __init__(
        self,
        features: Callable[[Tensor], Tensor],
        clean: Callable[[Tensor], Tensor],
        train: Pairs,
        held_out: Pairs,
        least_std: float = 0.0,
    ) -> None:
        self.features, self._clean, self._train, self._held_out = features, clean, train, held_out
        self._least_std = least_std
        self._real: tuple[np.ndarray, np.ndarray] | None = None
        self._mean_F = self._std_F = np.zeros(1)
        self._width: int | None = None

    @property
    def compared(self) -> int:
        """How many of the first validation pairs are compared; 0 if there are too few."""
        count = min(len(self._held_out), COMPARED)
        return count if count >= FEWEST else 0

    @property
    def width(self) -> int:
        """F."""
        if self._width is None:
            empty = torch.zeros(1, *self._train.shape)
            self._width = self.features(self._clean(empty)).shape[1]
        return self._width

    def __call__(self, statistics_NF: np.ndarray) -> dict[str, float]:
        """Metrics from `features` of samples generated from the first `compared` validation pairs; empty if fewer than
        two of those, or of the training samples, can be read, or the held-out ones are all equal.

        diversity/ratio: mean distance of two generated samples over that of two held-out ones; 0: one sample repeated.
        diversity/nearest_train: median distance to the nearest training sample over held-out samples'; 0: copies.
        """
        held_out_NF, train_KF = self._references()
        if min(len(held_out_NF), len(train_KF)) < 2:
            return {}
        if not np.ptp(held_out_NF, axis=0).any():
            return {}  # all held-out samples are equal: there is no variety to compare with
        generated_NF = self._scaled(statistics_NF)
        return {
            "diversity/ratio": diversity_ratio(generated_NF, held_out_NF),
            "diversity/nearest_train": nearest_train_ratio(generated_NF, held_out_NF, train_KF),
        }

    def distance(self, statistics_NF: np.ndarray) -> float | None:
        """How far the generated samples are from held-out ones as a set: the unbiased kernel distance, 0 if both come
        from one distribution (so it may be slightly negative). None if there are too few samples."""
        held_out_NF, train_KF = self._references()
        if min(len(held_out_NF), len(train_KF)) < 2:
            return None
        return kernel_distance(self._scaled(statistics_NF), held_out_NF)

    def _references(self) -> tuple[np.ndarray, np.ndarray]:
        if self._real is None:
            count = min(len(self._train), KNOWN)
            train = self._statistics(self._train, np.linspace(0, len(self._train) - 1, count).astype(int))
            held_out = self._statistics(self._held_out, range(self.compared))
            if len(train):
                self._mean_F, self._std_F = train.mean(0), np.maximum(train.std(0) + 1e-6, self._least_std)
            self._real = self._scaled(held_out), self._scaled(train)
        return self._real

    def _scaled(self, statistics_NF: np.ndarray) -> np.ndarray:
        return (statistics_NF - self._mean_F) / self._std_F

    def _statistics(self, pairs: Pairs, chosen: Iterable[int]) -> np.ndarray:
        """Targets of the chosen pairs, cut from the middle as validation cuts them."""
        rows = []
        for i in chosen:
            try:
                sample = pairs.cut(pairs.target(int(i)))
            except ReadError:  # reported when the sample is used in training or validation
                continue
            one_BDT = torch.from_numpy(sample[None].astype("float32"))
            rows.append(self.features(self._clean(one_BDT)).cpu().double().numpy()[0])
        return np.stack(rows) if rows else np.zeros((0, self.width))
