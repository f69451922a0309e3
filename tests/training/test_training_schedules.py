"""Schedules that remember validations: their traces through the plan against their formulas, and their state."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_parts import tiny_config

from curriculum.alpha import alpha_at
from errors import UserError
from training.step_plan import Schedules

CPU = torch.device("cpu")
PAIRS = BATCH = 4  # one step an epoch


def schedules_for(**options) -> Schedules:
    return Schedules(tiny_config(**options), PAIRS, BATCH)


def run_epochs(losses, d_losses=None, **options):
    """The plan of each epoch's step, the validation after epoch k+1 having measured `losses[k]`."""
    schedules = schedules_for(**options)
    plans = []
    for k, loss in enumerate(losses):
        plans.append(schedules.plan(k, k * BATCH, list(range(k * BATCH, (k + 1) * BATCH)), CPU))
        metrics = None if loss is None else {"val/current": loss, "val/clean": 1.0}
        if d_losses is not None:
            metrics["val/d_loss"] = d_losses[k]
        schedules.end_of_epoch(k + 1, plans[-1].alpha, metrics)
    return plans


ADAPTIVE = {"pure_gan_mode": 0.1, "adaptive_alpha": "speed", "adaptive_alpha_threshold": 1.0}


def test_adaptive_alpha_by_its_formula():
    """Each validation under the threshold speeds the next step of alpha up by 1.1, each over it slows it by 0.9."""
    plans = run_epochs([0.5, 0.5, 2.0, None, 2.0, 0.5], **ADAPTIVE)
    speeds = [1.0, 1.1, 1.21, 1.21 * 0.9, 1.21 * 0.9, 1.21 * 0.81]
    assert [plan.alpha for plan in plans] == pytest.approx([0.1 * sum(speeds[: k + 1]) for k in range(6)])
    assert all(plan.alpha_B.tolist() == pytest.approx([plan.alpha] * 4) for plan in plans)


def test_adaptive_alpha_waits_for_its_start_and_ends_at_its_ceiling():
    plans = run_epochs([0.5] * 40, **ADAPTIVE, gan_curriculum_start_epoch=4, gan_noise_ceiling=0.6)
    alphas = [plan.alpha for plan in plans]
    assert alphas[:3] == [0, 0, 0] and alphas[3] == pytest.approx(0.1) and alphas[-1] == 0.6
    assert [plan.phase for plan in plans][:4] == ["music"] * 3 + ["transition"] and plans[-1].phase == "noise"
    assert alphas == sorted(alphas)


def test_adaptive_alpha_has_a_floor():
    plans = run_epochs([9.0] * 10, **ADAPTIVE, adaptive_alpha_floor=0.4)
    assert [plan.alpha for plan in plans][:3] == pytest.approx([0.4, 0.49, 0.571])


def test_the_default_threshold_is_half_as_much_again_as_when_noise_began():
    schedules = schedules_for(pure_gan_mode=0.01, adaptive_alpha="speed", gan_curriculum_start_epoch=3)
    adaptive = schedules.curriculum
    assert adaptive.threshold is None
    for epoch, loss in enumerate((5.0, 2.0), start=1):
        schedules.end_of_epoch(epoch, 0.0, {"val/current": loss})
    assert adaptive.threshold == 3.0
    schedules.end_of_epoch(3, 0.01, {"val/current": 3.1})
    assert adaptive.state.speed == pytest.approx(0.9) and adaptive.threshold == 3.0
    schedules.end_of_epoch(4, 0.019, {"val/current": 2.9})
    assert adaptive.state.speed == pytest.approx(0.99)


@given(st.integers(0, 30), st.floats(0.001, 0.5))
def test_at_the_threshold_it_is_the_plain_curriculum(start, rate):
    plans = run_epochs([1.0] * 40, **ADAPTIVE | {"pure_gan_mode": rate, "gan_curriculum_start_epoch": start})
    assert [plan.alpha for plan in plans] == pytest.approx([alpha_at(e, rate, start, 1.0) for e in range(1, 41)])


def test_plateaus_equal_torchs_for_each_network():
    generator = torch.Generator().manual_seed(3)
    losses = (1.0 + 0.02 * torch.randn(60, generator=generator)).tolist()
    d_losses = (0.7 + 0.02 * torch.randn(60, generator=generator)).tolist()
    options = {"lr_schedule": "plateau", "plateau_factor": 0.4, "plateau_patience": 3, "lr": 1e-3, "disc_lr": 4e-4}
    plans = run_epochs(losses, d_losses, **options)
    for rates, base, values in (
        ([plan.lr_g for plan in plans], 1e-3, losses),
        ([plan.lr_d for plan in plans], 4e-4, d_losses),
    ):
        assert rates == pytest.approx(torchs_trace(base, values, factor=0.4, patience=3))
        assert len(set(rates)) > 3 and min(rates) == pytest.approx(0.01 * base)  # never under a hundredth


