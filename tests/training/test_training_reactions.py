"""Schedules that react to validation: their traces through the plan against their formulas, and their state."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_parts import tiny_config

from curriculum.pure_gan import alpha_at
from errors import UserError
from training.plan import Scheduler
from training.players import build_optimizer
from training.reactions import Reactions

CPU = torch.device("cpu")
PAIRS = BATCH = 4  # one step an epoch


def play(losses, d_losses=None, epochs=None, **options):
    """The plan of each epoch's step, the validation after epoch k+1 having measured `losses[k]`."""
    scheduler = Scheduler(tiny_config(**options), PAIRS, BATCH)
    plans = []
    for k, loss in enumerate(losses):
        plans.append(scheduler.plan(k, k * BATCH, list(range(k * BATCH, (k + 1) * BATCH)), CPU))
        figures = None if loss is None else {"val/current": loss, "val/clean": 1.0}
        if d_losses is not None:
            figures["val/d_loss"] = d_losses[k]
        scheduler.reactions.end_of_epoch(k + 1, plans[-1].alpha, figures)
    return plans


ADAPTIVE = {"pure_gan_mode": 0.1, "adaptive_alpha": True, "adaptive_alpha_threshold": 1.0}


def test_adaptive_alpha_by_its_formula():
    """Each validation under the threshold speeds the next step of alpha up by 1.1, each over it slows it by 0.9."""
    plans = play([0.5, 0.5, 2.0, None, 2.0, 0.5], **ADAPTIVE)
    speeds = [1.0, 1.1, 1.21, 1.21 * 0.9, 1.21 * 0.9, 1.21 * 0.81]
    assert [plan.alpha for plan in plans] == pytest.approx([0.1 * sum(speeds[: k + 1]) for k in range(6)])
    assert all(plan.alpha_B.tolist() == pytest.approx([plan.alpha] * 4) for plan in plans)


def test_adaptive_alpha_waits_for_its_start_and_ends_at_its_ceiling():
    plans = play([0.5] * 40, **ADAPTIVE, gan_curriculum_start_epoch=4, gan_noise_ceiling=0.6)
    alphas = [plan.alpha for plan in plans]
    assert alphas[:3] == [0, 0, 0] and alphas[3] == pytest.approx(0.1) and alphas[-1] == 0.6
    assert [plan.phase for plan in plans][:4] == ["music"] * 3 + ["transition"] and plans[-1].phase == "noise"
    assert alphas == sorted(alphas)


def test_adaptive_alpha_has_a_floor():
    plans = play([9.0] * 10, **ADAPTIVE, adaptive_alpha_floor=0.4)
    assert [plan.alpha for plan in plans][:3] == pytest.approx([0.4, 0.49, 0.571])


def test_the_default_threshold_is_half_as_much_again_as_when_noise_began():
    options = {"pure_gan_mode": 0.01, "adaptive_alpha": True, "gan_curriculum_start_epoch": 3}
    scheduler = Scheduler(tiny_config(**options), PAIRS, BATCH)
    reactions = scheduler.reactions
    assert reactions.threshold is None
    for epoch, loss in enumerate((5.0, 2.0), start=1):
        reactions.end_of_epoch(epoch, 0.0, {"val/current": loss})
    assert reactions.threshold == 3.0
    reactions.end_of_epoch(3, 0.01, {"val/current": 3.1})
    assert reactions.adaptive.speed == pytest.approx(0.9) and reactions.threshold == 3.0
    reactions.end_of_epoch(4, 0.019, {"val/current": 2.9})
    assert reactions.adaptive.speed == pytest.approx(0.99)


@given(st.integers(0, 30), st.floats(0.001, 0.5))
def test_at_the_threshold_it_is_the_plain_curriculum(start, rate):
    plans = play([1.0] * 40, **ADAPTIVE | {"pure_gan_mode": rate, "gan_curriculum_start_epoch": start})
    assert [plan.alpha for plan in plans] == pytest.approx([alpha_at(e, rate, start, 1.0) for e in range(1, 41)])


def test_plateaus_equal_torchs_for_each_network():
    generator = torch.Generator().manual_seed(3)
    losses = (1.0 + 0.02 * torch.randn(60, generator=generator)).tolist()
    d_losses = (0.7 + 0.02 * torch.randn(60, generator=generator)).tolist()
    settings = {"plateau_factor": 0.5, "plateau_patience": 3, "plateau_cooldown": 2, "plateau_min_ratio": 0.05}
    own = {"disc_plateau_factor": 0.8, "disc_plateau_patience": 1, "disc_plateau_cooldown": 0}
    options = {"lr_schedule": "plateau", "lr": 1e-3, "disc_lr": 4e-4, "disc_plateau_min_ratio": 0.3}
    plans = play(losses, d_losses, **options | settings | own)
    for rates, base, values, theirs in (
        ([plan.lr_g for plan in plans], 1e-3, losses, (0.5, 3, 2, 0.05)),
        ([plan.lr_d for plan in plans], 4e-4, d_losses, (0.8, 1, 0, 0.3)),
    ):
        assert rates == pytest.approx(torchs_trace(base, values, *theirs))
        assert len(set(rates)) > 3 and min(rates) == pytest.approx(theirs[3] * base)


