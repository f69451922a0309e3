"""Runs that begin with the weights of others, and estimates, as whole programs."""

import tempfile
from pathlib import Path

import pytest
from e2e_runs import ROOT, TINY, Ranks, figures, identical, make_dataset, state, train_here

pytestmark = pytest.mark.e2e
SOURCE = [*TINY, "--generator", "patch", "--width", "16", "--disc_width", "4", "--epochs", "1", "--dropout", "0"]
# What begins with these weights: none of the options that shape them.
TUNED = ["--batch_size", "2", "--sample_every", "0", "--num_threads", "1", "--save_every_minutes", "0"]
TUNED += ["--log_every", "1"]
TUNED += ["--epochs", "2", "--seed", "7", "--dropout", "0.1", "--pure_gan_mode", "0.5", "--lr_schedule", "cosine"]


@pytest.fixture(scope="module")
def source(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    assert train_here(*SOURCE, "--dataset_folder", dataset, "--checkpoint_dir", folder) == 0
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Another dataset."""
    return make_dataset(tmp_path_factory.mktemp("others"), train=8, val=4, seconds=0.7)


@pytest.fixture(scope="module")
def never_stopped(source, others, tmp_path_factory):
    folder = tmp_path_factory.mktemp("through")
    argv = [*TUNED, "--init_from", source / "last.pt", "--dataset_folder", others, "--checkpoint_dir", folder]
    assert train_here(*argv) == 0
    return folder


@pytest.mark.parametrize("again", ["the same command", "resume alone"])
def test_resumed_it_is_the_same_run_and_does_not_begin_anew(again, never_stopped, source, others, tmp_path):
    argv = [*TUNED, "--init_from", source / "last.pt", "--dataset_folder", others, "--checkpoint_dir", tmp_path]
    argv += ["--resume", "auto"]
    assert train_here(*argv, "--max_steps", 3) == 0
    assert train_here(*(argv if again == "the same command" else argv[-4:])) == 0
    assert identical(state(tmp_path), state(never_stopped))
    assert figures(tmp_path) == figures(never_stopped)
    assert state(tmp_path)["counters"]["samples_seen"] == 16


def test_it_began_with_those_weights(never_stopped, source, others, tmp_path):
    """And not with its seed's."""
    argv = [*TUNED, "--dataset_folder", others, "--max_steps", 1, "--lr", "1e-12"]
    assert train_here(*argv, "--init_from", source, "--checkpoint_dir", tmp_path / "a") == 0
    theirs, mine = state(source)["ema"], state(tmp_path / "a")["trainer"]["generator"]
    assert theirs.keys() == mine.keys()
    assert all((theirs[name] - mine[name]).abs().max() < 1e-6 for name in theirs)
    assert not all((theirs[name] - state(never_stopped)["ema"][name]).abs().max() < 1e-6 for name in theirs)


def test_a_resumed_run_cannot_begin_from_elsewhere(never_stopped, source, capsys):
    assert train_here("--resume", never_stopped / "last.pt", "--init_from", source, "--epochs", 3) == 2
    assert f"--init_from {source} contradicts the checkpoint" in capsys.readouterr().err
    assert train_here("--resume", source / "last.pt", "--init_from", source, "--epochs", 3) == 2
    assert "which was trained with None" in capsys.readouterr().err


def test_all_ranks_begin_with_the_same_weights(source, others, tmp_path):
    argv = [*TUNED, "--dropout", 0, "--disc_dropout", 0, "--global_batch_size", 4, "--init_from", source / "last.pt"]
    argv += ["--dataset_folder", others, "--checkpoint_dir"]
    assert train_here(*argv, tmp_path / "one") == 0
    two = Ranks(2, *argv, tmp_path / "two")
    assert two.wait() == [0, 0], two.output(0, "err")
    for a, b in zip(figures(tmp_path / "one"), figures(tmp_path / "two"), strict=True):
        numbers = [name for name, value in a.items() if isinstance(value, float) and not name.startswith("d/")]
        assert {name: a[name] for name in numbers} == pytest.approx({n: b[n] for n in numbers}, rel=1e-3, abs=1e-4)


WRONG = {
    "nowhere": "--init_from nowhere does not exist",
    ".": "holds neither generator.safetensors nor last.pt",
}


@pytest.mark.parametrize("path", WRONG)
def test_weights_that_are_not_there(path, here, capsys):
    assert train_here(*TUNED, "--init_from", path) == 2
    complaint = capsys.readouterr().err
    assert WRONG[path] in complaint and complaint.count("\n") == 1


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("folder", ["a new folder", "an earlier run's"])
def test_an_estimate_leaves_no_trace(folder, source, dataset, tmp_path, capsys):
    place = tmp_path / "run" if folder == "a new folder" else source
    before = contents(place)
    argv = [*SOURCE, "--dataset_folder", dataset, "--checkpoint_dir", place, "--estimate", "--sample_every", 1]
    assert train_here(*argv) == 0
    said = capsys.readouterr().out
    assert "estimate: " in said and "for 4 steps on 1 x cpu" in said and "memory: " in said
    assert contents(place) == before
    assert place.exists() == (folder != "a new folder")
    assert not list(Path(tempfile.gettempdir()).glob("estimate-*/last.pt"))


def test_an_estimate_of_a_run_that_begins_with_weights(source, others, tmp_path, capsys):
    argv = [*TUNED, "--init_from", source, "--dataset_folder", others, "--checkpoint_dir", tmp_path / "run"]
    assert train_here(*argv, "--estimate") == 0
    assert "for 8 steps" in capsys.readouterr().out and not (tmp_path / "run").exists()


def test_estimates_are_about_new_runs(source, capsys):
    assert train_here("--estimate", "--resume", source / "last.pt") == 2
    assert "leave --resume out" in capsys.readouterr().err


def test_the_generator_that_comes_along_is_tuned_on_a_dataset_without_labels(tmp_path, capsys):
    dataset = make_dataset(tmp_path / "own", train=8, val=8, seconds=4)
    argv = ["--config", ROOT / "recipes" / "finetune.yaml", "--init_from", ROOT / "pretrained" / "demo"]
    argv += ["--dataset_folder", dataset, "--checkpoint_dir", tmp_path / "run", "--max_steps", "2"]
    assert train_here(*argv) == 0
    assert "has no labels" in capsys.readouterr().out
    assert state(tmp_path / "run")["counters"]["step"] == 2
