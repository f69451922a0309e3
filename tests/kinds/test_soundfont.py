"""Playing lines with a soundfont: tuning, bends, swells, independence of what was played before, wrong files."""

import sys

import numpy as np
import pytest
from soundfonts import SOUNDFONT, needs_soundfont

from errors import UserError
from kinds.audio.preparing.soundfont import Part, check_soundfont, open_soundfont
from kinds.audio.preparing.varied_lines import Line, Tone, curve_times

RATE, FLUTE, ORGAN = 24_000, 73, 16


def player():
    return open_soundfont(SOUNDFONT, RATE)


def held(pitch=69, seconds=2.0, **curves):
    return Line((Tone(0.0, seconds, pitch, 0.8),), **curves)


def strongest_hertz(wav):
    return float(np.argmax(np.abs(np.fft.rfft(wav * np.hanning(len(wav)))))) * RATE / len(wav)


def rms(wav):
    return float(np.sqrt(np.mean(wav**2)))


@needs_soundfont
def test_length_pitch_and_end_of_a_tone():
    wav = player().play([Part(held(seconds=1.0), FLUTE)], 3.00001)
    assert wav.shape == (72_000,) and wav.dtype == np.float32
    assert strongest_hertz(wav[:RATE]) == pytest.approx(440.0, rel=0.01)
    assert rms(wav[:RATE]) > 1e-3 > 100 * rms(wav[-RATE // 2 :])


@needs_soundfont
def test_bends_are_in_semitones():
    bend = np.full(len(curve_times(2.0)), 7.0, np.float32)
    wav = player().play([Part(held(bend=bend), FLUTE)], 2.0)
    assert strongest_hertz(wav[RATE:]) == pytest.approx(440.0 * 2 ** (7 / 12), rel=0.01)


@needs_soundfont
def test_swells_and_gains_are_amplitudes():
    plain = player().play([Part(held(), ORGAN)], 2.0)
    swell = np.where(curve_times(2.0) < 1.0, 1.0, 0.25).astype(np.float32)
    wav = player().play([Part(held(swell=swell), ORGAN)], 2.0)
    np.testing.assert_array_equal(wav[: RATE - 240], plain[: RATE - 240])
    assert rms(wav[25_000:46_000]) == pytest.approx(0.25 * rms(plain[25_000:46_000]), rel=0.1)
    half = player().play([Part(held(), ORGAN, gain=0.5)], 2.0)
    assert rms(half) == pytest.approx(0.5 * rms(plain), rel=0.1)


@needs_soundfont
def test_nothing_is_left_of_what_was_played_before():
    drums = Part(Line(tuple(Tone(0.1 * i, 0.1, 36 + i, 0.9) for i in range(10))), player().kits[0], drums=True)
    parts = [Part(held(), FLUTE), Part(held(60), 48), drums]
    before = player().play(parts, 1.0)
    bent = held(40, 9.0, bend=np.full(901, -5.0, np.float32), swell=np.full(901, 0.1, np.float32))
    player().play([Part(bent, program, gain=0.1) for program in range(15)], 1.0)
    np.testing.assert_array_equal(player().play(parts, 1.0), before)


@needs_soundfont
def test_general_midi_is_there():
    assert set(range(120)) <= set(player().programs) and len(player().kits) > 0


def test_the_file_must_be_a_soundfont(tmp_path):
    pytest.importorskip("tinysoundfont")
    fake = tmp_path / "fake.sf2"
    fake.write_bytes(b"RIFF\x40\x00\x00\x00sfbkLIST" + bytes(64))
    for path in (fake, tmp_path / "missing.sf2", tmp_path):
        with pytest.raises(UserError, match=r"is no soundfont .*--no-deps tinysoundfont.*fluid-soundfont-gm"):
            check_soundfont(str(path))


def test_without_the_package_one_sentence_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinysoundfont", None)
    with pytest.raises(UserError, match="pip install --no-deps tinysoundfont") as error:
        check_soundfont("any.sf2")
    assert "\n" not in str(error.value)
