"""A run that was stopped and resumed equals one that never stopped: metrics and weights, bit for bit."""

import shutil

import pytest
from e2e_runs import TINY, Ranks, figures, identical, state, train_here

pytestmark = pytest.mark.e2e
# Whatever could remember something: dropout, noise levels, shuffling, crops, penalties, a learned mask, schedules.
OPTIONS = [*TINY, "--epochs", "4", "--pure_gan_mode", "0.4", "--gan_curriculum_start_epoch", "2", "--shuffle_targets"]
OPTIONS += ["--dropout", "0.2", "--disc_dropout", "0.2", "--easy_share", "0.5", "--crop_seconds", "0.8"]
OPTIONS += ["--use_creative_agent", "--gan_loss", "rpgan", "--r1_weight", "1", "--instance_noise_std", "0.1"]
OPTIONS += [
    "--discriminator",
    "conv+spectrogram",
    "--lr_schedule",
    "cosine",
    "--g_warmup_steps",
    "3",
    "--disc_update_freq",
    "2",
    "--save_every",
    "2",
]
PER_EPOCH = 4  # steps of one rank; two ranks take two


@pytest.fixture(scope="module")
def never_stopped(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("through")
    assert train_here(*OPTIONS, "--dataset_folder", dataset, "--checkpoint_dir", folder) == 0
    return folder


def assert_same_run(folder, reference) -> None:
    mine, theirs = figures(folder), figures(reference)
    assert [line["step"] for line in mine] == [line["step"] for line in theirs]
    for a, b in zip(mine, theirs, strict=True):
        assert a == b, f"step {a['step']}: {sorted(k for k in a.keys() | b.keys() if a.get(k) != b.get(k))}"
    assert identical(state(folder), state(reference))
    assert (folder / "generator.safetensors").read_bytes() == (reference / "generator.safetensors").read_bytes()


def test_the_reference_went_through_all_phases(never_stopped):
    lines = figures(never_stopped)
    assert [line["step"] for line in lines] == list(range(1, 4 * PER_EPOCH + 1))
    assert {line["phase"] for line in lines} == {"music", "transition", "noise"}
    assert sum("val/current" in line for line in lines) == 4
    assert state(never_stopped)["counters"]["samples_seen"] == 32


@pytest.mark.parametrize("stops", [[PER_EPOCH], [6], [3, 2 * PER_EPOCH, 13]], ids=str)
def test_resumed_it_is_the_same_run(stops, never_stopped, dataset, tmp_path):
    argv = [*OPTIONS, "--dataset_folder", dataset, "--checkpoint_dir", tmp_path]
    assert train_here(*argv, "--max_steps", stops[0]) == 0
    assert not (tmp_path / "generator.safetensors").exists()
    for stop in stops[1:]:
        assert train_here("--resume", tmp_path / "last.pt", "--max_steps", stop) == 0
    assert train_here("--resume", "auto", "--checkpoint_dir", tmp_path) == 0
    assert_same_run(tmp_path, never_stopped)


def test_from_an_epochs_checkpoint_the_later_figures_are_written_again(never_stopped, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(never_stopped, folder)
    assert train_here("--resume", folder / "checkpoint_epoch_2.pt") == 0
    mine, theirs = state(folder), state(never_stopped)
    assert mine["counters"].pop("rewinds") > theirs["counters"].pop("rewinds")
    assert identical(mine, theirs)
    assert figures(folder) == figures(never_stopped)


def test_another_seed_is_another_run(never_stopped, dataset, tmp_path):
    assert train_here(*OPTIONS, "--dataset_folder", dataset, "--checkpoint_dir", tmp_path, "--seed", "43") == 0
    mine, theirs = figures(tmp_path), figures(never_stopped)
    assert [line["step"] for line in mine] == [line["step"] for line in theirs]
    assert not any(
        a["loss/g_total"] == b["loss/g_total"] for a, b in zip(mine, theirs, strict=True) if "loss/g_total" in a
    )
    assert not identical(state(tmp_path)["trainer"]["generator"], state(never_stopped)["trainer"]["generator"])


def test_two_ranks_resumed_are_the_same_run(dataset, tmp_path):
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    argv = [*OPTIONS, "--dataset_folder", dataset, "--checkpoint_dir"]
    assert Ranks(2, *argv, through).wait() == [0, 0]
    assert Ranks(2, *argv, stopped, "--max_steps", 3).wait() == [0, 0]  # in the middle of the second epoch
    assert Ranks(2, "--resume", stopped / "last.pt", "--max_steps", 4).wait() == [0, 0]  # at its end
    assert Ranks(2, "--resume", stopped / "last.pt").wait() == [0, 0]
    assert [line["step"] for line in figures(through)] == list(range(1, 9))
    assert_same_run(stopped, through)


def test_two_ranks_see_what_one_sees(dataset, tmp_path):
    """The same global batch on one rank and on two: without dropout the same run, but for rounding."""
    options = [*OPTIONS, "--dropout", 0, "--disc_dropout", 0, "--global_batch_size", 4, "--dataset_folder", dataset]
    one, two = tmp_path / "one", tmp_path / "two"
    assert train_here(*options, "--checkpoint_dir", one) == 0
    assert Ranks(2, *options, "--checkpoint_dir", two).wait() == [0, 0]
    for a, b in zip(figures(one), figures(two), strict=True):
        numbers = [name for name, value in a.items() if isinstance(value, float) and not name.startswith("d/")]
        assert {name: a[name] for name in numbers} == pytest.approx({n: b[n] for n in numbers}, rel=1e-3, abs=1e-4)
        assert (a["step"], a["epoch"], a["samples_seen"]) == (b["step"], b["epoch"], b["samples_seen"])
