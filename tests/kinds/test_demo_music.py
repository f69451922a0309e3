"""Demo music: deterministic, tonal, rhythmic, varied."""

import functools

import numpy as np
import pytest

from kinds.audio.files import rms_dbfs
from kinds.audio.preparing.demo_music import MODES, PROGRESSIONS, compose, demo_song

SEEDS = range(4)


@functools.cache
def song_of(seed):
    return demo_song(seed, 8.0)


def spectrogram(wav):
    frames = np.lib.stride_tricks.sliding_window_view(wav, 4096)[::1024]
    return np.abs(np.fft.rfft(frames * np.hanning(4096), axis=1))


def test_the_seed_decides_everything():
    np.testing.assert_array_equal(demo_song(3, 2.0), demo_song(3, 2.0))
    assert np.abs(song_of(2) - song_of(3)).max() > 0.1


@pytest.mark.parametrize("seconds, rate", [(0.01, 24_000), (1.2345, 24_000), (2.0, 44_100)])
def test_length_is_exact(seconds, rate):
    wav = demo_song(1, seconds, rate)
    assert wav.shape == (round(seconds * rate),) and wav.dtype == np.float32


@pytest.mark.parametrize("seed", SEEDS)
def test_level_and_no_silence(seed):
    wav = song_of(seed)
    assert np.isfinite(wav).all() and np.abs(wav).max() < 0.95
    assert -20 < rms_dbfs(wav) < -17
    assert min(rms_dbfs(second) for second in wav.reshape(8, -1)) > -40


@pytest.mark.parametrize("seed", SEEDS)
def test_spectra_have_lines_and_onsets(seed):
    """Noise of the same level has a crest of its spectra of about 4 and hardly any flux between its energies."""
    magnitude = spectrogram(song_of(seed))
    noise = spectrogram(np.random.default_rng(seed).standard_normal(len(song_of(seed))) * 0.1)
    crest = [np.median(m.max(axis=1) / np.sqrt(np.mean(m**2, axis=1))) for m in (magnitude, noise)]
    assert crest[0] > 3 * crest[1]
    energy = [np.log(np.sum(m**2, axis=1)) for m in (magnitude, noise)]
    assert np.diff(energy[0]).std() > 3 * np.diff(energy[1]).std()


@pytest.mark.parametrize("seed", range(12))
def test_notes_belong_to_the_key(seed):
    song = compose(np.random.default_rng(seed), 20.0)
    scale = {(song.root + step) % 12 for step in MODES[song.mode]}
    pitches = [note.pitch % 12 for note in song.notes if note.part != "drums"]
    assert len(pitches) > 20 and set(pitches) <= scale
    assert {song.verse, song.bridge} <= set(PROGRESSIONS[song.mode])


def test_songs_differ_in_every_respect():
    songs = [compose(np.random.default_rng(seed), 4.0) for seed in range(40)]
    for attribute in ("root", "mode", "drums", "kit", "comping", "form"):
        assert len({getattr(song, attribute) for song in songs}) >= 3, attribute
    assert max(song.tempo for song in songs) > 1.5 * min(song.tempo for song in songs)


def test_nothing_but_positive_lengths():
    with pytest.raises(ValueError, match="positive"):
        demo_song(0, 0.0)
