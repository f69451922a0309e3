"""prepare_dataset.py as a program: its options, what it prints, its exit codes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_clips import RATE, chirp
from soundfonts import SOUNDFONT, needs_soundfont

import prepare_dataset
from kinds.audio.files import read_audio
from kinds.audio.pairs import read_manifest
from kinds.audio.preparing.demo_music import demo_song
from runtime.files import file_digest


def test_the_demo(tmp_path, capsys):
    arguments = ["--demo", "--demo_songs", "3", "--duration", "0.5", "--workers", "1"]
    assert prepare_dataset.main([*arguments, "--output_dir", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert "8 training and 4 validation pairs of 2 x 0.5 s, split by song, codec mel." in out and err == ""
    first = read_audio(tmp_path / "out/train/pair_0000_input.wav")
    assert any(np.allclose(first, demo_song(4_200_000 + i, 2.5)[:12_000], atol=1e-4) for i in range(3))


def test_the_varied_demo_is_recorded_and_continues(tmp_path, capsys):
    arguments = ["--demo", "varied", "--demo_songs", "4", "--duration", "0.5", "--workers", "1", "--seed", "3"]
    arguments += ["--output_dir", str(tmp_path / "out")]
    assert prepare_dataset.main(arguments) == 0
    made = read_manifest(tmp_path / "out")
    assert made.options["demo"] == "varied" and made.options["soundfont"] is None
    (tmp_path / "out/train/pair_0000_input.wav").unlink()
    assert prepare_dataset.main(arguments) == 0
    assert "1 missing files were made again." in capsys.readouterr().out
    assert prepare_dataset.main([*arguments, "--demo", "songs"]) == 2
    assert "other music" in capsys.readouterr().err


@needs_soundfont
def test_a_soundfont_is_recorded(tmp_path):
    arguments = ["--demo", "varied", "--soundfont", SOUNDFONT, "--demo_songs", "4", "--duration", "0.5"]
    assert prepare_dataset.main([*arguments, "--workers", "2", "--output_dir", str(tmp_path / "out")]) == 0
    name, digest = read_manifest(tmp_path / "out").options["soundfont"].rsplit(" ", 1)
    assert name == Path(SOUNDFONT).name and digest == file_digest(Path(SOUNDFONT))


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "--input_dir"),
        (["--demo", "--input_dir", "."], "not both"),
        (["--input_dir", "/nowhere"], "/nowhere does not exist"),
        (["--demoo"], "no option --demoo; did you mean --demo?"),
        (["--demo", "loud"], "--demo loud: Input should be 'songs' or 'varied'"),
        (["--demo", "--soundfont", __file__], "--demo varied only"),
        (["--demo", "varied", "--soundfont", __file__], "pip install --no-deps tinysoundfont"),
        (["--demo", "--duration", "0"], "--duration 0.0"),
        (["--demo", "--duration", "four"], "--duration"),
        (["--demo", "--val_fraction", "1.5"], "--val_fraction 1.5"),
        (["--demo", "--workers", "0"], "--workers 0"),
        (["--demo", "--codec", "mell"], "--codec mell"),
        (["--demo", "--sample_rate", "44100"], "takes 24000 Hz"),
        (["--demo", "--codec", "encodec_24khz", "--codec_weights", "/nowhere"], "/nowhere"),
        (["--demo", "--output_dir", __file__], "is not a folder"),
        (["--demo", "--output_dir", __file__ + "/out"], "cannot be written"),
    ],
)
def test_wrong_options_are_one_sentence_and_exit_2(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert prepare_dataset.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and complaint in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nothing_usable_is_exit_2_and_leaves_nothing(tmp_path, capsys):
    (tmp_path / "music").mkdir()
    (tmp_path / "music/README.md").write_text("hello")
    soundfile.write(tmp_path / "music/short.wav", chirp(1, RATE), RATE)
    arguments = ["--input_dir", str(tmp_path / "music"), "--output_dir", str(tmp_path / "out"), "--codec", "mel"]
    assert prepare_dataset.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "Skipped 2 files: not audio (1): README.md; too short (1): short.wav (1.0 s, a pair takes 32 s).\n"
    assert "can be used" in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()
