"""What the transcription network hears in sounds whose notes are known."""

import importlib.util

import numpy as np
import pytest
from note_sounds import CHORD, SAMPLE_RATE, SCALE, chord, note, scale

from errors import UserError
from kinds.audio import note_features, notes
from kinds.audio.notes import FRAMES_PER_S, LOWEST_MIDI

heard = pytest.mark.skipif(notes.missing() is not None, reason=str(notes.missing()))


def hear(*clips):
    audio_BN = np.stack(clips).astype(np.float32)
    return notes.map_posteriors(lambda note_TP, onset_TP: notes.find_notes(note_TP), audio_BN)


def described(*clips):
    rows = note_features.note_features(np.stack(clips).astype(np.float32))
    return [dict(zip(note_features.FEATURE_NAMES, row, strict=True)) for row in rows]


@heard
def test_a_held_chord_is_one_note_per_tone_of_its_length():
    (found,) = hear(chord(seconds=3.0, start=0.5))
    assert sorted(found.pitch + LOWEST_MIDI) == list(CHORD)
    np.testing.assert_allclose(found.seconds, 3.0, atol=0.15)
    np.testing.assert_allclose(found.start / FRAMES_PER_S, 0.5, atol=0.05)


@heard
def test_a_scale_is_as_many_notes_one_after_the_other():
    (found,) = hear(scale())
    order = np.argsort(found.start)
    assert list(found.pitch[order] + LOWEST_MIDI) == list(SCALE)
    np.testing.assert_allclose(found.seconds, 0.45, atol=0.1)
    np.testing.assert_allclose(found.start[order] / FRAMES_PER_S, 0.2 + 0.45 * np.arange(8), atol=0.05)


@heard
def test_silence_is_no_note():
    (found,) = hear(np.zeros(4 * SAMPLE_RATE))
    assert len(found.pitch) == 0


@heard
def test_a_note_over_the_seams_of_windows_is_one_note():
    (found,) = hear(note(69, 8.6, 0.2, total=9.0))
    assert list(found.pitch + LOWEST_MIDI) == [69] and found.seconds[0] == pytest.approx(8.6, abs=0.3)


@heard
def test_features_of_a_chord_a_scale_and_silence():
    held, tune, silent = described(chord(), scale(), np.zeros(4 * SAMPLE_RATE))
    assert held["notes_per_s"] == pytest.approx(1, abs=0.02) and tune["notes_per_s"] == pytest.approx(2, abs=0.02)
    assert silent["notes_per_s"] == silent["length_mean"] == silent["polyphony_mean"] == 0
    assert held["polyphony_mean"] == pytest.approx(3, abs=0.15) and tune["polyphony_mean"] < 1.1
    assert silent["polyphony_silence"] == 1 and held["polyphony_silence"] == pytest.approx(0.25, abs=0.05)
    assert tune["class_change_quarter_s"] > 0.3 > 0.1 > held["class_change_quarter_s"]
    assert held["pitch_mean"] == pytest.approx(np.mean(CHORD), abs=1)
    assert held["pitch_range"] == pytest.approx(10, abs=1) and tune["pitch_range"] == pytest.approx(12, abs=1)


@heard
@pytest.mark.parametrize("gain", [0.003, 5.0])
def test_level_matters_little(gain):
    clips = [chord(), scale()]
    for one, other in zip(described(*clips), described(*(gain * clip for clip in clips)), strict=True):
        for name, value in one.items():
            assert other[name] == pytest.approx(value, abs=1e-3), name


@heard
def test_a_clip_heard_before_is_not_heard_again(monkeypatch):
    clips = np.stack([chord(), scale(), chord()]).astype(np.float32)
    first = note_features.note_features(clips)
    monkeypatch.setattr(note_features, "map_posteriors", lambda function, new: [] if not new else pytest.fail("again"))
    np.testing.assert_array_equal(note_features.note_features(clips[::-1]), first[::-1])


@heard
def test_clips_must_be_finite():
    with pytest.raises(ValueError, match="NaN"):
        note_features.note_features(np.full((1, 48_000), np.nan, np.float32))


def test_missing_packages_are_named_with_how_to_install_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    notes.open_network.cache_clear()
    with pytest.raises(UserError) as error:
        notes.open_network()
    assert str(error.value).startswith("the notes ruler needs onnxruntime and basic-pitch: pip install")
    assert "\n" not in str(error.value) and "--no-deps basic-pitch==0.4.0" in str(error.value)