def torchs_trace(base, values, factor, patience, cooldown, minimum):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, cooldown=cooldown, min_lr=minimum * base, eps=0
    )
    rates = []
    for value in values:
        rates.append(optimizer.param_groups[0]["lr"])
        oracle.step(value)
    return rates


def test_a_plateau_waits_for_the_figure_that_it_was_told():
    options = {"lr_schedule": "plateau", "plateau_patience": 0, "lr": 1e-3}
    still = play([1.0 / (k + 1) for k in range(5)], plateau_metric="clean", **options)
    assert [plan.lr_g for plan in still] == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4, 1.25e-4])
    moving = play([1.0 / (k + 1) for k in range(5)], plateau_metric="current", **options)
    assert [plan.lr_g for plan in moving] == [1e-3] * 5


def test_a_plateau_counts_anew_at_every_alpha():
    """Losses that rise because noise rises say nothing about the learning rate."""
    options = {"lr_schedule": "plateau", "plateau_patience": 0, "lr": 1e-3, "pure_gan_mode": 0.25}
    rates = [plan.lr_g for plan in play([1.0 + k for k in range(8)], **options)]
    assert rates[:5] == [1e-3] * 5  # alpha 0.25 to 1, and the first validation at 1 again
    assert rates[5:] == pytest.approx([5e-4, 2.5e-4, 1.25e-4])


def test_a_plateau_without_figures_stands_still():
    """No validation, or none of the discriminator while it has not joined."""
    plans = play([None, None, 1.0, 1.0, 1.0], lr_schedule="plateau", plateau_patience=0, disc_lr=1e-3)
    assert [plan.lr_d for plan in plans] == [1e-3] * 5


@given(st.lists(st.floats(0.1, 3.0), min_size=2, max_size=20), st.integers(1, 19))
def test_kept_and_restored_it_goes_on_alike(losses, cut):
    options = ADAPTIVE | {"lr_schedule": "plateau", "plateau_patience": 1, "adaptive_alpha_threshold": None}
    config = tiny_config(**options)
    whole, kept = Reactions(config), Reactions(config)
    for epoch, loss in enumerate(losses, start=1):
        for reactions in (whole, kept):
            alpha = reactions.adaptive.alpha
            reactions.end_of_epoch(epoch, alpha, {"val/current": loss, "val/d_loss": loss / 2})
        if epoch == cut:
            state = json.loads(json.dumps(kept.state()))
            kept = Reactions(config)
            kept.restore(state)
    assert kept.state() == whole.state()


def test_the_state_of_a_new_run_changes_nothing():
    reactions = Reactions(tiny_config(**ADAPTIVE))
    before = reactions.state()
    reactions.restore({})
    assert reactions.state() == before


@pytest.mark.parametrize(
    "options",
    [
        {"adaptive_alpha": True},
        {"lr_schedule": "plateau", "plateau_metric": "ceiling"},
    ],
)
def test_without_a_curriculum_there_is_nothing_to_adapt(options):
    with pytest.raises(UserError, match="--pure_gan_mode"):
        tiny_config(**options)


def test_the_discriminators_optimizer_is_its_own():
    module = torch.nn.Linear(2, 2)
    shared = tiny_config(optimizer="adam", beta1=0.3, beta2=0.9)
    own = tiny_config(optimizer="adam", beta1=0.3, beta2=0.9, disc_beta1=0.0, disc_beta2=0.99)
    other = tiny_config(optimizer="adam", disc_optimizer="sgd", beta1=0.3, disc_beta1=0.0)
    for config, network, kind, betas in (
        (shared, "g", "Adam", (0.3, 0.9)),
        (shared, "d", "Adam", (0.3, 0.9)),
        (own, "g", "Adam", (0.3, 0.9)),
        (own, "d", "Adam", (0.0, 0.99)),
    ):
        optimizer = build_optimizer(config, module, 1e-3, network)
        assert type(optimizer).__name__ == kind and optimizer.param_groups[0]["betas"] == betas
    optimizer = build_optimizer(other, module, 1e-3, "d")
    assert type(optimizer).__name__ == "SGD" and optimizer.param_groups[0]["momentum"] == 0.0