def torchs_trace(base, values, factor, patience):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, min_lr=0.01 * base, eps=0
    )
    rates = []
    for value in values:
        rates.append(optimizer.param_groups[0]["lr"])
        oracle.step(value)
    return rates


def test_a_plateau_waits_for_the_metric_of_its_option():
    options = {"lr_schedule": "plateau", "plateau_patience": 0, "lr": 1e-3, "disc_lr": 1e-3}
    falling = [1.0 / (k + 1) for k in range(5)]
    reduced, constant = pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4]), [1e-3] * 5
    still = run_epochs(falling, plateau_metric="clean", disc_plateau_metric="current", **options)
    assert [plan.lr_g for plan in still] == reduced and [plan.lr_d for plan in still] == constant
    moving = run_epochs(falling, plateau_metric="current", disc_plateau_metric="clean", **options)
    assert [plan.lr_g for plan in moving] == constant and [plan.lr_d for plan in moving] == reduced


def test_a_plateau_counts_anew_at_every_alpha():
    """Losses that rise because noise rises say nothing about the learning rate."""
    options = {"lr_schedule": "plateau", "plateau_patience": 0, "lr": 1e-3, "pure_gan_mode": 0.25}
    rates = [plan.lr_g for plan in run_epochs([1.0 + k for k in range(8)], **options)]
    assert rates[:5] == [1e-3] * 5  # alpha 0.25 to 1, and the first validation at 1 again
    assert rates[5:] == pytest.approx([5e-4, 2.5e-4, 1.25e-4])


def test_a_plateau_without_metrics_stands_still():
    """No validation, or none of the discriminator while it has not joined."""
    plans = run_epochs([None, None, 1.0, 1.0, 1.0], lr_schedule="plateau", plateau_patience=0, disc_lr=1e-3)
    assert [plan.lr_d for plan in plans] == [1e-3] * 5


def test_a_plateau_scales_the_warm_up_too():
    options = {"lr_schedule": "plateau", "plateau_patience": 0, "lr": 1.0, "g_warmup_steps": 5}
    rates = [plan.lr_g for plan in run_epochs([1.0] * 6, **options)]
    assert rates == pytest.approx([0.2, 0.4, 0.3, 0.2, 0.125, 0.0625])


@given(st.lists(st.floats(0.1, 3.0), min_size=2, max_size=20), st.integers(1, 19))
def test_kept_and_put_back_they_go_on_alike(losses, cut):
    options = ADAPTIVE | {"lr_schedule": "plateau", "plateau_patience": 1, "adaptive_alpha_threshold": None}
    whole, kept = schedules_for(**options), schedules_for(**options)
    for epoch, loss in enumerate(losses, start=1):
        for schedules in (whole, kept):
            alpha = schedules.alpha(epoch)
            schedules.end_of_epoch(epoch, alpha, {"val/current": loss, "val/d_loss": loss / 2})
        if epoch == cut:
            state = json.loads(json.dumps(kept.state_dict()))
            kept = schedules_for(**options)
            kept.load_state_dict(state)
    assert kept.state_dict() == whole.state_dict()
    step = len(losses)
    indices = list(range(step * BATCH, (step + 1) * BATCH))
    plans = [schedules.plan(step, step * BATCH, indices, CPU) for schedules in (kept, whole)]
    assert plans[0].lr_g == plans[1].lr_g and plans[0].lr_d == plans[1].lr_d and plans[0].alpha == plans[1].alpha


def test_the_empty_state_of_an_early_version_changes_nothing():
    schedules = schedules_for(**ADAPTIVE)
    before = schedules.state_dict()
    schedules.load_state_dict({})
    assert schedules.state_dict() == before


@pytest.mark.parametrize(("before", "after"), [("constant", "plateau"), ("plateau", "cosine"), ("cosine", "constant")])
def test_a_run_may_go_on_with_another_schedule_of_its_learning_rates(before, after):
    """What both have in common is kept: the adaptive curriculum."""
    old, new = (schedules_for(**ADAPTIVE, lr_schedule=name) for name in (before, after))
    fresh = new.state_dict()["rates"]
    old.end_of_epoch(1, 0.1, {"val/current": 0.5, "val/d_loss": 0.5})
    new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    assert new.state_dict()["adaptive"] == old.state_dict()["adaptive"]
    assert new.state_dict()["rates"] == fresh


@pytest.mark.parametrize(
    "options",
    [
        {"adaptive_alpha": True},
        {"lr_schedule": "plateau", "plateau_metric": "ceiling"},
        {"lr_schedule": "plateau", "disc_plateau_metric": "ceiling"},
    ],
)
def test_without_a_curriculum_there_is_nothing_to_adapt(options):
    with pytest.raises(UserError, match="--pure_gan_mode"):
        tiny_config(**options)
