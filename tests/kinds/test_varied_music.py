"""Varied demo music: deterministic, finite, of many levels and timbres, with a soundfont and without."""

import functools

import numpy as np
import pytest
from soundfonts import SOUNDFONT, needs_soundfont

from kinds.audio.files import rms_dbfs
from kinds.audio.preparing.demo_music import demo_song
from kinds.audio.preparing.varied_finish import CEILING, limited, tilted
from kinds.audio.preparing.varied_lines import CURVE_RATE, MAX_BEND, choose_frame, write_drums, write_line
from kinds.audio.preparing.varied_music import SHARES, SYNTHETIC_SHARES, Varied, song_kind, varied_song
from kinds.audio.preparing.varied_sounds import MAKERS, wind

RATE = 24_000
PLAYED = [None, pytest.param(SOUNDFONT, marks=needs_soundfont)]


@functools.cache
def songs_of(soundfont):
    return [varied_song(seed, 4.0, RATE, soundfont) for seed in range(40)]


def centroid(wav):
    power = np.abs(np.fft.rfft(wav)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(wav), 1 / RATE)) / np.sum(power))


@pytest.mark.parametrize("soundfont", PLAYED)
def test_the_seed_decides_everything_in_any_order(soundfont):
    first = [varied_song(seed, 2.0, RATE, soundfont) for seed in range(8)]
    for seed in (7, 2, 5, 0):
        np.testing.assert_array_equal(varied_song(seed, 2.0, RATE, soundfont), first[seed])
    assert all(np.abs(a - b).max() > 0.001 for a, b in zip(first, first[1:], strict=False))


@needs_soundfont
@pytest.mark.parametrize("kind", SHARES)
def test_every_kind_is_heard_and_repeats(kind):
    song = varied_song(5, 3.0, RATE, SOUNDFONT, kind)
    np.testing.assert_array_equal(varied_song(5, 3.0, RATE, SOUNDFONT, kind), song)
    assert rms_dbfs(song) > -80


@pytest.mark.parametrize("soundfont", PLAYED)
@pytest.mark.parametrize("seconds, rate", [(0.001, RATE), (0.3, RATE), (1.2345, RATE), (1.0, 44_100)])
def test_length_is_exact(seconds, rate, soundfont):
    for seed in range(3):
        wav = varied_song(seed, seconds, rate, soundfont)
        assert wav.shape == (round(seconds * rate),) and wav.dtype == np.float32 and np.isfinite(wav).all()


@pytest.mark.parametrize("soundfont", PLAYED)
def test_levels(soundfont):
    peaks = np.array([np.abs(wav).max() for wav in songs_of(soundfont)])
    assert all(np.isfinite(wav).all() for wav in songs_of(soundfont))
    assert peaks.max() <= CEILING and peaks.min() > 10 ** (-51 / 20)
    levels = np.array([rms_dbfs(wav) for wav in songs_of(soundfont)])
    assert 0.5 < np.mean((levels > -21) & (levels < -11)) < 1.0
    assert 0.03 < np.mean(levels < -25) < 0.5


@pytest.mark.parametrize("soundfont", PLAYED)
def test_more_varied_than_the_demo_songs(soundfont):
    usual = np.log([centroid(demo_song(seed, 4.0)) for seed in range(20)])
    varied = np.log([centroid(wav) for wav in songs_of(soundfont)])
    assert varied.std() > 1.3 * usual.std()


def test_kinds_come_in_the_shares_that_are_stated():
    kinds = [song_kind(seed, soundfont=True) for seed in range(2000)]
    for kind, share in SHARES.items():
        assert kinds.count(kind) / 2000 == pytest.approx(share, abs=0.03)
    assert {song_kind(seed, soundfont=False) for seed in range(50)} == {"synthetic"}
    assert sum(SHARES.values()) == pytest.approx(1.0) and sum(SYNTHETIC_SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("arguments", [(0.0, RATE), (1.0, 0), (1.0, RATE, None, "loud"), (1.0, RATE, None, "free")])
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match="takes|take"):
        varied_song(0, *arguments)


def test_lines_stay_in_compass_scale_and_time():
    paces = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        frame = choose_frame(rng)
        line = write_line(rng, 20.0, frame, 48, 84)
        assert line.tones and all(48 <= tone.pitch <= 84 and 0 <= tone.start < 20 for tone in line.tones)
        assert all(0 < tone.velocity <= 1 and tone.seconds > 0 for tone in line.tones)
        assert all(tone.pitch % 12 in frame.classes for tone in line.tones)
        if line.bend is not None:
            assert len(line.bend) == 20 * CURVE_RATE + 1 and np.abs(line.bend).max() <= MAX_BEND
        paces.append(len(line.tones) / 20.0)
    assert min(paces) < 0.4 and max(paces) > 5.0


def test_drums_are_general_midi_drums():
    for seed in range(20):
        tones = write_drums(np.random.default_rng(seed), 8.0).tones
        assert tones and all(35 <= tone.pitch <= 81 and tone.start < 8.0 for tone in tones)


@pytest.mark.parametrize("name", MAKERS)
def test_instruments_are_in_tune_over_their_compass(name):
    maker, low, high = MAKERS[name]
    for pitch in (low, 60, high):
        hertz = 440.0 * 2 ** ((pitch - 69) / 12)
        rng = np.random.default_rng(pitch)
        sound = maker(rng)(np.full(2 * RATE, hertz), RATE, RATE, rng)
        assert sound.shape == (2 * RATE,) and sound.dtype == np.float32 and 0.5 < np.abs(sound).max() <= 1.0001
        spectrum = np.abs(np.fft.rfft(sound[2400 : 2400 + RATE] * np.hanning(RATE), 8 * RATE))
        near = slice(int(8 * hertz * 0.95), int(8 * hertz * 1.05) + 2)
        found = (near.start + np.argmax(spectrum[near])) / 8
        assert 1200 * abs(np.log2(found / hertz)) < 12
    assert rms_dbfs(sound[-RATE // 4 :]) < -20


def test_wind_swells():
    wav = wind(8.0, RATE, np.random.default_rng(1))
    loudness = [rms_dbfs(piece) for piece in wav.reshape(80, -1)]
    assert wav.shape == (8 * RATE,) and max(loudness) - min(loudness) > 6


def test_the_limiter_keeps_to_the_ceiling_and_leaves_the_rest():
    wav = 0.5 * np.sin(np.arange(RATE) * 0.05)
    np.testing.assert_array_equal(limited(wav, RATE), wav)
    wav[12_000] = 3.0
    out = limited(wav, RATE)
    assert np.abs(out).max() <= CEILING
    np.testing.assert_array_equal(out[:11_000], wav[:11_000])


def test_tilt_is_decibels_per_octave():
    time = np.arange(RATE) / RATE
    for hertz, gain in ((1000, 0), (2000, 3), (500, -3), (8000, 9)):
        wav = np.sin(2 * np.pi * hertz * time)
        assert rms_dbfs(tilted(wav, 3.0, RATE)) - rms_dbfs(wav) == pytest.approx(gain, abs=0.01)


def test_the_identity_holds_everything_that_the_samples_depend_on():
    texts = {
        Varied(path, digest).identity(seed, 2.0)
        for path, digest in ((None, ""), ("a", "1"), ("a", "2"))
        for seed in (1, 2)
    }
    assert len(texts) == 6
    assert Varied("a", "1").identity(1, 2.0) == Varied("b", "1").identity(1, 2.0)
