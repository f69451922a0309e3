"""Estimated tempos against known ones."""

import numpy as np
import pytest

from kinds.audio.preparing.demo_music import demo_labels, demo_song
from kinds.audio.preparing.tempo import estimate_tempo

RATE = 24_000


def clicks(tempo, seconds, rate=RATE):
    """Short decaying tones, every fourth one louder."""
    wav = np.zeros(round(seconds * rate))
    time = np.arange(rate // 10) / rate
    click = np.exp(-time / 0.02) * np.sin(2 * np.pi * 1000 * time)
    for beat in range(int((seconds - 0.1) * tempo / 60)):
        start = round(beat * 60 / tempo * rate)
        wav[start : start + len(click)] += click * (1.0 if beat % 4 == 0 else 0.7)
    return wav.astype(np.float32)


@pytest.mark.parametrize("rate", [8000, 24_000, 44_100])
@pytest.mark.parametrize("tempo", [70.0, 93.7, 120.0, 141.3])
def test_clicks_are_counted_exactly(tempo, rate):
    assert estimate_tempo(clicks(tempo, 20.0, rate), rate) == pytest.approx(tempo, rel=1e-3)


def test_level_and_length_do_not_matter():
    wav = clicks(100.0, 10.0)
    for heard in (0.01 * wav, wav[: 5 * RATE], np.tile(wav, 20)):
        assert estimate_tempo(heard, RATE) == pytest.approx(100.0, rel=5e-3)


def test_demo_songs():
    """Nine in ten; the others are off by a simple ratio."""
    seeds = range(20)
    ratios = [estimate_tempo(demo_song(s, 16.0), RATE) / float(demo_labels(s, 16.0)["tempo"]) for s in seeds]
    assert sum(abs(ratio - 1.0) < 2e-3 for ratio in ratios) >= 16
    assert all(min(abs(ratio / r - 1.0) for r in (1.0, 2.0, 4 / 3, 1.5, 0.5, 0.75)) < 5e-3 for ratio in ratios)


@pytest.mark.parametrize("seed", range(3))
def test_what_has_no_beat_has_no_tempo(seed):
    rng, time = np.random.default_rng(seed), np.arange(20 * RATE) / RATE
    for wav in (0.1 * rng.standard_normal(20 * RATE), 0.3 * np.sin(2 * np.pi * 110 * (seed + 1) * time), 0.0 * time):
        assert estimate_tempo(wav.astype(np.float32), RATE) is None
    assert estimate_tempo(clicks(120.0, 3.9), RATE) is None
    assert estimate_tempo(np.zeros(0, np.float32), RATE) is None
