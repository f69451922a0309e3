"""Descriptors of sounds whose description is known."""

import numpy as np
import pytest
import torch

from kinds.audio.features import (
    FEATURE_NAMES,
    LONG_FRAME,
    MIN_SAMPLES,
    SAMPLE_RATE,
    chroma_filters,
    clip_features,
    mel_filters,
)

SECONDS = 4
TIME_N = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE


def described(*clips):
    rows = clip_features(np.stack(clips).astype(np.float32))
    return [dict(zip(FEATURE_NAMES, row, strict=True)) for row in rows]


def tone(hz=440.0, harmonics=1):
    return sum(np.sin(2 * np.pi * hz * h * TIME_N) / h for h in range(1, harmonics + 1))


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal(len(TIME_N))


def clicks(per_second):
    wav = 1e-3 * noise()
    for start in np.arange(0.1, SECONDS - 0.1, 1 / per_second):
        at = int(start * SAMPLE_RATE)
        wav[at : at + 1200] += noise(1)[:1200] * np.exp(-np.arange(1200) / 200)
    return wav


def test_there_are_as_many_values_as_names_and_all_are_finite():
    features = clip_features(np.stack([tone(), noise(), clicks(2), np.zeros_like(TIME_N)]).astype(np.float32))
    assert features.shape == (4, len(FEATURE_NAMES)) and features.dtype == np.float64
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)
    assert np.isfinite(features).all()


@pytest.mark.parametrize("gain", [0.01, 3.0])
def test_level_does_not_matter(gain):
    clips = np.stack([tone(harmonics=5), noise(), clicks(3)]).astype(np.float32)
    np.testing.assert_allclose(clip_features(gain * clips), clip_features(clips), atol=2e-3)


def test_a_clip_does_not_depend_on_its_batch():
    clips = np.stack([tone(), noise(), clicks(3)]).astype(np.float32)
    np.testing.assert_allclose(clip_features(clips)[1:2], clip_features(clips[1:2]), atol=1e-4)
    np.testing.assert_allclose(clip_features(clips, batch=2), clip_features(torch.as_tensor(clips)), atol=1e-4)


def test_noise_is_flat_and_a_tone_is_not():
    pure, white = described(tone(1000.0), noise())
    for octave in range(6):
        # The bins' power is exponentially distributed: log of the geometric mean is -gamma, -2.51 dB.
        assert white[f"peak_flat{octave}"] == pytest.approx(-2.51, abs=0.4)
    assert pure["peak_flat2"] < -30  # 750-1500 Hz
    assert pure["peak_crest2"] > white["peak_crest2"] + 5


def test_chroma_is_concentrated_for_a_tone_and_even_for_noise():
    pure, white = described(tone(440.0), noise())
    assert pure["chroma_clip"] > 0.6 and white["chroma_clip"] < 0.02
    assert pure["chroma_change_1s"] < 0.01 < white["chroma_change_1s"]


def test_chroma_changes_when_the_note_does():
    melody = np.where((TIME_N * 2).astype(int) % 2 == 0, tone(440.0), tone(440.0 * 2 ** (5 / 12)))
    held, moving = described(tone(440.0), melody)
    assert moving["chroma_change_quarter_s"] > held["chroma_change_quarter_s"] + 0.2
    assert moving["chroma_frame"] > 0.75 and moving["chroma_clip"] < 1 - np.log(2) / np.log(12)


def test_pitch_class_transform_does_not_depend_on_the_key():
    chord = tone(440.0) + tone(440.0 * 2 ** (4 / 12)) + tone(440.0 * 2 ** (7 / 12))
    higher = sum(tone(440.0 * 2 ** ((3 + step) / 12)) for step in (0, 4, 7))
    low, high = described(chord, higher)
    for j in range(1, 7):
        assert low[f"chroma_dft{j}"] == pytest.approx(high[f"chroma_dft{j}"], abs=0.06)
    # Major triad, three equal pitch classes 0, 4, 7: |1 + e(-4j/12) + e(-7j/12)| / 3, here for thirds and fifths.
    ideal = [abs(1 + np.exp(-2j * np.pi * 4 * j / 12) + np.exp(-2j * np.pi * 7 * j / 12)) / 3 for j in (3, 5)]
    assert [low["chroma_dft3"], low["chroma_dft5"]] == pytest.approx(ideal, rel=0.35)


def test_a_chroma_filter_peaks_at_its_pitch():
    hz = np.fft.rfftfreq(LONG_FRAME, 1 / SAMPLE_RATE)
    a_440 = chroma_filters()[:, np.argmin(abs(hz - 440))]
    assert a_440.argmax() == 9 and a_440.max() > 0.9  # C = 0, A = 9


@pytest.mark.parametrize("per_second", [2, 4])
def test_onset_rate_of_a_click_train(per_second):
    (train,) = described(clicks(per_second))
    assert train["onset_rate"] == pytest.approx(per_second, rel=0.1)


def test_a_click_train_pulses_and_noise_does_not():
    train, white = described(clicks(4), noise())
    assert train["onset_pulse"] > 0.7 and white["onset_pulse"] < 0.3
    assert train["onset_top_share"] > 0.5 > white["onset_top_share"]


def test_modulation_shows_at_its_rate():
    wobble = noise() * (1 + 0.9 * np.sin(2 * np.pi * 3 * TIME_N))
    still, moving = described(noise(), wobble)
    rise = {band: moving[f"mod_group2_{band}hz"] - still[f"mod_group2_{band}hz"] for band in ("0.5-1", "2-4", "8-16")}
    assert rise["2-4"] > 15 and rise["2-4"] > rise["0.5-1"] + 10 and rise["2-4"] > rise["8-16"] + 10


def test_harmonicity_and_persistence():
    voice, white = described(tone(220.0, harmonics=8), noise())
    assert voice["harm_mean"] > 0.9 and white["harm_mean"] < 0.3
    assert voice["harm_persistence0"] > 0.8 and abs(white["harm_persistence0"]) < 0.1


def test_dynamics():
    pure, gapped = described(tone(), np.where(TIME_N % 1 < 0.5, tone(), 0))
    assert pure["dyn_std"] < 0.1 and pure["dyn_rests"] == 0
    assert pure["dyn_peak_factor"] == pytest.approx(20 * np.log10(np.sqrt(2)), abs=0.05)
    assert 0.35 < gapped["dyn_rests"] < 0.5 and gapped["dyn_range"] > 40


def test_every_frequency_falls_into_a_mel_band():
    filters = mel_filters(20, 2048)
    hz = np.fft.rfftfreq(2048, 1 / SAMPLE_RATE)
    inside = (hz > 150) & (hz < 10000)
    assert (filters.sum(0)[torch.from_numpy(inside)] > 0.99).all()
    assert (filters.max(1).values > 0.5).all()


def test_short_and_broken_clips_are_refused():
    with pytest.raises(ValueError, match="N >= 48000"):
        clip_features(np.zeros((1, MIN_SAMPLES - 1), np.float32))
    with pytest.raises(ValueError, match="NaN"):
        clip_features(np.full((1, MIN_SAMPLES), np.nan, np.float32))
