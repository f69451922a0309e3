"""Adversarial post-training: pairs of a sample and the one it was made from, noised anew; the discriminator's start."""

import pytest
import torch
from training_parts import (
    TINY,
    WholePairs,
    identical,
    plan_for,
    take_batches,
    tiny_trainer,
    train_on,
    trainer_at,
    weights_of,
)

from config import make_config
from curriculum.mixing import sample_std
from losses.adversarial import contrastive
from runtime.seeding import Purpose
from training.step_plan import Schedules

ARC = {"generator": "patch", "width": 16, "gan_loss": "arc", "discriminator": "denoiser", "conditions": "alpha"}
ARC |= {"pure_gan_mode": 0.5, "easy_share": 1.0, "unity_test": True, "head_width": 8, "num_transformer_layers": 1}
PLAIN = {"disc_width", "disc_dropout"}  # options of other discriminators


def config_of(**options):
    return make_config({name: value for name, value in (TINY | ARC | options).items() if name not in PLAIN})


def set_up(step: int = 0, **options):
    return trainer_at(config_of(**options), step)


def test_the_real_is_the_sample_that_the_fake_was_made_from():
    trainer, batch, plan = set_up()
    view = trainer.view(batch, plan)
    assert torch.equal(view.real_BDT, view.target_BDT)
    assert not torch.equal(view.real_BDT, trainer.normalise(batch.real_BDT))


def test_both_get_the_same_noise_of_a_level_of_their_own():
    trainer, batch, plan = set_up()
    view = trainer.view(batch, plan)
    level_B = trainer.shown.level(0.3, batch.indices, torch.device("cpu"))
    assert len(level_B.unique()) == len(level_B) and level_B.min() >= 0 and level_B.max() < 1
    assert torch.equal(view.fake_conditions["alpha"], level_B) and torch.equal(view.real_conditions["alpha"], level_B)
    assert torch.equal(view.conditions["alpha"], plan.alpha_B), "the generator knows its own level"
    x_BDT = view.real_BDT
    shown = trainer.shown(x_BDT, batch.indices, Purpose.INSTANCE_REAL)
    assert shown.shape == (4, 2 * x_BDT.shape[1], x_BDT.shape[2])
    scale_B11 = (level_B * sample_std(x_BDT))[:, None, None]
    noises = [(half - (1 - level_B[:, None, None]) * x_BDT) / scale_B11 for half in shown.chunk(2, dim=1)]
    again = trainer.shown(2 * x_BDT, batch.indices, Purpose.INSTANCE_FAKE)
    torch.testing.assert_close(again, 2 * shown)  # the same noise, on the scale of the sample
    assert (noises[0] - noises[1]).std() > 1, "two versions with noise of their own"
    assert all(0.7 < noise.std() < 1.3 for noise in noises)
    source_noise = (view.source_input_BDT - (1 - plan.alpha_B[:, None, None]) * view.input_BDT).flatten()
    drawn = noises[0].flatten()
    assert abs(torch.corrcoef(torch.stack([source_noise, drawn]))[0, 1]) < 0.3, "not the generator's own noise again"


def test_without_renoising_it_sees_the_samples_themselves():
    trainer, batch, plan = set_up(renoise=0.0)
    x_BDT = trainer.view(batch, plan).real_BDT
    assert torch.equal(trainer.shown(x_BDT, batch.indices, Purpose.INSTANCE_REAL), torch.cat([x_BDT, x_BDT], 1))


def test_the_discriminator_starts_from_the_generator_in_the_step_in_which_it_joins():
    config = config_of(g_pretrain_steps=2)
    trainer, plans = tiny_trainer(config), []
    embeds = []
    for step, batch in enumerate(take_batches(config, 4)):
        plan = plan_for(config, batch, step)
        plans.append(plan.discriminator_joins)
        generators = weights_of(trainer.generator)["generator.stages.0.embed.weight"]
        trainer.step(batch, plan)
        moved = weights_of(trainer.discriminator)["backbone.stages.0.embed.weight"]
        embeds.append((generators - moved).abs().max().item())
    assert plans == [False, False, True, False]
    assert embeds[0] == 0 and embeds[1] > 0, "the copy that it was built from stays while the generator learns"
    assert 0 < embeds[2] < 0.01, "the generator's weights, and one update"


