"""The scorer: every set gets the same figures against one reference, with intervals that hold them."""

import numpy as np
import pytest

from evaluation import metrics
from evaluation.scorer import BOUNDS, Described, Scorer


def rows(count: int, seed: int, mean: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return mean + scale * np.random.default_rng(seed).standard_normal((count, 6))


def described(features_NF: np.ndarray, silent: int = 0, clipped: int = 0) -> Described:
    first = np.arange(len(features_NF))
    return Described(features_NF, first < silent, first < clipped)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer(rows(64, 0), rows(80, 1))


def test_figures_are_the_metrics_of_the_whitened_features(scorer):
    clips = rows(48, 2, mean=0.5, scale=1.3)
    scored = scorer.score(described(clips, silent=12, clipped=6), rounds=10)
    white, reference, train = scorer.whiten(clips), scorer.reference_MD, scorer.train_KD
    density, coverage = metrics.density_coverage(white, reference)
    expected = {
        "frechet": metrics.frechet_distance(white, reference),
        "kernel": metrics.kernel_distance(white, reference, scorer.bandwidth),
        "density": density,
        "coverage": coverage,
        "diversity": metrics.diversity_ratio(white, reference),
        "nearest_train": metrics.nearest_train_ratio(white, reference, train),
        "silent": 0.25,
        "clipped": 0.125,
    }
    assert scored.keys() == expected.keys() == BOUNDS.keys()
    assert {name: entry["value"] for name, entry in scored.items()} == pytest.approx(expected, rel=1e-6)


def test_intervals_hold_the_value_and_stay_in_bounds(scorer):
    for name, entry in scorer.score(described(rows(48, 3), silent=1), rounds=50).items():
        low, high = BOUNDS[name]
        assert low <= entry["low"] <= entry["high"] <= high, name
        if name in ("diversity", "nearest_train", "silent"):
            assert entry["low"] <= entry["value"] <= entry["high"], name


def test_a_set_of_clips_is_scored_alike_each_time(scorer):
    clips = described(rows(40, 4))
    assert scorer.score(clips, rounds=10, seed=3) == scorer.score(clips, rounds=10, seed=3)
    assert scorer.score(clips, rounds=10, seed=3) != scorer.score(clips, rounds=10, seed=4)


def test_copies_of_training_clips_and_one_clip_repeated_show(scorer):
    copies = scorer.score(described(rows(80, 1)[:40]), rounds=10)
    assert copies["nearest_train"]["value"] == pytest.approx(0, abs=1e-6)
    one = scorer.score(described(np.repeat(rows(1, 9), 40, axis=0)), rounds=10)
    assert one["diversity"]["value"] == pytest.approx(0, abs=1e-6)


def test_without_training_clips_copying_is_not_measured():
    scored = Scorer(rows(64, 0)).score(described(rows(40, 2)), rounds=10)
    assert scored.keys() == BOUNDS.keys() - {"nearest_train"}


@pytest.mark.parametrize("with_train", [False, True])
def test_a_bootstrap_draw_is_the_set_of_those_rows(with_train):
    scorer = Scorer(rows(64, 0), rows(80, 1) if with_train else None)
    clips, drawn = rows(20, 2), np.random.default_rng(0).integers(0, 20, 20)
    of_all = scorer._figures(scorer._measured(described(clips, silent=5)).take(drawn))
    alone = scorer._figures(scorer._measured(Described(clips[drawn], drawn < 5, drawn < 0)))
    assert of_all == pytest.approx(alone, rel=1e-6, abs=1e-9)
