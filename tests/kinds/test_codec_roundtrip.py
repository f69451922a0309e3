"""python -m kinds.audio.roundtrip: distances of known size, and the table of a codec."""

import json

import numpy as np
import pytest

from audio_codecs.mel import MelCodec
from kinds.audio.files import write_wav
from kinds.audio.preparing.demo_music import demo_song
from kinds.audio.roundtrip import __main__ as program
from kinds.audio.roundtrip import distances, measuring

SAMPLE_RATE = 24_000


def clips(count=2, seconds=2):
    return np.random.default_rng(0).normal(0, 0.1, (count, seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.mark.parametrize("size", distances.RESOLUTIONS)
def test_log_spectral_distances_of_a_gain_are_that_gain(size):
    one = clips()
    np.testing.assert_allclose(distances.log_spectral_distances(one, one, size), 0, atol=1e-6)
    np.testing.assert_allclose(distances.log_spectral_distances(one, 2 * one, size), 6.02, atol=0.01)
    np.testing.assert_allclose(distances.log_spectral_distances(0 * one, 0 * one, size), 0)


@pytest.mark.skipif(distances.zimtohrli_missing() is not None, reason=str(distances.zimtohrli_missing()))
def test_the_rating_is_best_for_the_clip_itself_and_falls_with_noise():
    song = demo_song(0, 4.0, SAMPLE_RATE)[None]
    noise = np.random.default_rng(0).normal(0, 1, song.shape) * song.std()
    same, near, far = (distances.zimtohrli_ratings(song, song + gain * noise)[0] for gain in (0, 0.03, 1))
    assert same == pytest.approx(5, abs=0.01) and same > near > far >= 1


def test_halves_have_no_clip_in_common_and_no_silence():
    wavs = [np.concatenate([clips(1, 40)[0], np.zeros(20 * SAMPLE_RATE, np.float32)]), 0.5 * clips(1, 40)[0]]
    one, other = measuring.two_halves(wavs, 2.0, 18, seed=0)
    assert 16 <= len(one) == len(other) <= 18 and one.std(1).min() > 0.01
    assert not {clip.tobytes() for clip in one} & {clip.tobytes() for clip in other}


def test_a_codec_is_measured_on_recordings(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("audio_codecs.open_codec", lambda *_: MelCodec(rounds=2))
    monkeypatch.setattr(distances, "zimtohrli_missing", lambda: "the Zimtohrli rating needs the package zimtohrli")
    for seed in range(2):
        write_wav(tmp_path / f"{seed}.wav", demo_song(seed, 34.0, SAMPLE_RATE), SAMPLE_RATE)
    options = [
        *["--duration", "2", "--num", "16", "--rounds", "10", "--rulers", "clips", "--json"],
        str(tmp_path / "a.json"),
    ]
    options += ["--picture", str(tmp_path / "a.png")]
    assert program.main([str(tmp_path / "0.wav"), str(tmp_path), *options]) == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    shown = capsys.readouterr().out
    for text in ("16 clips of 2 s", "clips: gap closed", "(real 1.00)", "decoding, x real time", "frames of 4096"):
        assert text in shown
    assert shown.count("needs the package zimtohrli") == 1
    report = json.loads((tmp_path / "a.json").read_text())
    figures = report["codecs"]["mel"]
    assert figures["latents_per_s"] == 9600 and figures["decode_x_real_time"] > 0
    assert set(figures["distances"]) == {f"log_spectral_{size}_db" for size in distances.RESOLUTIONS}
    sets = figures["rulers"]["clips"]
    assert sets["real"]["gap_closed"]["value"] == 1 > sets["round_trip"]["gap_closed"]["value"] > 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "MUSIC"),
        (["{}/none.wav"], "does not exist"),
        (["{}/a.txt"], "is not an audio file"),
        (["{}/short.wav"], "too little music"),
        (["{}/short.wav", "--num", "2"], "--num 2 is not possible"),
        (["{}/short.wav", "--codec", "mp3"], "mp3"),
        (["{}/short.wav", "--rulers", "feet"], "no ruler"),
        (["{}/short.wav", "--json", "{}/none/a.json"], "its folder does not exist"),
        (["{}/short.wav", "--picture", "{}/none/a.png"], "its folder does not exist"),
        (["{}/short.wav", "--codec", "mel_slaney", "--decoder", "learned"], "--decoder learned has no effect"),
        (["{}/short.wav", "--decoder", "learnt"], "no decoder 'learnt'; give learned, griffin_lim"),
        (["{}/short.wav", "--decoder", "{}"], "cannot be used"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_exit_code_2(tmp_path, capsys, given, said):
    (tmp_path / "a.txt").write_text("no music")
    write_wav(tmp_path / "short.wav", clips(1, 4)[0], SAMPLE_RATE)
    assert program.main([argument.format(tmp_path) for argument in given]) == 2
    stderr = capsys.readouterr().err
    assert said in stderr and stderr.count("\n") == 1