def test_the_first_step_with_a_discriminator_is_found_for_any_batch():
    for batch_size in (1, 3, 4):
        schedules = Schedules(config_of(g_pretrain_steps=5, batch_size=batch_size), 8, batch_size)
        joins = [
            schedules.plan(step, step * batch_size, [0], torch.device("cpu")).discriminator_joins for step in range(9)
        ]
        assert joins == [step == 5 for step in range(9)]


def test_the_regression_fades_by_as_much_as_the_adversarial_loss_comes_in():
    config = config_of(g_pretrain_steps=2, adv_ramp_steps=4, recon_fade="linear", pure_gan_mode=1.0, easy_share=0.0)
    schedules = Schedules(config, 8, 4)
    weights = [schedules.plan(s, 4 * s, [0], torch.device("cpu")).recon_weight_B.item() for s in range(8)]
    assert weights == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0, 0])  # at alpha 1 the linear fade is 0


def test_after_it_has_joined_easy_samples_have_another_share():
    config = config_of(g_pretrain_steps=2, adversarial_easy_share=0.0, pure_gan_mode=1.0)
    schedules = Schedules(config, 8, 4)
    early, late = (schedules.plan(s, 4 * s, [4, 5, 6], torch.device("cpu")).alpha_B for s in (1, 2))
    assert early.max() < 1 and torch.equal(late, torch.ones(3))


def test_contrasts_have_their_formula_and_equal_labels_have_no_gradient():
    right_B, wrong_B = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.0])
    expected_B = torch.log(1 + torch.exp(wrong_B - right_B))
    torch.testing.assert_close(contrastive(right_B, wrong_B), expected_B)
    logit_B = torch.tensor([0.7], requires_grad=True)
    contrastive(logit_B, logit_B).sum().backward()
    assert logit_B.grad.item() == 0


@pytest.mark.parametrize("more", [{}, {"discriminator": "denoiser+spectrogram"}, {"r1_weight": 1.0, "r2_weight": 1.0}])
def test_both_networks_learn(more):
    trainer, batch, plan = set_up(**more)
    before = weights_of(trainer.generator), weights_of(trainer.discriminator)
    metrics = trainer.step(batch, plan)
    for old, network in zip(before, (trainer.generator, trainer.discriminator), strict=True):
        changed = [name for name, weight in weights_of(network).items() if not torch.equal(weight, old[name])]
        assert len(changed) > len(old) / 4
    assert all(value.isfinite() for value in metrics.values())


def test_a_run_stopped_before_and_one_stopped_after_it_joined_resume_exactly(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dataset_pairs_wav").mkdir()  # that a dataset is there is checked before it is opened
    pairs = WholePairs(8, 12, 4, random=True)
    given = ARC | TINY | {"epochs": 4, "g_pretrain_steps": 3, "r1_weight": 1.0, "save_every": 1, "sample_every": 0}
    given |= {"batch_size": 4, "val_every": 2, "adv_ramp_steps": 2, "adversarial_easy_share": 0.5}
    given = {name: value for name, value in given.items() if name not in PLAIN}
    states = []
    for stop in (None, 2, 3, 5):
        home = tmp_path / f"run_{stop}"
        run = train_on(
            pairs,
            monkeypatch,
            make_config(given | {"checkpoint_dir": str(home)} | ({"max_steps": stop} if stop else {})),
        )
        if stop:
            run = train_on(pairs, monkeypatch, make_config({"resume": str(home / "last.pt"), "epochs": 4}))
        states.append(run.trainer.state_dict())
    assert all(identical(states[0], state) for state in states[1:])
