"""Metrics of how close one set of clips is to another: pure functions of feature matrices, in float64.

N, M number of clips; F features; D whitened dimensions. Rows are clips, as from `kinds.audio.features.clip_features`.
In the style of k-diffusion's `evaluation.py`: functions of matrices, without state.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SILENT_RMS = 1e-3  # -60 dBFS
FULL_SCALE = 0.999  # value of a clipped sample in a 16-bit file, less rounding
CLIPPED_SHARE = 1e-3  # of the samples; a single full-scale peak is not distortion


@dataclass(frozen=True)
class Whitening:
    """Maps features [N, F] -> [N, D] so that the reference has mean 0 and about unit covariance."""

    mean_F: np.ndarray
    std_F: np.ndarray
    centre_F: np.ndarray
    map_FD: np.ndarray

    def __call__(self, features_NF: np.ndarray) -> np.ndarray:
        return (squash((features_NF - self.mean_F) / self.std_F) - self.centre_F) @ self.map_FD


def squash(z: np.ndarray, limit: float = 3.0) -> np.ndarray:
    """limit * tanh(z / limit): nearly z within one standard deviation of real music, bounded far outside it.

    Limits the weight of outliers (a smooth winsorising; Huber 1981). Without it one extreme feature outweighs all
    others: a Gaussian in log-mel latents flickers 7 standard deviations more than recorded music does, and for that
    reason alone was farther from it than white noise.
    """
    return limit * np.tanh(z / limit)


def fit_whitening(reference_NF: np.ndarray, clips_per_dimension: int = 8) -> Whitening:
    """Standardise, squash, shrink the covariance (Ledoit & Wolf 2004), rotate to principal axes, scale to variance one.

    Keeps the D = min(F, N // clips_per_dimension) widest axes, so that N clips suffice to estimate a covariance [D, D].
    Features that are constant in the reference are centred and left at their own scale. ValueError under 8 clips.
    """
    from sklearn.covariance import ledoit_wolf

    reference_NF = np.asarray(reference_NF, np.float64)
    count, width = reference_NF.shape
    if count < 8:
        raise ValueError(f"whitening needs 8 reference clips or more, got {count}")
    mean_F, std_F = reference_NF.mean(0), reference_NF.std(0)
    std_F[std_F < 1e-9] = 1
    squashed_NF = squash((reference_NF - mean_F) / std_F)
    centre_F = squashed_NF.mean(0)
    covariance_FF, _ = ledoit_wolf(squashed_NF - centre_F, assume_centered=True)
    variance_F, axes_FF = np.linalg.eigh(covariance_FF)
    kept = slice(width - max(1, min(width, count // clips_per_dimension)), width)
    map_FD = axes_FF[:, kept] / np.sqrt(np.maximum(variance_F[kept], 1e-12))
    return Whitening(mean_F, std_F, centre_F, map_FD)


def frechet_distance(x_ND: np.ndarray, y_MD: np.ndarray) -> float:
    """Squared Frechet (2-Wasserstein) distance of the Gaussians fitted to two sets (Dowson & Landau 1982; FID)."""
    return gaussian_frechet_distance(x_ND.mean(0), _covariance(x_ND), y_MD.mean(0), _covariance(y_MD))


def gaussian_frechet_distance(mean1_D, cov1_DD, mean2_D, cov2_DD) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2), from the singular values of C1^1/2 C2^1/2.

    tr((C1^1/2 C2 C1^1/2)^1/2) is the nuclear norm of C1^1/2 C2^1/2: no root of a rounded, no longer positive product.
    """
    mixed_DD = _psd_sqrt(cov1_DD) @ _psd_sqrt(cov2_DD)
    nuclear = np.linalg.svd(mixed_DD, compute_uv=False).sum()
    value = np.square(mean1_D - mean2_D).sum() + np.trace(cov1_DD) + np.trace(cov2_DD) - 2 * nuclear
    return max(0.0, float(value))


def squared_distances(x_ND: np.ndarray, y_MD: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances [N, M]."""
    from scipy.spatial.distance import cdist

    return cdist(np.asarray(x_ND, np.float64), np.asarray(y_MD, np.float64), "sqeuclidean")


def kernel_distance(x_ND: np.ndarray, y_MD: np.ndarray, bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3) with k = exp(-d^2 / (2 bandwidth^2)).

    `y` is the reference; the bandwidth is the median distance of its pairs when not given. May be slightly negative.
    """
    yy_MM = squared_distances(y_MD, y_MD)
    bandwidth = bandwidth or median_bandwidth(yy_MM)
    kernels = [rbf(z, bandwidth) for z in (squared_distances(x_ND, x_ND), squared_distances(x_ND, y_MD), yy_MM)]
    return kernel_distance_of(*kernels)


def median_bandwidth(squared_MM: np.ndarray) -> float:
    """Median distance of different clips (Gretton et al. 2012, section 8)."""
    return float(np.sqrt(np.median(squared_MM[np.triu_indices(len(squared_MM), 1)])))


def rbf(squared_NM: np.ndarray, bandwidth: float) -> np.ndarray:
    """Gaussian kernel of squared distances, 0..1."""
    return np.exp(squared_NM / (-2 * bandwidth**2))


def kernel_distance_of(kernel_xx_NN: np.ndarray, kernel_xy_NM: np.ndarray, kernel_yy_MM: np.ndarray) -> float:
    """`kernel_distance` from kernel values within x, from x to y, and within y."""
    return mean_of_pairs(kernel_xx_NN) + mean_of_pairs(kernel_yy_MM) - 2 * float(kernel_xy_NM.mean())


def neighbour_radii(squared_MM: np.ndarray, k: int = 5) -> np.ndarray:
    """Squared distance of each clip to its k-th nearest other clip -> [M]."""
    return np.sort(squared_MM, axis=1)[:, min(k, len(squared_MM) - 1)]


def density_coverage(x_ND: np.ndarray, y_MD: np.ndarray, k: int = 5) -> tuple[float, float]:
    """Density and coverage of generated x against real y (Naeem et al. 2020, eqs. 3 and 4).

    Density: number of real neighbourhoods that a generated clip lies in, over k (about 1 for real music, unbounded).
    Coverage: share of real clips with a generated clip in their neighbourhood, 0..1.
    """
    radii_M = neighbour_radii(squared_distances(y_MD, y_MD), k)
    return density_coverage_of(squared_distances(x_ND, y_MD) <= radii_M, k)


def density_coverage_of(inside_NM: np.ndarray, k: int = 5) -> tuple[float, float]:
    """`density_coverage` from a matrix that says which generated clip lies in which real neighbourhood."""
    return float(inside_NM.sum(1).mean() / k), float(inside_NM.any(0).mean())


def diversity_ratio(x_ND: np.ndarray, y_MD: np.ndarray) -> float:
    """Mean distance of pairs of generated clips over that of real clips: 0 for one clip repeated, 1 for real music."""
    spread_x, spread_y = (mean_of_pairs(np.sqrt(squared_distances(z, z))) for z in (x_ND, y_MD))
    return spread_x / spread_y


def mean_of_pairs(symmetric_NN: np.ndarray) -> float:
    """Mean of a symmetric matrix outside its diagonal: over all pairs of different clips."""
    count = len(symmetric_NN)
    return float((symmetric_NN.sum() - np.trace(symmetric_NN)) / (count * (count - 1)))


def nearest_distances(x_ND: np.ndarray, train_MD: np.ndarray) -> np.ndarray:
    """Distance of each clip to the nearest training clip -> [N]."""
    return np.sqrt(squared_distances(x_ND, train_MD).min(1))


def nearest_train_ratio(x_ND: np.ndarray, held_out_KD: np.ndarray, train_MD: np.ndarray) -> float:
    """Median distance of generated clips to their nearest training clip, over that of held-out real clips.

    0: copies of training clips; 1: as far from the training set as held-out music; above 1: farther.
    """
    return float(np.median(nearest_distances(x_ND, train_MD)) / np.median(nearest_distances(held_out_KD, train_MD)))


def silent_clips(audio_BN: np.ndarray) -> np.ndarray:
    """Which clips are silent: RMS about their mean under -60 dBFS -> bool [B]."""
    return audio_BN.std(1, dtype=np.float64) < SILENT_RMS


def clipped_clips(audio_BN: np.ndarray) -> np.ndarray:
    """Which clips are clipped: more than a thousandth of the samples at full scale or beyond -> bool [B]."""
    return (np.abs(audio_BN) >= FULL_SCALE).mean(1) > CLIPPED_SHARE


def gap_closed(generated: float, floor: float, gaussian: float) -> float:
    """1 - (FD(generated) - FD(floor)) / (FD(gaussian) - FD(floor)): 0 is coloured noise, 1 is real music.

    ValueError if the Gaussian is not above the floor: the scale is then undefined.
    """
    if not gaussian > floor:
        raise ValueError(f"the moment-matched Gaussian ({gaussian:.3g}) is not above real music ({floor:.3g})")
    return 1 - (generated - floor) / (gaussian - floor)


def bootstrap_intervals(
    measure: Callable[[np.ndarray], dict[str, float]], count: int, rounds: int = 100, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of several metrics at once, resampling clips (Efron & Tibshirani 1993, chapter 13).

    measure: takes indices [count] of the evaluated clips, with repetition, and returns metrics by name; the reference
        set is not resampled.
    A set drawn with repetition holds fewer different clips, which biases most of these metrics by more than their
    spread. So quantiles are taken relative to the median of the draws and added to the value of the full set.
    """
    rng = np.random.default_rng(seed)
    value = measure(np.arange(count))
    draws = [measure(rng.integers(0, count, count)) for _ in range(rounds)]
    tails = [(1 - level) / 2, (1 + level) / 2]
    intervals = {}
    for name, centre in value.items():
        drawn = np.array([draw[name] for draw in draws])
        low, high = np.quantile(drawn - np.median(drawn), tails)
        intervals[name] = (centre + float(low), centre + float(high))
    return intervals


def _covariance(x_ND):
    return np.atleast_2d(np.cov(x_ND, rowvar=False))


def _psd_sqrt(matrix_DD):
    variance_D, axes_DD = np.linalg.eigh(matrix_DD)
    return (axes_DD * np.sqrt(np.maximum(variance_D, 0))) @ axes_DD.T
