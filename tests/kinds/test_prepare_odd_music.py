"""prepare_dataset.py on music as people have it: pauses, copies, locked folders, odd names, very many files."""

import os
import time

import numpy as np
import pytest
import soundfile
from data_clips import RATE
from melodies import melody, without_tag, write_mp3

import prepare_dataset
from kinds.audio import ffmpeg, walking
from kinds.audio.latent_pairs import open_pairs
from kinds.audio.pairs import Manifest, SongOrigin, read_manifest, write_manifest
from kinds.audio.preparing.prepare import Options, prepare
from kinds.audio.preparing.selecting import NAMED, keeping_duration, shortened


@pytest.fixture
def music(tmp_path):
    (tmp_path / "music").mkdir()
    for i in range(3):
        soundfile.write(tmp_path / f"music/{i}.wav", melody(3, 3 * i, RATE), RATE)
    return tmp_path / "music"


def options(tmp_path, **more):
    usual = {"input_dir": tmp_path / "music", "output_dir": tmp_path / "out", "codec": "mel", "workers": 1}
    return Options(**usual | {"duration": 1.0} | more)


def write_with_pauses(path, pairs, clip):
    """A recording with a pause behind every pair of clips of `clip` seconds."""
    samples = round(clip * RATE)
    tone = np.sin(np.arange(3 * samples) / 5) * (np.arange(3 * samples) < 2 * samples)
    soundfile.write(path, 0.3 * np.tile(tone, pairs), RATE)


def test_a_recording_with_many_pauses_gives_all_its_pairs_and_can_be_read_again(music, tmp_path):
    write_with_pauses(music / "long.wav", 1000, 0.5)
    made = prepare(options(tmp_path, duration=0.5)).manifest
    origin = next(o for o in map(SongOrigin.parse, made.songs) if o.file == "long.wav")
    assert len(origin.runs) == 1000 and sum(pairs for _, pairs in origin.runs) == 1000
    assert read_manifest(tmp_path / "out") == made
    again = prepare(options(tmp_path, duration=0.5))
    assert again.manifest == made and again.notes == ["The dataset is complete already."]


def test_200_000_songs_and_as_many_skipped_files_are_read_in_seconds(tmp_path):
    songs = [f"train {i} 0:1 {i:032x} album {i // 12}/ä [{i}] \N{MUSICAL NOTE}.ogg" for i in range(200_000)]
    skipped, more = shortened({f"cover {i}.jpg": "not audio" for i in range(110_000)} | {"b.mp3": "too short (1.0 s)"})
    assert len(skipped) == NAMED + 1 and more == {"not audio": 110_000 - NAMED}
    manifest = Manifest(duration=1.0, codec="mel", songs=songs, pairs={"train": 200_000, "val": 0}, skipped=skipped)
    manifest = manifest.model_copy(update={"skipped_more": more})
    write_manifest(tmp_path, manifest)
    started = time.process_time()
    assert read_manifest(tmp_path) == manifest
    assert time.process_time() - started < 30


