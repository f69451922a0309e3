"""Labels from a dataset's table to a run, through its resume, to clips that are asked for."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from e2e_runs import TINY, figures, identical, state, train_here

import generate

pytestmark = pytest.mark.e2e
LABELLED = [*TINY, "--generator", "patch", "--width", 16, "--conditions", "alpha+labels", "--unity_test"]
LABELLED += ["--easy_share", 1, "--pure_gan_mode", 0.5, "--discriminator", "conv+spectrogram", "--label_dropout", 0.3]


@pytest.fixture
def labelled(dataset, tmp_path, monkeypatch):
    here = tmp_path
    shutil.copytree(dataset, here / "dataset_pairs_wav")
    monkeypatch.chdir(here)
    rows = [f"train/pair_{k:04d},{('folk', 'jazz')[k % 2]},{100 + k}" for k in range(8)]
    rows += [f"val/pair_{k:04d},jazz,{'' if k else 110}" for k in range(4)]
    (here / "dataset_pairs_wav" / "labels.csv").write_text("\n".join(["pair,genre,tempo", *rows]) + "\n")
    return here


def clip(folder, *options) -> np.ndarray:
    out = f"out_{len(list(folder.parent.glob('out_*')))}"
    given = ["--checkpoint", str(folder), "--num", "1", "--duration", "0.5", "--output_dir", out, *map(str, options)]
    assert generate.main(given) == 0
    return soundfile.read(f"{out}/noise_0_0000.wav")[0]


def test_a_labelled_run_resumes_exactly_and_makes_what_is_asked_for(labelled, capsys):
    assert train_here(*LABELLED, "--epochs", 2, "--checkpoint_dir", "through") == 0
    assert train_here(*LABELLED, "--epochs", 2, "--checkpoint_dir", "stopped", "--max_steps", 3) == 0
    assert train_here("--resume", "stopped/last.pt", "--epochs", 2) == 0
    assert identical(state(labelled / "through"), state(labelled / "stopped"))
    assert figures(labelled / "through")[-1]["samples_seen"] == 16
    facts = json.loads((labelled / "through" / "config.json").read_text())["space"]["about"]
    about, rows = facts["labels"], facts["label_rows"]
    assert len(rows["genre"]) == 32 and sorted(zip(*rows.values(), strict=True)) == sorted(
        [(k % 2, 100 + k) for k in range(8)] * 4
    )
    assert about["genre"] == {"values": ["folk", "jazz"]} and about["tempo"]["mean"] == pytest.approx(103.5)
    run = labelled / "through"
    open_, jazz = clip(run), clip(run, "--label", "genre=jazz", "--label", "tempo=120")
    folk, strong = (clip(run, "--label", *given) for given in (["genre=folk"], ["genre=folk", "--guidance", 6]))
    assert all(np.abs(a - b).max() > 0 for a, b in ((open_, jazz), (jazz, folk), (folk, strong)))
    capsys.readouterr()
    for given, message in (
        (["--label", "genre=jaz"], "did you mean 'jazz'"),
        (["--label", "mood=sad"], "no label 'mood'"),
        (["--guidance", 2, "--label", "none"], "--guidance needs --label"),
    ):
        assert generate.main(["--checkpoint", "through", "--output_dir", "out", *map(str, given)]) == 2
        assert message in capsys.readouterr().err


def test_samples_of_a_labelled_run_have_a_clip_for_each_label(labelled):
    given = [*LABELLED, "--epochs", 1, "--sample_every", 1, "--sample_num", 3, "--checkpoint_dir", "run"]
    assert train_here(*given) == 0
    home = labelled / "run" / "samples"
    asked = json.loads((home / "labels.json").read_text())
    assert asked["epoch"] == 1 and asked["labels"][:2] == ["genre=folk", "genre=jazz"] and len(asked["labels"]) == 4
    folk, jazz = (soundfile.read(home / f"label_{k}_0.wav")[0] for k in range(2))
    assert np.abs(folk - jazz).max() > 0
    assert (home / "epoch_0001_grid.png").exists() and (home / "real_grid.png").exists()
    report = (labelled / "run" / "report.html").read_text()
    assert "one for each label, epoch 1" in report and "genre=jazz" in report


def test_labels_need_a_table(here, capsys):
    assert train_here(*LABELLED, "--epochs", 1) == 2
    assert "has no labels" in capsys.readouterr().err
