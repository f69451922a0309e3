"""Figures against closed forms, identities and slow spellings."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation import metrics


def gaussian(count, width, seed=0, mean=0.0, scale=1.0):
    return mean + scale * np.random.default_rng(seed).standard_normal((count, width))


def random_covariance(width, seed):
    root = gaussian(2 * width, width, seed)
    return root.T @ root / (2 * width)


def test_frechet_distance_of_a_set_with_itself_is_zero():
    x = gaussian(200, 20)
    assert metrics.frechet_distance(x, x) < 1e-10
    flat = np.repeat(x[:1], 50, axis=0)  # a covariance of rank 0
    assert metrics.frechet_distance(flat, flat) < 1e-10


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_frechet_distance_is_symmetric_and_not_negative(width, seed):
    x, y = gaussian(40, width, seed), gaussian(50, width, seed + 1, mean=0.3, scale=1.7)
    forth, back = metrics.frechet_distance(x, y), metrics.frechet_distance(y, x)
    assert forth == pytest.approx(back, rel=1e-9) and forth >= 0


def test_frechet_distance_of_axis_aligned_gaussians():
    mean1, mean2 = np.array([0.0, 1.0, -2.0]), np.array([1.0, 1.0, 3.0])
    std1, std2 = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.0])
    expected = np.sum((mean1 - mean2) ** 2) + np.sum((std1 - std2) ** 2)
    value = metrics.gaussian_frechet_distance(mean1, np.diag(std1**2), mean2, np.diag(std2**2))
    assert value == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_agrees_with_the_matrix_square_root():
    c1, c2 = random_covariance(8, 1), random_covariance(8, 2)
    expected = np.trace(c1 + c2 - 2 * scipy.linalg.sqrtm(c1 @ c2).real)
    assert metrics.gaussian_frechet_distance(np.zeros(8), c1, np.zeros(8), c2) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_samples_approaches_that_of_their_gaussians():
    x, y = gaussian(20000, 4, 0), gaussian(20000, 4, 1, mean=0.5, scale=2.0)
    assert metrics.frechet_distance(x, y) == pytest.approx(4 * 0.25 + 4 * 1.0, rel=0.03)


def test_whitening_makes_the_reference_standard():
    reference = gaussian(1000, 6, 3) @ (np.eye(6) + 0.2 * gaussian(6, 6, 4)) * np.array([1, 10, 100, 1e-3, 1, 1]) + 7
    white = metrics.fit_whitening(reference)(reference)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(6), atol=0.15)  # the shrinkage takes a little


def test_whitening_keeps_fewer_dimensions_than_an_eighth_of_the_clips():
    assert metrics.fit_whitening(gaussian(64, 30))(gaussian(5, 30)).shape == (5, 8)
    assert metrics.fit_whitening(gaussian(400, 30))(gaussian(5, 30)).shape == (5, 30)


def test_whitening_does_not_depend_on_units_and_stands_constant_features():
    reference = gaussian(100, 5)
    reference[:, 2] = 4.0
    x, units = gaussian(10, 5, 1), np.array([1e3, 1e-3, 1, 5, 2])
    x[:, 2] = 4.0
    plain, scaled = metrics.fit_whitening(reference)(x), metrics.fit_whitening(reference * units)(x * units)
    np.testing.assert_allclose(abs(plain), abs(scaled), atol=1e-8)
    with pytest.raises(ValueError, match="8 reference clips"):
        metrics.fit_whitening(gaussian(7, 3))


def test_squash_is_nearly_the_identity_near_zero_and_bounded():
    assert metrics.squash(np.array([0.3]))[0] == pytest.approx(0.3, rel=0.01)
    assert abs(metrics.squash(np.array([-1e6, 1e6]))).max() <= 3


def test_kernel_distance_equals_its_definition():
    x, y, bandwidth = gaussian(5, 3, 0), gaussian(7, 3, 1), 1.3

    def k(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * bandwidth**2))

    xx = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(7) for j in range(7) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert metrics.kernel_distance(x, y, bandwidth) == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    same = [metrics.kernel_distance(gaussian(30, 4, 2 * s), gaussian(30, 4, 2 * s + 1), 2.0) for s in range(300)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(300)
    assert min(same) < 0 < max(same)
    assert metrics.kernel_distance(gaussian(30, 4, 0, mean=1.0), gaussian(30, 4, 1)) > 5 * np.std(same)


def test_kernel_distance_of_gaussians_in_closed_form():
    """E k(x, y) for x ~ N(m, 1), y ~ N(0, 1) in one dimension is (b^2 / (b^2 + 2))^1/2 exp(-m^2 / (2 (b^2 + 2)))."""
    shift, bandwidth = 1.5, 1.0

    def expected(mean):
        return np.sqrt(bandwidth**2 / (bandwidth**2 + 2)) * np.exp(-(mean**2) / (2 * (bandwidth**2 + 2)))

    value = metrics.kernel_distance(gaussian(1000, 1, 0, mean=shift), gaussian(1000, 1, 1), bandwidth)
    assert value == pytest.approx(2 * expected(0) - 2 * expected(shift), abs=0.05)


def test_median_bandwidth():
    points = np.array([[0.0], [1.0], [3.0]])  # distances 1, 2, 3
    assert metrics.median_bandwidth(metrics.squared_distances(points, points)) == pytest.approx(2.0)


def test_density_and_coverage():
    real = gaussian(200, 5)
    _, coverage = metrics.density_coverage(real, real)
    assert coverage == 1
    density, coverage = metrics.density_coverage(gaussian(200, 5, 1), real)
    assert density == pytest.approx(1, abs=0.15) and coverage > 0.9  # 1 - 2^-5 for equal distributions, Naeem et al.
    assert metrics.density_coverage(real + 100, real) == (0, 0)
    density, coverage = metrics.density_coverage(np.repeat(real[:1], 200, axis=0), real)
    assert density > 0 and coverage < 0.2


def test_density_and_coverage_by_hand():
    real = np.arange(4.0)[:, None]  # the second neighbour lies 2, 1, 1, 2 away
    generated = np.array([[0.5], [10.0]])
    # 0.5 lies within 2 of 0, within 1 of 1, not of 2, not within 2 of 3.
    assert metrics.density_coverage(generated, real, k=2) == (2 / 2 / 2, 2 / 4)


def test_diversity_ratio():
    real = gaussian(100, 6)
    assert metrics.diversity_ratio(real, real) == pytest.approx(1)
    assert metrics.diversity_ratio(0.25 * real + 3, real) == pytest.approx(0.25)
    assert metrics.diversity_ratio(np.repeat(real[:1], 100, axis=0), real) == 0


def test_nearest_train_ratio():
    train, held_out = gaussian(300, 4, 0), gaussian(300, 4, 1)
    assert metrics.nearest_train_ratio(train[:50], held_out, train) == 0
    assert metrics.nearest_train_ratio(held_out, held_out, train) == 1
    assert metrics.nearest_train_ratio(held_out + 50, held_out, train) > 10


def test_silent_and_clipped_clips():
    tone = np.sin(np.arange(48000) / 10)
    clips = np.stack([np.zeros(48000), 1e-4 * tone, 0.5 * tone, np.clip(2 * tone, -1, 1)])
    assert metrics.silent_clips(clips).tolist() == [True, True, False, False]
    assert metrics.clipped_clips(clips).tolist() == [False, False, False, True]


def test_gap_closed_ends_at_0_and_1():
    assert metrics.gap_closed(generated=80.0, floor=5.0, gaussian=80.0) == 0
    assert metrics.gap_closed(generated=5.0, floor=5.0, gaussian=80.0) == 1
    assert metrics.gap_closed(42.5, 5.0, 80.0) == pytest.approx(0.5)
    assert metrics.gap_closed(155.0, 5.0, 80.0) == pytest.approx(-1)
    with pytest.raises(ValueError, match="is not above"):
        metrics.gap_closed(1.0, 5.0, 5.0)


def test_bootstrap_interval_holds_the_value_and_repeats():
    x, y = gaussian(80, 3, 0, mean=0.4), gaussian(80, 3, 1)

    def figures(index):
        return {"frechet": metrics.frechet_distance(x[index], y), "mean": float(x[index].mean())}

    intervals = metrics.bootstrap_intervals(figures, 80, seed=1)
    for name, value in figures(np.arange(80)).items():
        assert intervals[name][0] < value < intervals[name][1]
    assert metrics.bootstrap_intervals(figures, 80, seed=1) == intervals
    assert metrics.bootstrap_intervals(figures, 80, seed=2) != intervals


def test_bootstrap_interval_of_a_mean_is_two_standard_errors_and_covers_the_truth():
    widths, covered = [], 0
    for seed in range(200):
        x = gaussian(50, 1, seed)[:, 0]
        low, high = metrics.bootstrap_intervals(lambda i, x=x: {"m": x[i].mean()}, 50, rounds=200, seed=seed)["m"]
        widths.append(high - low)
        covered += low < 0 < high
    assert np.mean(widths) == pytest.approx(2 * 1.96 / np.sqrt(50), rel=0.1)
    assert 175 <= covered <= 200
