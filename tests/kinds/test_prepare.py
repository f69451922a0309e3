"""prepare_dataset.py: what becomes of a folder of music, whole runs and interrupted ones."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from data_clips import RATE, chirp, make_hand_made
from hypothesis import given
from hypothesis import strategies as st

from errors import UserError
from kinds.audio.files import read_audio
from kinds.audio.latent_pairs import open_pairs
from kinds.audio.pairs import SongOrigin, list_pairs, read_manifest
from kinds.audio.preparing import prepare as pipeline
from kinds.audio.preparing.demo_music import demo_song
from kinds.audio.preparing.prepare import Options, prepare
from kinds.audio.preparing.songs import choose_val, find_runs, is_silent, split_by_time
from runtime.cores import available_cores

ROOT = Path(__file__).parents[2]


def song(seed, seconds, level=1.0):
    return level * np.concatenate([chirp(100 * seed + i, RATE // 10) for i in range(round(10 * seconds))])


@pytest.fixture
def music(tmp_path):
    """Five usable songs (one loud, one with a silent stretch), and what real folders hold besides."""
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    soundfile.write(folder / "a.wav", song(1, 3.2), RATE)
    soundfile.write(folder / "album" / "b.flac", np.stack([song(2, 3.2)] * 2, axis=1), RATE)
    soundfile.write(folder / "album" / "c.ogg", song(3, 3.0), RATE)
    soundfile.write(folder / "d.wav", song(4, 3.0, level=4.0), RATE, "FLOAT")
    gap = song(5, 5.0)
    gap[2 * RATE : 3 * RATE] = 0
    soundfile.write(folder / "e.wav", gap, RATE)
    soundfile.write(folder / "8bit.wav", song(6, 2.0), RATE, "PCM_U8")
    soundfile.write(folder / "short.wav", song(7, 1.9), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(4 * RATE), RATE)
    soundfile.write(folder / "nan.wav", np.full(4 * RATE, np.nan), RATE, "FLOAT")
    shutil.copy(folder / "a.wav", folder / "copy of a.wav")
    (folder / "README.md").write_text("hello")
    (folder / "text.wav").write_text("hello")
    (folder / "zero.mp3").write_bytes(b"")
    (folder / "video.m4a").write_bytes(b"x")
    (folder / ".hidden").write_bytes(b"x")
    return folder


def options(music, tmp_path, **more):
    usual = {"input_dir": music, "output_dir": tmp_path / "out", "duration": 1.0, "codec": "mel", "workers": 1}
    return Options(**usual | more)


def snapshot(folder):
    """Contents of every file but those of the cache that hold times of files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    timed = {path for path in files if path.parent.parent.name == "latents" and path.suffix == ".json"}
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path not in timed}


def test_a_real_folder(music, tmp_path):
    pytest.importorskip("av")
    made = prepare(options(music, tmp_path)).manifest
    assert made.skipped == {
        ".hidden": "hidden",
        "README.md": "not audio",
        "copy of a.wav": "the same file as a.wav",
        "nan.wav": "holds NaN or infinite samples",
        "short.wav": "too short (1.9 s, a pair takes 2 s)",
        "silent.wav": "silent",
        "text.wav": "not audio",
        "video.m4a": "not audio",
        "zero.mp3": "empty",
    }
    assert made.silent_clips == {"e.wav": 1}
    origins = {o.file: o for o in map(SongOrigin.parse, made.songs)}
    assert {file: o.runs for file, o in origins.items()} == {
        "8bit.wav": ((0, 1),),
        "a.wav": ((0, 2),),
        "album/b.flac": ((0, 2),),
        "album/c.ogg": ((0, 2),),
        "d.wav": ((0, 2),),
        "e.wav": ((0, 1), (3, 1)),
    }
    assert made.pairs == {"train": 10, "val": 1} and made.split_by == "song" and made.files_read == 13
    assert not (tmp_path / "out" / ".prepare").exists()
    assert read_manifest(tmp_path / "out") == made
    train, val = open_pairs(tmp_path / "out")
    np.testing.assert_allclose(made.latents.mean, train.mean, rtol=1e-5, atol=1e-5)
    assert (len(train), len(val)) == (10, 1)


def test_every_pair_is_where_its_origin_says(music, tmp_path):
    made = prepare(options(music, tmp_path)).manifest
    seen = {"train": 0, "val": 0}
    for origin in map(SongOrigin.parse, made.songs):
        wav = read_audio(music / origin.file)
        wav = wav * min(1.0, 0.999 / np.abs(wav).max())
        for number, clip in origin.pairs():
            seen[origin.split] += 1
            for offset, role in enumerate(("input", "target")):
                there = read_audio(tmp_path / "out" / origin.split / f"pair_{number:04d}_{role}.wav")
                begin = (clip + offset) * RATE
                np.testing.assert_allclose(there, wav[begin : begin + RATE], atol=1e-4)
    assert seen == made.pairs
    assert [p.name for p in list_pairs(tmp_path / "out" / "train")] == [f"pair_{i:04d}" for i in range(10)]


