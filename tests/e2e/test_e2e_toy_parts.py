"""A part of every sort, of a user's own: registered in a module, chosen on the real command line, trained, resumed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from e2e_runs import ROOT, TINY, figures, plain, state

pytestmark = pytest.mark.e2e
LITTLE = [*TINY, "--pure_gan_mode", "0.5", "--epochs", "2"]

# What chooses parts and sets their own options.
NETWORKS = "--generator toy --toy_hidden 5 --conditions alpha+loud --discriminator toy --toy_slope 0.3"
PARTS = {
    "networks, condition, objective": f"{NETWORKS} --gan_loss toy --toy_margin 0.7",
    "schedule, codec": "--lr_schedule halving --toy_halvings 3 --codec toy --toy_gain 3",
}
NOT_THEIRS = {"generator": ("--num_layers", "--num_transformer_layers", "--nhead")}
NOT_THEIRS |= {"networks, condition, objective": (*NOT_THEIRS["generator"], "--disc_width")}


@pytest.fixture(scope="module", autouse=True)
def plugins(tmp_path_factory):
    """The module lies in a folder of its user's."""
    home = tmp_path_factory.mktemp("plugins")
    (home / "toy_parts.py").write_text(Path(__file__).with_name("toy_parts.py").read_text())
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "NOISE2MUSIC_PLUGINS")}
    os.environ |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(home)]), "NOISE2MUSIC_PLUGINS": "toy_parts"}
    yield
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def call(here, *argv, code: int = 0) -> str:
    """The program, as its user starts it; what it said."""
    done = subprocess.run([*plain(*argv)], cwd=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def without(options: list, *names: str) -> list:
    """Options but for some, each with its value."""
    pairs = list(zip(options[::2], options[1::2], strict=True))
    return [word for name, value in pairs if name not in names for word in (name, value)]


@pytest.mark.parametrize("sort", PARTS)
def test_parts_train_two_steps_and_are_resumed(sort, here):
    options = [*without(LITTLE, *NOT_THEIRS.get(sort, ())), *PARTS[sort].split()]
    call(here, *options, "--max_steps", 2)
    before = state(here / "checkpoints")
    assert before["counters"]["step"] == 2
    said = call(here, "--resume", "auto", "--max_steps", 4)
    assert "resumed from" in said and "step 2" in said
    lines = figures(here / "checkpoints")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    whole = here / "whole"
    call(here, *options, "--max_steps", 4, "--checkpoint_dir", whole)
    assert figures(whole) == lines  # as if never stopped


def test_a_kind_of_data_of_another_shape_trains_through_the_same_loop(here):
    folder = here / "squares"
    folder.mkdir()
    (folder / "scale.txt").write_text("3.0")
    options = [
        *without(LITTLE, *NOT_THEIRS["generator"], "--disc_width"),
        "--dataset_folder",
        folder,
        "--kind",
        "squares",
    ]
    options += ["--generator", "toy", "--discriminator", "toy", "--encoding_dim", 2, "--toy_count", 8]
    options += ["--conditions", "bright+loud", "--sample_every", 1, "--r1_weight", 1, "--gan_loss", "rpgan"]
    call(here, *options, "--max_steps", 3)
    call(here, "--resume", "auto")
    run = here / "checkpoints"
    assert len(figures(run)) == 2 * 8 // 2
    assert np.load(run / "samples" / "epoch_0002_1.npy").shape == (2, 4, 4)
    assert (run / "samples" / "real_0.npy").exists() and (run / "report.html").exists()
    assert state(run)["space"]["shape"] == [2, 4, 4]
    about = json.loads((run / "about.json").read_text())
    assert (about["identity"], about["length"], about["unit"], about["train_pairs"]) == ("squares", 1.0, "square", 8)
    refused = [sys.executable, ROOT / "generate.py", "--checkpoint", run]
    done = subprocess.run(refused, cwd=here, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "squares, not audio" in done.stderr


def test_a_generator_with_conditions_makes_wav_files(here):
    options = without(LITTLE, *NOT_THEIRS["generator"])
    call(here, *options, "--generator", "toy", "--conditions", "alpha", "--epochs", 1)
    made = [sys.executable, ROOT / "generate.py", "--checkpoint", "checkpoints", "--num", 1, "--duration", 1]
    subprocess.run([*map(str, made)], cwd=here, check=True, capture_output=True)
    assert len(list((here / "samples").glob("*.wav"))) == 1


def test_their_options_are_in_help_and_belong_to_them(here):
    shown = " ".join(call(here, "--help").split())
    for option, owner in (
        ("toy_hidden", "toy"),
        ("toy_slope", "toy"),
        ("toy_margin", "toy"),
        ("toy_halvings", "halving"),
    ):
        assert f"--{option} " in shown
        assert f"[{owner}]" in shown.split(f"--{option} ")[1][:200]
    assert "--toy_gain" in shown and "--toy_count" in shown and "loud" in shown
    assert "toy_margin is an option of --gan_loss toy, not of bce" in call(here, "--toy_margin", 1, code=2)
    call(here, *without(LITTLE, *NOT_THEIRS["generator"]), "--generator", "toy", "--max_steps", 1)
    assert "--toy_hidden 6 contradicts the checkpoint" in call(here, "--resume", "auto", "--toy_hidden", 6, code=2)


def test_a_plugin_that_is_not_there(here, monkeypatch):
    monkeypatch.setenv("NOISE2MUSIC_PLUGINS", "no_such_module")
    assert "NOISE2MUSIC_PLUGINS: the module no_such_module cannot be imported" in call(here, *LITTLE, code=2)
