"""Early stopping: after the curriculum has finished and not before, on all ranks together."""

import pytest
from e2e_runs import TINY, Ranks, figures, state, train_here

pytestmark = pytest.mark.e2e
# Updates too small to change a number, in a generator without spectral norm (its vectors move by themselves): every
# validation of a phase is as good as the one before.
STILL = [*TINY, "--generator", "patch", "--width", "16", "--optimizer", "sgd", "--lr", "1e-30", "--epochs", "50"]
STILL += ["--patience", "2"]


def epochs_of(folder) -> int:
    return state(folder)["counters"]["finished_epochs"]


def test_without_curriculum_patience_counts_from_the_first_validation(here):
    assert train_here(*STILL) == 0
    assert epochs_of(here / "checkpoints") == 3
    assert (here / "checkpoints" / "generator.safetensors").exists()
    assert state(here / "checkpoints", "best.pt")["counters"]["finished_epochs"] == 1


def test_patience_waits_for_the_last_phase(here):
    """Noise from epoch 4 on, at its ceiling in epoch 7: two validations later it is over."""
    curriculum = ["--pure_gan_mode", "0.25", "--gan_curriculum_start_epoch", "4"]
    assert train_here(*STILL, *curriculum) == 0
    folder = here / "checkpoints"
    assert epochs_of(folder) == 9
    validated = [line for line in figures(folder) if "val/current" in line]
    assert [line["phase"] for line in validated] == ["music"] * 3 + ["transition"] * 3 + ["noise"] * 3
    assert [line["val/since_best"] for line in validated][-3:] == [0, 1, 2]
    assert state(folder, "best.pt")["counters"]["phase"] == "noise"


def test_without_patience_a_run_goes_to_its_end(here):
    assert train_here(*STILL, "--patience", 0, "--epochs", 4) == 0
    assert epochs_of(here / "checkpoints") == 4


def test_all_ranks_stop_together(here):
    ranks = Ranks(2, *STILL, "--pure_gan_mode", "0.5")
    assert ranks.wait(60) == [0, 0]
    assert epochs_of(here / "checkpoints") == 4
    assert "finished at epoch 4" in ranks.output(0, "out")
    assert ranks.output(1, "out") == ""
    assert ranks.output(1, "err") == ""


def test_a_stopped_run_resumed_stays_stopped(here):
    assert train_here(*STILL) == 0
    before = figures(here / "checkpoints")
    assert train_here("--resume", "auto") == 0
    assert epochs_of(here / "checkpoints") == 3
    assert figures(here / "checkpoints") == before
    assert train_here("--resume", "auto", "--patience", 4) == 0
    assert epochs_of(here / "checkpoints") == 5
