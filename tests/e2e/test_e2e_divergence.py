"""A run whose numbers are no longer finite goes back, slower, and in the end says so and ends with exit code 3."""

import pytest
import torch
from e2e_runs import TINY, Ranks, figures, finished, plain, start, state, train_here

from training import recovery
from training.trainer import Trainer

pytestmark = pytest.mark.e2e
OPTIONS = [*TINY, "--max_bad_steps", 2, "--epochs", 3, "--save_every_steps", 1, "--generator", "patch", "--width", "16"]


@pytest.fixture
def spoil(monkeypatch):
    """Makes the generator's loss not a number from a step on, as often as wanted."""

    def _spoil(first: int, times: int) -> None:
        true_step, done = Trainer.generator_step, []

        def generator_step(trainer, view, made, plan):
            if plan.step >= first and len(done) < times:
                done.append(plan.step)
                made = made._replace(output_BDT=made.output_BDT * torch.tensor(float("nan")))
            return true_step(trainer, view, made, plan)

        monkeypatch.setattr(Trainer, "generator_step", generator_step)

    return _spoil


def test_a_bad_step_is_skipped_and_counted(spoil, here):
    spoil(first=3, times=1)
    assert train_here(*OPTIONS) == 0
    lines = figures(here / "checkpoints")
    assert [line["skipped/g"] for line in lines] == [0.0] * 3 + [1.0] * 9
    assert lines[3]["loss/g_total"] == "nan"
    assert all(isinstance(line["loss/g_total"], float) for line in lines[4:])


def test_bad_steps_in_a_row_go_back_to_the_last_good_save(spoil, here, capfd):
    spoil(first=5, times=2)
    assert train_here(*OPTIONS) == 0
    said = capfd.readouterr().out
    assert "is not finite at step 7" in said
    assert "back to step 5 with 0.5 x the learning rate (1 of 3)" in said
    lines, counters = figures(here / "checkpoints"), state(here / "checkpoints")["counters"]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert counters["rollbacks"] == 1
    assert counters["lr_factor"] == 0.5
    assert [line["lr/g"] for line in lines] == [1e-4] * 5 + [0.5e-4] * 7


def test_too_often_is_the_end(spoil, here, capfd):
    spoil(first=5, times=1000)
    assert train_here(*OPTIONS) == 3
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "training diverged" in said
    assert "loss/" in said
    assert "3 return(s)" in said
    assert not (here / "checkpoints" / "generator.safetensors").exists()
    assert all(weight.isfinite().all() for weight in state(here / "checkpoints")["trainer"]["generator"].values())


def test_a_rate_far_too_high_ends_all_ranks_together(here, monkeypatch):
    """No fault injected: updates of 1e30 overflow within a few steps."""
    monkeypatch.setattr(recovery, "MOST_ROLLBACKS", 1)
    options = [*OPTIONS, "--optimizer", "sgd", "--lr", "1e30", "--grad_clip", 0]
    ranks = Ranks(2, *options)
    assert ranks.wait(60) == [3, 3]
    said = ranks.output(0, "err") + ranks.output(1, "err")
    assert said.count("\n") == 1, said
    assert "training diverged" in said


def test_a_collapse_stops_the_run_where_that_is_wanted(here):
    """Any diversity counts as a collapse here; the plain launcher passes the worker's exit code on."""
    options = ["--epochs", 9, "--save_every_minutes", 0, "--health", "on_collapse=stop,diversity=50"]
    code, out, err = finished(start(plain(*TINY, *options), here))
    assert code == 3, err
    assert "health: mode collapse (diversity of generated clips" in out
    assert "Traceback" not in err
    assert state(here / "checkpoints")["counters"]["finished_epochs"] < 9
    assert not (here / "checkpoints" / "generator.safetensors").exists()
