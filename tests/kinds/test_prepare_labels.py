"""prepare_dataset.py --labels: folders, tags, tempos and tables become labels of pairs."""

import shutil
import sys

import numpy as np
import pytest
import soundfile
from data_clips import RATE, chirp

import prepare_dataset
from kinds.audio.files import read_audio
from kinds.audio.label_table import LabelTable, read_table
from kinds.audio.latent_pairs import open_pairs
from kinds.audio.pairs import SongOrigin, read_manifest
from kinds.audio.preparing.demo_music import MODES, demo_labels, demo_song
from kinds.audio.preparing.labels import joined, pair_names
from kinds.audio.preparing.varied_music import song_kind


@pytest.fixture
def music(tmp_path):
    """Four songs of three pairs each: one in the folder itself, two in "jazz", one in "jazz/old one"."""
    folder = tmp_path / "music"
    for seed, name in enumerate(["a.wav", "jazz/b.flac", "jazz/c.ogg", "jazz/old  one/d.wav"]):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        wav = np.concatenate([chirp(100 * seed + i, RATE // 10) for i in range(20)])
        soundfile.write(folder / name, wav, RATE)
    return folder


def run(*arguments):
    return prepare_dataset.main([*map(str, arguments), "--duration", "0.5", "--codec", "mel", "--workers", "1"])


def by_file(out, column):
    """The text of a label for each song; all its pairs have the same one."""
    table = read_table(out / "labels.csv", "pair")
    found = {}
    for origin in map(SongOrigin.parse, read_manifest(out).songs):
        texts = set(table.column(column, pair_names(origin)))
        assert len(texts) == 1 and set(pair_names(origin)) <= set(table.rows)
        found[origin.file] = texts.pop()
    return found


def test_folders(music, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--input_dir", music, "--output_dir", out, "--labels", "folder") == 0
    expected = {"a.wav": "", "jazz/b.flac": "jazz", "jazz/c.ogg": "jazz", "jazz/old  one/d.wav": "jazz/old one"}
    assert by_file(out, "folder") == expected
    assert "Pairs with labels: folder 9." in capsys.readouterr().out
    assert read_manifest(out).options["labels"] == "folder"
    train, val = open_pairs(out)
    assert len(train) + len(val) == 12 and set(train.labels(0)) == {"folder"}


def test_a_table_and_folders(music, tmp_path, capsys):
    (tmp_path / "songs.csv").write_text(
        "\ufefffile;folder;mood\n.\\jazz\\b.flac;;calm\na.wav;root;\n"
        f"{music}/jazz/c.ogg;x;wild\nnowhere.wav;;calm\nold.ogg;;\n"
    )
    out = tmp_path / "out"
    assert run("--input_dir", music, "--output_dir", out, "--labels", f"folder,{tmp_path}/songs.csv") == 0
    assert by_file(out, "mood") == {"a.wav": "", "jazz/b.flac": "calm", "jazz/c.ogg": "wild", "jazz/old  one/d.wav": ""}
    assert by_file(out, "folder")["a.wav"] == "root" and by_file(out, "folder")["jazz/c.ogg"] == "jazz"
    printed = capsys.readouterr().out
    assert "songs.csv names 2 files that are not there: nowhere.wav, old.ogg." in printed
    assert "Pairs with labels: folder 12, mood 6." in printed


def test_running_again_continues_and_other_labels_are_another_dataset(music, tmp_path, capsys):
    out, table = tmp_path / "out", tmp_path / "songs.csv"
    table.write_text("file,mood\na.wav,calm\n")
    usual = ["--input_dir", music, "--output_dir", out]
    assert run(*usual, "--labels", table) == 0
    first = (out / "labels.csv").read_bytes()
    (out / "labels.csv").unlink()
    assert run(*usual, "--labels", table) == 0
    assert (out / "labels.csv").read_bytes() == first
    assert "The missing labels.csv was made." in capsys.readouterr().out
    assert run(*usual, "--labels", table) == 0
    assert "complete already" in capsys.readouterr().out
    for other in ([], ["--labels", "folder"]):
        assert run(*usual, *other) == 2
        assert "labels songs.csv" in capsys.readouterr().err
    table.write_text("file,mood\na.wav,wild\n")
    assert run(*usual, "--labels", table) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(*usual, "--labels", table, "--overwrite") == 0
    assert by_file(out, "mood")["a.wav"] == "wild"
    assert run(*usual, "--overwrite") == 0
    assert not (out / "labels.csv").exists() and "labels" not in read_manifest(out).options


def test_a_file_made_by_hand_stays(music, tmp_path):
    out = tmp_path / "out"
    assert run("--input_dir", music, "--output_dir", out) == 0
    (out / "labels.csv").write_text("pair,genre\ntrain/pair_0000,jazz\n")
    (out / "train/pair_0000_input.wav").unlink()
    assert run("--input_dir", music, "--output_dir", out) == 0
    assert open_pairs(out)[0].labels(0) == {"genre": 0.0}


@pytest.mark.parametrize(
    "labels, complaint",
    [
        ("foldr", "there is no file foldr (did you mean folder?)."),
        ("nowhere.csv", "there is no file nowhere.csv (and folder, tags, tempo are known)"),
        ("folder,,tags", "joined by commas"),
        ("", "joined by commas"),
        ("folder,folder", "given once"),
        ("{music}", "there is no file"),
        ("{tmp}/none.csv", "names none of the music files"),
        ("{tmp}/twice.csv", "there twice"),
        ("{tmp}/two_ways.csv", "there twice"),
        ("{tmp}/pair.csv", "no column 'file'"),
        ("{tmp}/out/labels.csv", "keep the labels of the songs elsewhere"),
        ("{music}/a.wav", "not text in UTF-8"),
    ],
)
def test_wrong_labels_are_one_sentence_and_exit_2(music, tmp_path, capsys, labels, complaint):
    (tmp_path / "none.csv").write_text("file,mood\nx.wav,calm\n")
    (tmp_path / "twice.csv").write_text("file,mood\na.wav,calm\na.wav,wild\n")
    (tmp_path / "two_ways.csv").write_text("file,mood\na.wav,calm\n./a.wav,wild\n")
    (tmp_path / "pair.csv").write_text("pair,mood\na.wav,calm\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/labels.csv").write_text("file,mood\na.wav,calm\n")
    labels = labels.format(music=music, tmp=tmp_path)
    assert run("--input_dir", music, "--output_dir", tmp_path / "out", "--labels", labels) == 2
    printed, complaints = capsys.readouterr()
    assert printed == "" and complaint in complaints and complaints.count("\n") == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labels.csv"]


def test_tags_need_their_reader(music, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tinytag", None)
    assert run("--input_dir", music, "--output_dir", tmp_path / "out", "--labels", "tags") == 2
    assert "pip install tinytag" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tempos_of_songs(tmp_path):
    """Of songs of which one is held out, and of a single one that is split in time."""
    for seed in (5, 6):
        (tmp_path / "music").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"music/{seed}.wav", demo_song(seed, 12.0), RATE)
    out = tmp_path / "out"
    arguments = ["--output_dir", out, "--labels", "tempo"]
    assert run("--input_dir", tmp_path / "music", *arguments) == 0
    for file, text in by_file(out, "tempo").items():
        true = float(demo_labels(int(file[0]), 12.0)["tempo"])
        assert min(abs(float(text) / (true * factor) - 1.0) for factor in (0.5, 1.0, 2.0)) < 0.01
    (tmp_path / "music/6.wav").unlink()
    shutil.rmtree(out)
    assert run("--input_dir", tmp_path / "music", *arguments) == 0
    assert read_manifest(out).split_by == "time" and float(by_file(out, "tempo")["5.wav"]) > 0


def test_demo_songs_say_what_they_are(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("--demo", "--demo_songs", "4", "--output_dir", out, "--seed", "3") == 0
    expected = {f"demo/song_{i:04d}": demo_labels(300_000 + i, 2.5) for i in range(4)}
    for name in ("style", "tempo", "mode", "lead"):
        assert by_file(out, name) == {file: labels[name] for file, labels in expected.items()}
    assert {labels["mode"] for labels in expected.values()} <= set(MODES)
    assert "labels" not in read_manifest(out).options
    train, _ = open_pairs(out)
    assert list(train.vocabulary) == ["style", "tempo", "mode", "lead"] and "mean" in train.vocabulary["tempo"]
    assert run("--demo", "--labels", "folder", "--output_dir", tmp_path / "other") == 2
    assert "by itself" in capsys.readouterr().err


def test_a_demo_dataset_of_earlier_versions_gets_its_labels(tmp_path):
    arguments = ["--demo", "--demo_songs", "3", "--output_dir", tmp_path / "out"]
    assert run(*arguments) == 0
    first, sound = (tmp_path / "out/labels.csv").read_bytes(), tmp_path / "out/train/pair_0000_input.wav"
    (tmp_path / "out/labels.csv").unlink()
    before = read_audio(sound)
    assert run(*arguments) == 0
    assert (tmp_path / "out/labels.csv").read_bytes() == first
    np.testing.assert_array_equal(read_audio(sound), before)


def test_varied_songs_say_their_kind(tmp_path):
    assert run("--demo", "varied", "--demo_songs", "3", "--output_dir", tmp_path / "out") == 0
    assert read_table(tmp_path / "out/labels.csv", "pair").columns == ("kind",)
    assert set(by_file(tmp_path / "out", "kind").values()) == {song_kind(4_200_000, False)}


def test_the_first_text_counts():
    tables = [LabelTable(("x", "y"), {"a": ("", "1")}), LabelTable(("y", "z"), {"a": ("2", "3"), "b": ("4", "")})]
    assert joined(tables, ["a", "b", "c"]) == LabelTable(
        ("x", "y", "z"), {"a": ("", "1", "3"), "b": ("", "4", ""), "c": ("", "", "")}
    )
