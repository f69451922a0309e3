"""Every schedule, read through the plan of each step, against its formula."""

import math
from pathlib import Path

import pytest
import torch
from training_parts import tiny_config

from command_line import parse
from training.step_plan import Schedules

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]


def trace(steps: int, pairs: int = 24, batch: int = 4, **options) -> list:
    schedules = Schedules(tiny_config(**options), pairs, batch)
    return [schedules.plan(s, s * batch, list(range(s * batch, (s + 1) * batch)), CPU) for s in range(steps)]


@pytest.mark.parametrize(
    ("command", "table"),
    [
        (
            "--pure_gan_mode 0.01 --gan_curriculum_start_epoch 51",
            {1: 0, 50: 0, 51: 0.01, 75: 0.25, 100: 0.5, 125: 0.75, 150: 1, 151: 1, 200: 1},
        ),
        (
            "--pure_gan_mode 0.01 --gan_curriculum_start_epoch 86 --gan_noise_ceiling 0.3",
            {85: 0, 86: 0.01, 100: 0.15, 115: 0.3, 150: 0.3},
        ),
        ("--pure_gan_mode 0.02 --gan_curriculum_start_epoch 26", {25: 0, 26: 0.02, 75: 1.0}),
        ("--pure_gan_mode 0.005 --gan_curriculum_start_epoch 101", {100: 0, 101: 0.005, 300: 1.0}),
        ("--pure_gan_mode 0.01", {1: 0.01, 2: 0.02}),
        ("--pure_gan_mode 0.01 --gan_curriculum_start_epoch 0", {1: 0.01, 2: 0.02}),
        ("--pure_gan_mode 100 --gan_noise_ceiling 0.25", {1: 0.25, 2: 0.25}),
        ("", {1: 0, 200: 0}),
    ],
)
def test_the_curriculums_table(command, table):
    """Each epoch's first and last step, as the worker reads them: 100 pairs, batches of 4."""
    schedules = Schedules(parse([*command.split(), "--epochs", "400"]), 100, 4)
    for epoch, alpha in table.items():
        for seen in ((epoch - 1) * 100, epoch * 100 - 4):
            plan = schedules.plan(seen // 4, seen, list(range(seen, seen + 4)), CPU)
            assert plan.epoch == epoch
            assert plan.alpha == pytest.approx(alpha, abs=1e-12)
            assert plan.alpha_B.tolist() == pytest.approx([alpha] * 4, abs=1e-7)


def test_a_batch_across_an_epochs_end_holds_two_alphas():
    schedules = Schedules(tiny_config(pure_gan_mode=0.1), 10, 4)
    plan = schedules.plan(2, 8, [8, 9, 10, 11], CPU)
    assert plan.alpha_B.tolist() == pytest.approx([0.1, 0.1, 0.2, 0.2])


def test_phases_follow_the_curriculum():
    plans = trace(30, pure_gan_mode=0.5, gan_curriculum_start_epoch=3)
    assert [plan.phase for plan in plans[::6]] == ["music", "music", "transition", "noise", "noise"]
    assert {plan.phase for plan in trace(12)} == {"music"}


def test_easy_cases_stay_to_the_end_and_belong_to_their_sample():
    plans = trace(200, pairs=40, pure_gan_mode=0.1, easy_share=0.25)[100:]
    alphas = torch.cat([plan.alpha_B for plan in plans])
    assert {plan.alpha for plan in plans} == {1.0}
    assert (alphas < 1).float().mean() == pytest.approx(0.25, abs=0.06)
    assert alphas[alphas < 1].std() == pytest.approx(12**-0.5, rel=0.15)
    config = tiny_config(pure_gan_mode=0.1, easy_share=1.0)
    alone = Schedules(config, 40, 4).plan(20, 80, [82], CPU).alpha_B
    together = Schedules(config, 40, 4).plan(20, 80, [80, 81, 82, 83], CPU).alpha_B
    assert torch.equal(together[2:3], alone)


def test_linear_warm_up():
    plans = trace(12, g_warmup_steps=5, d_warmup_steps=8, lr=1e-3, disc_lr=4e-3)
    assert [p.lr_g for p in plans] == pytest.approx([1e-3 * min(1, (s + 1) / 5) for s in range(12)])
    assert [p.lr_d for p in plans] == pytest.approx([4e-3 * min(1, (s + 1) / 8) for s in range(12)])


def test_the_discriminators_warm_up_begins_when_it_does():
    plans = trace(12, g_pretrain_steps=4, d_warmup_steps=5, disc_lr=1.0)
    assert [p.lr_d for p in plans[4:]] == pytest.approx([min(1, (s + 1) / 5) for s in range(8)])


def test_cosine_after_warm_up():
    steps, warm = 60, 10  # 10 epochs of 6 steps
    plans = trace(steps, epochs=10, lr_schedule="cosine", g_warmup_steps=warm, lr=1.0)
    assert [p.lr_g for p in plans[:warm]] == pytest.approx([(s + 1) / warm for s in range(warm)])
    expected = [0.5 + 0.5 * math.cos(math.pi * (s - warm) / (steps - warm)) for s in range(warm, steps)]
    assert [p.lr_g for p in plans[warm:]] == pytest.approx(expected)
    assert 0 < plans[-1].lr_g < 0.01


def test_constant_rates_without_schedules():
    plans = trace(20, lr=1e-3)
    assert {p.lr_g for p in plans} == {1e-3}
    assert {p.lr_d for p in plans} == {5e-4}


def test_pretraining_and_the_adversarial_ramp():
    plans = trace(20, g_pretrain_steps=5, adv_ramp_steps=8, gan_weight=0.4, disc_update_freq=1)
    assert [p.pretraining for p in plans] == [s < 5 for s in range(20)]
    assert [p.train_d for p in plans] == [s >= 5 for s in range(20)]
    assert all(p.train_g for p in plans)
    shares = [min(1.0, max(0, s - 5) / 8) for s in range(20)]
    assert [p.gan_weight for p in plans] == pytest.approx([0.4 * share for share in shares])


@pytest.mark.parametrize(("option", "flag"), [("n_critic", "train_g"), ("disc_update_freq", "train_d")])
@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_updates_every_so_many_steps(option, flag, every):
    plans = trace(30, **{option: every})
    on = [s for s, plan in enumerate(plans) if getattr(plan, flag)]
    assert len(on) == 30 // every
    assert {b - a for a, b in zip(on, on[1:], strict=False)} == {every}
    other = "train_d" if flag == "train_g" else "train_g"
    assert all(getattr(plan, other) for plan in plans)


@pytest.mark.parametrize(("every", "freq"), [(1, 1), (4, 1), (3, 2)])
def test_rare_penalties_weigh_as_much_in_the_mean(every, freq):
    plans = trace(60, penalty_every=every, disc_update_freq=freq, r1_weight=1.0)
    factors = [p.penalty_factor for p in plans if p.train_d]
    assert set(factors) <= {0.0, float(every)} and sum(factors) == len(factors)
    assert [k for k, factor in enumerate(factors, start=1) if factor] == list(range(every, len(factors) + 1, every))


def test_the_generator_learns_at_every_step_of_pretraining():
    plans = trace(12, n_critic=3, g_pretrain_steps=6)
    assert all(p.train_g for p in plans[:6])
    assert sum(p.train_g for p in plans[6:]) == 2


def test_without_adversarial_weight_the_discriminator_rests():
    assert not any(p.train_d for p in trace(10, gan_weight=0.0))


def test_instance_noise_decays_by_its_factor_each_epoch():
    plans = trace(24, instance_noise_std=0.2, instance_noise_decay=0.5)
    assert [p.instance_noise for p in plans] == pytest.approx([0.2 * 0.5 ** (s / 6) for s in range(24)])
    assert {p.instance_noise for p in trace(6)} == {0.0}


def test_decoding_every_so_many_updates_of_the_generator():
    plans = trace(40, loss_weight_mel=1.0, decode_every=4)
    assert sum(p.decode for p in plans) == 10
    assert all(p.decode for p in trace(5, loss_weight_spectral=1.0, decode_every=1))
    assert not any(p.decode for p in trace(10))
    slow = trace(60, loss_weight_mel=1.0, decode_every=4, n_critic=3)
    updates = [p for p in slow if p.train_g]
    assert sum(p.decode for p in updates) == len(updates) // 4


FADES = {
    "off": lambda a: 1.0,
    "linear": lambda a: 1 - a,
    "known": lambda a: (1 - a) ** 2 / ((1 - a) ** 2 + a**2),
    "between": lambda a: 4 * FADES["known"](a) * (1 - FADES["known"](a)),
}


@pytest.mark.parametrize("gan_fade", FADES)
@pytest.mark.parametrize("recon_fade", FADES)
def test_both_losses_fade_sample_by_sample_and_apart(recon_fade, gan_fade):
    alphas = set()
    for plan in trace(30, pure_gan_mode=0.25, easy_share=0.5, recon_fade=recon_fade, gan_fade=gan_fade):
        for fade, weight_B in ((recon_fade, plan.recon_weight_B), (gan_fade, plan.gan_fade_B)):
            expected = [FADES[fade](a) for a in plan.alpha_B.tolist()]
            assert weight_B.tolist() == pytest.approx(expected, abs=1e-6)
        alphas.update(plan.alpha_B.tolist())
    assert len(alphas) > 30


def test_the_levels_of_a_validation():
    schedules = Schedules(tiny_config(pure_gan_mode=0.1, gan_noise_ceiling=0.8), 24, 4)
    assert schedules.levels(3) == pytest.approx({"clean": 0.0, "current": 0.3, "ceiling": 0.8})
    assert Schedules(tiny_config(), 24, 4).levels(3) == {"clean": 0.0, "current": 0.0}


def test_schedules_mean_the_same_on_any_number_of_devices():
    """Schedules count samples: a global batch of 8 reads at sample 32 what one of 2 reads there."""
    options = {"lr_schedule": "cosine", "pure_gan_mode": 0.1, "instance_noise_std": 0.3, "instance_noise_decay": 0.9}
    small, large = trace(48, batch=2, **options), trace(12, batch=8, **options)
    for k, plan in enumerate(large):
        other = small[4 * k]
        assert (plan.epoch, plan.alpha, plan.phase) == (other.epoch, other.alpha, other.phase)
        assert plan.lr_g == pytest.approx(other.lr_g)
        assert plan.instance_noise == pytest.approx(other.instance_noise)


@pytest.mark.parametrize(("recipe", "networks"), [("hinge", "g"), ("rpgan", "gd")])
def test_recipes_with_a_cosine_warm_up(recipe, networks):
    """At half of its 200 steps a learning rate has half its height, at a quarter 15 %, as half a cosine has."""
    config = parse(["--config", str(ROOT / "recipes" / f"{recipe}.yaml")])
    schedules = Schedules(config, 16_000, 16)
    full = {"g": config.optimizer.lr, "d": config.optimizer.discriminator_lr}
    for step in (0, 49, 99, 199, 900):
        plan = schedules.plan(step, 16 * step, [16 * step], torch.device("cpu"))
        share = min(1.0, step / 199)
        expected = 1 / 200 + (1 - 1 / 200) * (0.5 - 0.5 * math.cos(math.pi * share))
        for network in networks:
            assert getattr(plan, f"lr_{network}") == pytest.approx(full[network] * expected)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gan_weight": 0.1, "g_pretrain_steps": 59}, []),
        ({"gan_weight": 0.1, "g_pretrain_steps": 60}, ["--g_pretrain_steps is 60, and the whole run has 60 steps"]),
        ({"gan_weight": 0.0, "g_pretrain_steps": 60}, []),
        ({"pure_gan_mode": 0.1}, []),
        ({"pure_gan_mode": 0.1, "gan_curriculum_start_epoch": 2}, ["alpha ends at 0.90, not at 1"]),
        ({"pure_gan_mode": 0.1, "gan_curriculum_start_epoch": 2, "gan_noise_ceiling": 0.5}, []),
        ({"pure_gan_mode": 0.1, "gan_curriculum_start_epoch": 2, "adaptive_alpha": "level"}, []),
        ({}, []),
    ],
)
def test_schedules_for_which_a_run_is_too_short_are_said(options, said):
    remarks = Schedules(tiny_config(epochs=10, **options), 24, 4).remarks()
    assert len(remarks) == len(said) and all(words in remark for words, remark in zip(said, remarks, strict=True))
