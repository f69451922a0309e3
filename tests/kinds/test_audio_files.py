"""Audio files in and out, against numpy and against closed forms of tones."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kinds.audio.errors import AudioError
from kinds.audio.files import peak_scale, probe, read_audio, rms_dbfs, write_wav


def tone(hertz, seconds, rate, level=0.5):
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def loudest_hertz(wav, rate):
    return np.argmax(np.abs(np.fft.rfft(wav * np.hanning(len(wav))))) * rate / len(wav)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize("rate", [44_100, 24_000])
def test_every_format_keeps_a_tone_and_its_length(tmp_path, suffix, rate):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([tone(1000, 2, rate), tone(1000, 2, rate, 0.25)], axis=1), rate)
    wav = read_audio(path)
    assert wav.dtype == np.float32 and wav.ndim == 1
    assert abs(len(wav) - 48_000) <= (2500 if suffix == "mp3" else 1)
    middle = wav[12_000:36_000]
    assert abs(loudest_hertz(middle, 24_000) - 1000) <= 1
    assert rms_dbfs(middle) == pytest.approx(20 * np.log10(0.375 / np.sqrt(2)), abs=0.1)  # the mean of the channels


def test_resampling_lets_nothing_alias(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(15_000, 1, 44_100), 44_100)
    assert rms_dbfs(read_audio(tmp_path / "a.wav")[2000:-2000]) < -80


def test_reading_in_blocks_is_reading_as_a_whole(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 50_000)
    soundfile.write(tmp_path / "a.wav", noise, 44_100)
    whole = read_audio(tmp_path / "a.wav")
    monkeypatch.setattr("kinds.audio.decoding.BLOCK_FRAMES", 7000)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), whole, atol=1e-6)


def test_write_then_read_is_exact_to_half_a_step(tmp_path):
    wav = np.random.default_rng(0).uniform(-0.9, 0.9, 5000).astype(np.float32)
    write_wav(tmp_path / "a.wav", wav)
    assert probe(tmp_path / "a.wav").subtype == "PCM_16" and probe(tmp_path / "a.wav").frames == 5000
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav") * 32768, wav * 32767, atol=0.51)


@given(st.floats(0.01, 50.0))
@settings(max_examples=25, deadline=None)
def test_peaks_are_scaled_down_and_never_up(level):
    wav = tone(300, 0.1, 24_000, level)
    assert np.abs(wav * peak_scale(wav)).max() <= 0.9991
    assert peak_scale(wav) == 1.0 or level > 0.99


def test_a_loud_signal_is_scaled_not_clipped(tmp_path):
    write_wav(tmp_path / "a.wav", tone(300, 0.5, 24_000, 3.0))
    wav = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(wav, tone(300, 0.5, 24_000, 0.999), atol=1e-3)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    write_wav(tmp_path / "a.wav", tone(300, 0.1, 24_000))
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(ValueError, match="NaN"):
        write_wav(tmp_path / "a.wav", np.array([np.nan]))
    with pytest.raises(ValueError, match="one channel"):
        write_wav(tmp_path / "a.wav", np.zeros((2, 5)))
    assert (tmp_path / "a.wav").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "make, reason",
    [
        (lambda path: path.write_text("hello"), "not audio"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.mkdir(), "unreadable|not audio"),
        (lambda path: None, "unreadable"),
        (lambda path: soundfile.write(path, np.zeros(0), 24_000), "empty"),
        (lambda path: soundfile.write(path, np.full(99, np.nan), 24_000, "FLOAT"), "NaN"),
        (lambda path: soundfile.write(path, np.full(99, np.inf), 24_000, "FLOAT"), "infinite"),
    ],
)
def test_what_is_not_audio_says_why(tmp_path, make, reason):
    make(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=reason) as caught:
        read_audio(tmp_path / "a.wav")
    assert len(str(caught.value).splitlines()) == 1
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason


@given(st.binary(max_size=300), st.integers(0, 44))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_audio_or_an_audio_error(tmp_path_factory, garbage, kept):
    folder = tmp_path_factory.getbasetemp()
    whole = folder / "whole.wav"
    if not whole.exists():
        soundfile.write(whole, tone(300, 0.1, 24_000), 24_000)
    path = folder / "fuzzed.wav"
    path.write_bytes(whole.read_bytes()[:kept] + garbage)
    try:
        assert np.isfinite(read_audio(path)).all()
    except AudioError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("subtype, bits", [("PCM_U8", 8), ("PCM_16", 16), ("PCM_24", 24), ("FLOAT", 32), ("ULAW", 8)])
def test_probe_knows_the_resolution(tmp_path, subtype, bits):
    soundfile.write(tmp_path / "a.wav", tone(300, 0.1, 24_000), 24_000, subtype)
    assert probe(tmp_path / "a.wav").bits == bits


def test_no_torch_is_imported():
    modules = "kinds.audio.files, kinds.audio.preparing.songs, kinds.audio.pairs"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