def test_no_song_is_on_both_sides(music, tmp_path):
    held_out = set()
    for seed in range(3):
        made = prepare(options(music, tmp_path, seed=seed, val_fraction=0.4, output_dir=tmp_path / str(seed))).manifest
        sides = {}
        for origin in map(SongOrigin.parse, made.songs):
            sides.setdefault(origin.split, set()).add(origin.digest)
        assert sides["train"] and sides["val"] and not sides["train"] & sides["val"]
        held_out.add(frozenset(sides["val"]))
    assert len(held_out) > 1


@given(st.lists(st.integers(1, 50), min_size=2, max_size=20), st.floats(0.01, 0.9), st.integers(0, 99))
def test_the_held_out_share(pairs, fraction, seed):
    held_out = choose_val(pairs, fraction, seed)
    assert 1 <= len(held_out) < len(pairs)
    count = sum(pairs[song] for song in held_out)
    assert count <= fraction * sum(pairs) or (len(held_out) == 1 and count == min(pairs))
    assert held_out == choose_val(pairs, fraction, seed)


@given(st.lists(st.booleans(), max_size=40), st.floats(0.05, 0.9))
def test_a_single_song_is_split_by_time_with_a_gap(heard, fraction):
    runs = find_runs(heard)
    clips = {clip for first, pairs in runs for clip in range(first, first + pairs + 1)}
    assert all(heard[clip] for clip in clips)
    assert sum(pairs for _, pairs in runs) == sum(a and b for a, b in zip(heard, heard[1:], strict=False))
    if not runs:
        return
    parts = split_by_time(runs, fraction)
    train, val = ({clip for first, pairs in part for clip in range(first, first + pairs + 1)} for part in parts)
    assert val and (not train or max(train) < min(val) - 1)


def test_one_song_is_enough_and_said(tmp_path):
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "a.wav", song(1, 8), RATE)
    report = prepare(options(tmp_path / "music", tmp_path))
    assert report.manifest.split_by == "time" and report.manifest.pairs == {"train": 4, "val": 1}
    assert any("only one usable song" in note for note in report.notes)


def test_silence_is_found_by_level_and_by_share():
    square = np.resize([1.0, -1.0], 100)
    assert is_silent(np.zeros(100)) and is_silent(5e-4 * square) and not is_silent(2e-3 * square)
    click = np.zeros(1000)
    click[:5] = 1.0
    assert not is_silent(click[:400]) and is_silent(np.full(100, 0.3) + 5e-4 * square)  # a constant is not heard


def test_what_is_heard_in_a_quiet_song_is_used(tmp_path):
    """Its level as a whole is below that of silence."""
    (tmp_path / "music").mkdir()
    quiet = np.zeros(200 * RATE)
    quiet[10 * RATE : 14 * RATE] = song(1, 4, level=5e-3)
    assert is_silent(quiet) and not is_silent(quiet[10 * RATE : 14 * RATE])
    soundfile.write(tmp_path / "music" / "a.wav", quiet, RATE, "FLOAT")
    soundfile.write(tmp_path / "music" / "b.wav", song(2, 4), RATE)
    report = prepare(options(tmp_path / "music", tmp_path))
    assert report.manifest.silent_clips == {"a.wav": 196} and sum(report.manifest.pairs.values()) == 3 + 3


def test_a_second_run_does_nothing(music, tmp_path, monkeypatch):
    prepare(options(music, tmp_path))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    monkeypatch.setattr(pipeline, "stage_song", lambda *_, **__: pytest.fail("a song was read"))
    report = prepare(options(music, tmp_path))
    assert report.notes == ["The dataset is complete already."]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_second_run_makes_what_is_missing(music, tmp_path):
    prepare(options(music, tmp_path))
    before = snapshot(tmp_path / "out")
    (tmp_path / "out/train/pair_0002_input.wav").unlink()
    os.truncate(tmp_path / "out/val/pair_0000_target.wav", 60)
    shutil.rmtree(tmp_path / "out/latents")
    report = prepare(options(music, tmp_path))
    assert report.notes == ["2 missing files were made again."]
    assert snapshot(tmp_path / "out") == before


def test_other_options_or_music_are_refused_unless_overwrite(music, tmp_path):
    prepare(options(music, tmp_path))
    before = snapshot(tmp_path / "out")
    with pytest.raises(UserError, match=r"\(duration 1.0 instead of 0.5, seed 42 instead of 1\).*--overwrite"):
        prepare(options(music, tmp_path, duration=0.5, seed=1))
    (music / "a.wav").unlink()
    with pytest.raises(UserError, match="other music files.*--overwrite"):
        prepare(options(music, tmp_path))
    assert snapshot(tmp_path / "out") == before
    (tmp_path / "out/train/mine_input.wav").write_bytes(b"")
    prepare(options(music, tmp_path, duration=0.5, overwrite=True))
    prepare(options(music, tmp_path, duration=0.5, output_dir=tmp_path / "fresh"))
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "fresh")