def test_skipped_files_are_named_and_counted(music, tmp_path, capsys):
    for i in range(NAMED + 50):
        (music / f"cover {i:03d}.jpg").write_bytes(b"x")
    arguments = ["--input_dir", str(music), "--output_dir", str(tmp_path / "out"), "--duration", "1", "--codec", "mel"]
    assert prepare_dataset.main([*arguments, "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "Skipped 150 files: not audio (150): cover 000.jpg, " in said and "cover 019.jpg and 130 more." in said
    made = read_manifest(tmp_path / "out")
    assert len(made.skipped) == NAMED and made.skipped_more == {"not audio": 50}


def test_one_recording_with_other_tags_or_in_another_lossless_format_is_used_once(music, tmp_path):
    data = write_mp3(music / "song.mp3", melody(4, 20))
    (music / "tagged.mp3").write_bytes(b"ID3\x04\0\0\0\0\0\x05hello" + data)
    soundfile.write(music / "0 again.flac", soundfile.read(music / "0.wav")[0], RATE)
    made = prepare(options(tmp_path, val_fraction=0.4)).manifest
    assert made.skipped == {
        "0.wav": "the same recording as 0 again.flac",
        "tagged.mp3": "the same recording as song.mp3",
    }
    train, val = open_pairs(tmp_path / "out")
    clips = [{split.input(i).tobytes() for i in range(len(split))} for split in (train, val)]
    assert clips[0] and clips[1] and not clips[0] & clips[1]


def test_a_folder_without_the_right_to_read_is_named(music, tmp_path, monkeypatch):
    (music / "locked").mkdir()
    soundfile.write(music / "locked" / "a.wav", melody(3, 30, RATE), RATE)
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("locked"):  # as the system does, but for root, who runs some tests
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    made = prepare(options(tmp_path)).manifest
    assert made.skipped == {"locked": "folder that cannot be read (Permission denied)"}


def test_a_file_that_cannot_be_read_says_why(music, tmp_path):
    (music / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    assert prepare(options(tmp_path)).manifest.skipped == {"gone.wav": "unreadable (No such file or directory)"}


def test_silence_with_an_offset_is_no_music(music, tmp_path):
    hum = 0.2 + 1e-4 * np.random.default_rng(0).standard_normal(3 * RATE)
    soundfile.write(music / "offset.wav", hum, RATE)
    soundfile.write(music / "half.wav", np.concatenate([0.2 + melody(2, 40, RATE), hum]), RATE, "FLOAT")
    made = prepare(options(tmp_path)).manifest
    assert made.skipped == {"offset.wav": "silent"} and made.silent_clips == {"half.wav": 3}


@pytest.mark.parametrize("name", ["line\nbreak.wav", "\x1b[31mred.wav", os.fsdecode(b"caf\xe9.wav")])
def test_names_are_read_as_they_are_and_shown_escaped(music, tmp_path, capsys, name):
    soundfile.write(os.fsencode(music / name), melody(3, 30, RATE), RATE, format="WAV")
    soundfile.write(os.fsencode(music / f"short {name}"), melody(1, 30, RATE), RATE, format="WAV")
    arguments = ["--input_dir", str(music), "--output_dir", str(tmp_path / "out"), "--duration", "1", "--codec", "mel"]
    assert prepare_dataset.main([*arguments, "--workers", "1"]) == 0
    escaped = name.encode("unicode_escape").decode()
    said = capsys.readouterr().out
    assert f"short {escaped} (1.0 s, a pair takes 2 s)" in said and "\x1b" not in said
    assert escaped in {SongOrigin.parse(line).file for line in read_manifest(tmp_path / "out").songs}


def test_remarks_on_files_are_printed_and_kept(music, tmp_path, capsys):
    parts = [write_mp3(tmp_path / f"{i}.mp3", melody(3, 30 + 3 * i)) for i in range(2)]
    (music / "joined.mp3").write_bytes(b"".join(parts))
    (music / "no tag.mp3").write_bytes(without_tag(write_mp3(tmp_path / "2.mp3", melody(3, 40), "VARIABLE")))
    arguments = ["--input_dir", str(music), "--output_dir", str(tmp_path / "out"), "--duration", "1", "--codec", "mel"]
    assert prepare_dataset.main([*arguments, "--workers", "2"]) == 0
    out, err = capsys.readouterr()
    assert "joined.mp3: its header says 3.1 s, it holds 6.1 s." in out or "says 3.0 s, it holds 6.1 s." in out
    assert err == "" and list(read_manifest(tmp_path / "out").remarks) == ["joined.mp3"]
    pairs = {o.file: sum(n for _, n in o.runs) for o in map(SongOrigin.parse, read_manifest(tmp_path / "out").songs)}
    assert pairs["joined.mp3"] == 5 and pairs["no tag.mp3"] == 2


def test_music_lost_to_cutting_is_said_with_a_duration_that_would_keep_it(music, tmp_path):
    soundfile.write(music / "nearly.wav", melody(2, 30, RATE)[: round(1.9 * RATE)], RATE)
    soundfile.write(music / "end.wav", melody(3, 40, RATE)[: round(2.6 * RATE)], RATE)
    notes = prepare(options(tmp_path)).notes
    assert notes == [
        "Cutting left out 2.5 of 13.5 s of music: 0.6 s at the ends of songs and 1.9 s in 1 file too "
        "short for a pair. "
        "--duration 0.95 would keep most of it."
    ]
    kept = prepare(options(tmp_path, duration=0.95, output_dir=tmp_path / "kept")).manifest
    assert "nearly.wav" in {SongOrigin.parse(line).file for line in kept.songs}


def test_the_duration_that_keeps_most():
    assert keeping_duration([7.9]) == 3.95
    assert keeping_duration([7.9, 7.0, 0.6, 1.2]) == 3.5  # the shortest hold too little to matter
    assert keeping_duration([0.9]) is None and keeping_duration([]) is None


def test_without_the_package_for_them_other_formats_are_said_to_need_it(music, tmp_path, monkeypatch):
    monkeypatch.setattr(ffmpeg, "is_installed", lambda: False)
    (music / "a.m4a").write_bytes(b"x")
    assert prepare(options(tmp_path)).manifest.skipped == {"a.m4a": "needs the package av to be read: pip install av"}


def test_a_summary_counts_what_it_does_not_name():
    skipped = {"a": "not audio", "b": "too short (1.0 s)"}
    said = walking.summary(skipped, names=1, more={"not audio": 5})
    assert said == "not audio (6): a and 5 more; too short (1): b (1.0 s)"
