"""The scorer: holds the reference set and computes metrics with intervals for sets of clips.

N measured clips, M reference clips, K training clips, F features, D whitened dimensions.
"""

from dataclasses import dataclass

import numpy as np

from evaluation import metrics

# Range of each metric; intervals are clamped to it.
BOUNDS = {
    "frechet": (0, np.inf),
    "kernel": (-np.inf, np.inf),
    "density": (0, np.inf),
    "coverage": (0, 1),
    "diversity": (0, np.inf),
    "nearest_train": (0, np.inf),
    "silent": (0, 1),
    "clipped": (0, 1),
}


@dataclass(frozen=True)
class Described:
    """Description of a set of clips: features [N, F], and which clips are silent or clipped."""

    features_NF: np.ndarray
    silent_N: np.ndarray
    clipped_N: np.ndarray


@dataclass(frozen=True)
class MeasuredSet:
    """Intermediate values of the metrics, clip by clip, so that a bootstrap draw only picks rows."""

    white_ND: np.ndarray
    distance_NN: np.ndarray
    kernel_NN: np.ndarray
    kernel_NM: np.ndarray
    inside_NM: np.ndarray  # which clip lies in the neighbourhood of which reference clip
    to_train_N: np.ndarray | None
    silent_N: np.ndarray
    clipped_N: np.ndarray

    def take(self, index: np.ndarray) -> "MeasuredSet":
        return MeasuredSet(
            self.white_ND[index],
            self.distance_NN[np.ix_(index, index)],
            self.kernel_NN[np.ix_(index, index)],
            self.kernel_NM[index],
            self.inside_NM[index],
            None if self.to_train_N is None else self.to_train_N[index],
            self.silent_N[index],
            self.clipped_N[index],
        )


class Scorer:
    """Metrics against one reference set.

    reference_MF: features of held-out real clips; whitening, bandwidth and neighbourhoods depend on them alone, so that
        no metric depends on the other sets of a table.
    train_KF: features of training clips, for `nearest_train`; without them that metric is left out.
    """

    def __init__(self, reference_MF: np.ndarray, train_KF: np.ndarray | None = None):
        self.whiten = metrics.fit_whitening(reference_MF)
        self.reference_MD = self.whiten(reference_MF)
        self.train_KD = None if train_KF is None else self.whiten(train_KF)
        squared_MM = metrics.squared_distances(self.reference_MD, self.reference_MD)
        self.bandwidth = metrics.median_bandwidth(squared_MM)
        self.kernel_MM = metrics.rbf(squared_MM, self.bandwidth)
        self.radii_M = metrics.neighbour_radii(squared_MM)
        self.spread = metrics.mean_of_pairs(np.sqrt(squared_MM))
        if self.train_KD is not None:
            self.novelty = float(np.median(metrics.nearest_distances(self.reference_MD, self.train_KD)))

    def score(self, clips: Described, rounds: int = 100, seed: int = 0) -> dict[str, dict[str, float]]:
        """Metrics of a set of clips -> {metric: {"value", "low", "high"}}, with 95 % bootstrap intervals over clips."""
        from threadpoolctl import threadpool_limits

        measured = self._measured(clips)
        with threadpool_limits(1):  # matrices this small are slower with several threads
            intervals = metrics.bootstrap_intervals(
                lambda index: self._figures(measured.take(index)), len(clips.features_NF), rounds=rounds, seed=seed
            )
            values = self._figures(measured)
        return {name: {"value": value, **_within(intervals[name], BOUNDS[name])} for name, value in values.items()}

    def _measured(self, clips):
        white_ND = self.whiten(clips.features_NF)
        squared_NN = metrics.squared_distances(white_ND, white_ND)
        squared_NM = metrics.squared_distances(white_ND, self.reference_MD)
        return MeasuredSet(
            white_ND,
            np.sqrt(squared_NN),
            metrics.rbf(squared_NN, self.bandwidth),
            metrics.rbf(squared_NM, self.bandwidth),
            squared_NM <= self.radii_M,
            None if self.train_KD is None else metrics.nearest_distances(white_ND, self.train_KD),
            clips.silent_N,
            clips.clipped_N,
        )

    def _figures(self, measured):
        density, coverage = metrics.density_coverage_of(measured.inside_NM)
        values = {
            "frechet": metrics.frechet_distance(measured.white_ND, self.reference_MD),
            "kernel": metrics.kernel_distance_of(measured.kernel_NN, measured.kernel_NM, self.kernel_MM),
            "density": density,
            "coverage": coverage,
            "diversity": metrics.mean_of_pairs(measured.distance_NN) / self.spread,
            "silent": float(measured.silent_N.mean()),
            "clipped": float(measured.clipped_N.mean()),
        }
        if measured.to_train_N is not None:
            values["nearest_train"] = float(np.median(measured.to_train_N)) / self.novelty
        return values


def _within(interval, bounds):
    low, high = (float(np.clip(end, *bounds)) for end in interval)
    return {"low": low, "high": high}
