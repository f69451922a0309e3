"""Notes and their descriptors from posteriors made by hand: no network is needed."""

import numpy as np
import pytest

from kinds.audio.note_features import FEATURE_NAMES, RAW, _described, mask_of
from kinds.audio.notes import FRAMES_PER_S, PITCHES, find_notes

FRAMES = 344


def posterior(*notes, strength=0.8):
    """Notes (pitch, first frame, frames) -> [344, 88]."""
    note_TP = np.full((FRAMES, PITCHES), 0.05, np.float32)
    for pitch, start, frames in notes:
        note_TP[start : start + frames, pitch] = strength
    return note_TP


def described(note_TP, onset_TP=None):
    groups = _described(note_TP, np.zeros_like(note_TP) if onset_TP is None else onset_TP)
    return {name: value for group in groups for name, value in group.items()}


def test_runs_over_the_threshold_are_notes_and_short_ones_are_not():
    found = find_notes(posterior((40, 0, 10), (40, 12, 3), (41, 100, 2), (87, 300, 44), strength=0.41))
    assert found.pitch.tolist() == [40, 40, 87]
    assert found.start.tolist() == [0, 12, 300] and found.end.tolist() == [10, 15, 344]
    assert len(find_notes(posterior((40, 0, 10), strength=0.4)).pitch) == 0


def test_the_mask_holds_the_notes_alone():
    mask_TP = mask_of(find_notes(posterior((3, 0, 10), (3, 20, 324), (5, 7, 2))), FRAMES)
    assert mask_TP.shape == (FRAMES, PITCHES) and mask_TP.sum() == 334 and mask_TP[:10, 3].all()


def test_names_are_unique_and_values_finite_even_without_notes():
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) and set(RAW) <= set(FEATURE_NAMES)
    for note_TP in (posterior(), posterior((0, 0, 344)), np.zeros((20, PITCHES)), np.ones((FRAMES, PITCHES))):
        values = described(note_TP.astype(np.float32))
        assert tuple(values) == FEATURE_NAMES and np.isfinite(list(values.values())).all()


def test_counts_lengths_and_voices():
    values = described(posterior((39, 0, 344), (43, 0, 172), (46, 172, 172)))
    seconds = np.array([344, 172, 172]) / FRAMES_PER_S
    assert values["notes_per_s"] == pytest.approx(3 / (FRAMES / FRAMES_PER_S))
    assert values["length_mean"] == pytest.approx(seconds.mean())
    assert values["length_std"] == pytest.approx(seconds.std())
    assert values["polyphony_mean"] == 2 and values["polyphony_std"] == 0 and values["polyphony_silence"] == 0
    assert values["strength_mean"] == pytest.approx(0.8, abs=0.02)


def test_tremolo_is_many_short_notes():
    held = described(posterior((39, 0, 344)))
    tremolo = described(posterior(*((39, start, 5) for start in range(0, 340, 8))))
    assert tremolo["notes_per_s"] > 30 * held["notes_per_s"] and tremolo["length_short"] > 0.9 > held["length_short"]


def test_pitch_class_features_do_not_depend_on_the_key():
    tune = [(39, 0, 100), (43, 80, 120), (46, 200, 144), (51, 20, 60)]
    one, other = (described(posterior(*((p + by, s, n) for p, s, n in tune))) for by in (0, 5))
    for name in FEATURE_NAMES:
        if name.startswith("class_"):
            assert one[name] == pytest.approx(other[name], abs=0.02), name
    assert other["pitch_mean"] > one["pitch_mean"] + 4


def test_a_stray_note_says_little_about_pitch():
    """Noise gives none or one: neither may look like a piece of music, nor far from the other."""
    none, one = described(posterior()), described(posterior((5, 100, 3)))
    assert abs(one["pitch_mean"] - none["pitch_mean"]) < 12
    assert one["class_clip"] < 0.15 and one["class_dft5"] < 0.3


def test_onsets_are_peaks_over_time():
    onset_TP = np.zeros((FRAMES, PITCHES), np.float32)
    for frame in (10, 100, 200):
        onset_TP[frame - 1 : frame + 2, 40] = (0.3, 0.9, 0.5)
    values = described(posterior(), onset_TP)
    assert values["onset_rate"] == pytest.approx(3 / FRAMES * FRAMES_PER_S)
    assert values["onset_top_share"] == pytest.approx(1, abs=1e-3) and values["onset_spread"] > 3