def test_pairs_made_by_hand_are_not_touched(music, tmp_path):
    make_hand_made(tmp_path / "out")
    with pytest.raises(UserError, match="did not make"):
        prepare(options(music, tmp_path))


def test_a_failed_overwrite_leaves_the_old_dataset(music, tmp_path):
    prepare(options(music, tmp_path))
    before = snapshot(tmp_path / "out")
    with pytest.raises(UserError, match="can be used"):
        prepare(options(music, tmp_path, duration=30.0, overwrite=True))
    assert snapshot(tmp_path / "out") == before
    open_pairs(tmp_path / "out")


def test_several_processes_make_the_same_dataset(music, tmp_path):
    prepare(options(music, tmp_path, output_dir=tmp_path / "one"))
    prepare(options(music, tmp_path, output_dir=tmp_path / "two", workers=2))
    assert snapshot(tmp_path / "one") == snapshot(tmp_path / "two")


def start(*arguments):
    """The program in a process of its own, which hears SIGINT even where the tests run in a shell's background."""
    command = [sys.executable, "prepare_dataset.py", "--workers", "2", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes)


@pytest.fixture(scope="module")
def long_music(tmp_path_factory):
    """Music that takes a while, and the dataset that an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "music").mkdir()
    for seed in range(6):
        soundfile.write(folder / "music" / f"{seed}.flac", np.tile(demo_song(seed, 2.0), 15), 44_100)
    prepare(options(folder / "music", folder))
    return folder / "music", folder / "out"


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_a_run_killed_in_the_middle_goes_on(long_music, tmp_path, kill):
    music, whole = long_music
    process = start("--input_dir", music, "--output_dir", tmp_path / "out", "--duration", 1, "--codec", "mel")
    while process.poll() is None and not list((tmp_path / "out").rglob("song.json")):
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    process.send_signal(kill)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == (130 if kill == signal.SIGINT else -signal.SIGKILL)
    if kill == signal.SIGINT:
        assert complaint == "Interrupted; run the same command again to continue.\n"
    assert list((tmp_path / "out").rglob("song.json")) and not (tmp_path / "out" / "dataset.yaml").exists()
    with pytest.raises(UserError, match="not finished"):
        open_pairs(tmp_path / "out")
    prepare(options(music, tmp_path))
    assert snapshot(tmp_path / "out") == snapshot(whole)


@pytest.mark.parametrize("step", ["place_files", "write_manifest", "_add_latents"])
def test_a_run_killed_at_the_end_goes_on(music, tmp_path, monkeypatch, step):
    real = getattr(pipeline, step)

    def stop(*arguments):
        if step == "place_files":
            real(arguments[0], arguments[1][:5])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, step, stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(options(music, tmp_path))
    prepare(options(music, tmp_path))
    prepare(options(music, tmp_path, output_dir=tmp_path / "whole"))
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "whole")


def test_two_runs_on_one_folder_are_refused(music, tmp_path, monkeypatch):
    def second(*_):
        with pytest.raises(UserError, match="Another prepare_dataset.py is writing"):
            prepare(options(music, tmp_path))
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "_stage", second)
    with pytest.raises(KeyboardInterrupt):
        prepare(options(music, tmp_path))


def test_the_default_codec_is_mel_where_encodec_has_no_weights(music, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    report = prepare(options(music, tmp_path, codec=None))
    assert report.manifest.codec == "mel" and "EnCodec's weights are not on this machine" in report.notes[0]
    assert "HF_HUB_OFFLINE" not in os.environ


def test_after_a_wrong_codec_few_files_are_read(tmp_path, monkeypatch):
    (tmp_path / "music").mkdir()
    for index in range(200):
        (tmp_path / "music" / f"{index}.wav").write_bytes(b"x")
    read, refused = [], threading.Event()

    def slowly(source):
        read.append(source.name)
        refused.wait(60)
        return source

    monkeypatch.setattr(pipeline.Source, "identified", slowly)
    with pytest.raises(UserError, match="weights"):
        prepare(options(tmp_path / "music", tmp_path, codec="encodec_24khz", codec_weights=tmp_path / "nowhere"))
    refused.set()
    time.sleep(0.2)  # whatever was not cancelled would be read now
    assert 0 < len(read) <= available_cores()


def test_a_dataset_inside_the_music_is_not_music(music, tmp_path):
    inside = options(music, tmp_path, output_dir=music / "dataset")
    first = prepare(inside).manifest
    assert prepare(inside).manifest == first
    (music / "loop").symlink_to(music)
    assert prepare(inside).manifest == first
