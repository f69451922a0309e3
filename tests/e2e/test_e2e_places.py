"""Folders as people have them: names that are no UTF-8, moved datasets, read-only ones."""

import os
import shutil
import subprocess
import sys

import pytest
from e2e_runs import ROOT, TINY, plain_environment, train_here

pytestmark = pytest.mark.e2e
ODD = os.fsdecode(b"caf\xe9 \xff")  # Latin-1, as old disks and archives have it
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def program(name, *options, cwd, **environment):
    command = [sys.executable, str(ROOT / name), *map(str, options)]
    done = subprocess.run(command, cwd=cwd, env=plain_environment() | environment, capture_output=True)
    assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")[-3000:]
    return done


@pytest.mark.parametrize("locale", [{}, C_LOCALE], ids=["UTF-8", "C"])
def test_every_program_works_in_folders_whose_names_are_no_utf_8(tmp_path, locale):
    home = tmp_path / ODD / "\N{SNOWMAN}"
    home.mkdir(parents=True)
    options = ["--demo", "--demo_songs", 3, "--duration", 0.5, "--workers", 2, "--output_dir", home / "pairs"]
    assert program("prepare_dataset.py", *options, cwd=tmp_path, **locale).returncode == 0
    run = [
        "--dataset_folder",
        home / "pairs",
        "--checkpoint_dir",
        home / "run",
        *TINY,
        "--epochs",
        1,
        "--world_size",
        1,
    ]
    done = program("train_simple_ddp.py", *run, cwd=tmp_path, **locale)
    assert done.returncode == 0, done.stderr[-3000:]
    done = program("train_simple_ddp.py", "--resume", home / "run" / "last.pt", "--epochs", 2, cwd=tmp_path, **locale)
    assert done.returncode == 0 and b"resumed from" in done.stdout, done.stderr[-3000:]
    auto = ["--resume", "auto", "--checkpoint_dir", home / "run", "--epochs", 3]
    done = program("train_simple_ddp.py", *auto, cwd=tmp_path, **locale)
    assert done.returncode == 0 and b"resumed from" in done.stdout, done.stdout[-3000:]
    for checkpoint in (home / "run" / "last.pt", home / "run"):
        made = [
            "--checkpoint",
            checkpoint,
            "--num",
            1,
            "--duration",
            0.5,
            "--output_dir",
            home / "made",
            "--spectrogram",
        ]
        assert program("generate.py", *made, cwd=tmp_path, **locale).returncode == 0
    assert len(os.listdir(home / "made")) == 2
    measured = ["--generated", home / "made", "--dataset_folder", home / "pairs", "--num", 16]
    done = program("evaluate.py", *measured, cwd=tmp_path, **locale)
    assert done.returncode == 2 and b"too few clips" in done.stderr


def test_a_moved_dataset_is_asked_for_on_resume(dataset, tmp_path, capsys):
    shutil.copytree(dataset, tmp_path / "data")
    run = ["--dataset_folder", tmp_path / "data", "--checkpoint_dir", tmp_path / "run"]
    assert train_here(*run, *TINY, "--epochs", 2, "--max_steps", 1) == 0
    (tmp_path / "data").rename(tmp_path / "moved")
    capsys.readouterr()
    assert train_here("--resume", tmp_path / "run" / "last.pt") == 2
    said = capsys.readouterr().err
    assert f"not in {tmp_path / 'data'} any more" in said and "--dataset_folder" in said and said.count("\n") == 1
    assert train_here("--resume", tmp_path / "run" / "last.pt", "--dataset_folder", tmp_path / "moved") == 0


def test_latents_of_a_read_only_dataset_go_elsewhere(dataset, tmp_path, monkeypatch, capsys):
    shutil.copytree(dataset, tmp_path / "data", ignore=shutil.ignore_patterns("latents"))
    (tmp_path / "data" / "latents").write_text("in the way, as a disk that cannot be written is")
    run = ["--dataset_folder", tmp_path / "data", "--checkpoint_dir", tmp_path / "run", *TINY, "--max_steps", 1]
    assert train_here(*run) == 2
    assert "name another one in the environment variable NOISE2MUSIC_LATENTS." in capsys.readouterr().err
    monkeypatch.setenv("NOISE2MUSIC_LATENTS", str(tmp_path / "latents"))
    assert train_here(*run) == 0
    assert list((tmp_path / "latents").glob("mel-*/index.json"))
    assert train_here("--resume", tmp_path / "run" / "last.pt", "--max_steps", 2) == 0
