"""The two updates: clean reals, clean targets, noise for the generator alone, and neither touches the other network."""

import dataclasses

import pytest
import torch
from training_parts import (
    PAIRS,
    gradients_of,
    identical,
    optimizer_of,
    plan_for,
    take_batches,
    tiny_config,
    tiny_trainer,
    weights_of,
)

from losses import reconstruction
from losses.options import RECONSTRUCTION

NOISE_ONLY = {"pure_gan_mode": 1.0}  # alpha is 1 from the first epoch on
GAN_OPTIONS = {
    "bce": {"gan_loss": "bce"},
    "hinge": {"gan_loss": "hinge"},
    "lsgan": {"gan_loss": "lsgan", "label_smoothing": 0.9},
    "wgan-gp": {"gan_loss": "wgan-gp", "centring_weight": 0.01},
    "rpgan": {"gan_loss": "rpgan", "r1_weight": 1.0, "r2_weight": 0.5},
    "features": {"feature_matching_weight": 1.0},
    "masks": {"mask_type": "hybrid", "mask_temporal_segment": 4},
    "creative": {"use_creative_agent": True},
    "compositional": {"use_compositional_agent": True},
}
each_objective = pytest.mark.parametrize("options", GAN_OPTIONS.values(), ids=GAN_OPTIONS)


def set_up(step: int = 0, **options):
    config = tiny_config(**options)
    batch = take_batches(config, step + 1)[step]
    return tiny_trainer(config), batch, plan_for(config, batch, step)


def spy_on(module: torch.nn.Module) -> list[torch.Tensor]:
    """Everything that a module is shown, call by call."""
    seen = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    return seen


# --- clean means clean ---------------------------------------------------------------------------------------------


@each_objective
def test_the_discriminators_reals_are_clean_at_alpha_one(options):
    trainer, batch, plan = set_up(**NOISE_ONLY | options)
    shown = spy_on(trainer.discriminator)
    made = []
    trainer.generator.register_forward_hook(lambda _, __, output: made.append(output.output_BDT.detach().clone()))
    trainer.step(batch, plan)
    real_BDT, (fake_BDT,) = trainer.normalise(batch.real_BDT), made
    count = len(real_BDT)
    joined = shown[0]
    assert torch.equal(joined[:count], real_BDT)
    assert torch.equal(joined[count : 2 * count], fake_BDT)
    later = [x for x in shown[1:] if len(x) == count]
    assert torch.equal(later[-1], fake_BDT)
    if trainer.objective.needs_real_in_generator or options.get("feature_matching_weight"):
        assert torch.equal(later[-2], real_BDT)


def test_instance_noise_is_the_same_kind_for_real_and_fake():
    trainer, batch, plan = set_up(**NOISE_ONLY, instance_noise_std=0.25)
    shown = spy_on(trainer.discriminator)
    made = train_and_keep_output(trainer, batch, plan)
    clean = torch.cat([trainer.normalise(batch.real_BDT), made])
    added = (shown[0] - clean).unflatten(0, (2, -1))
    assert added.std(dim=(1, 2, 3)).tolist() == pytest.approx([0.25, 0.25], rel=0.25)
    assert (added[0] - added[1]).std() > 0.2
    assert torch.allclose(shown[1] - made, added[1], atol=1e-6)  # in the generator's step under the same noise


def train_and_keep_output(trainer, batch, plan) -> torch.Tensor:
    made = []
    handle = trainer.generator.register_forward_hook(
        lambda _, __, output: made.append(output.output_BDT.detach().clone())
    )
    trainer.step(batch, plan)
    handle.remove()
    return made[0]


@pytest.mark.parametrize("measure", list(RECONSTRUCTION))
@pytest.mark.parametrize(
    "options", [{}, GAN_OPTIONS["masks"], GAN_OPTIONS["creative"]], ids=["plain", "masks", "agent"]
)
def test_the_targets_of_losses_are_clean_at_alpha_one(measure, options, monkeypatch):
    compared = []
    true_measure = RECONSTRUCTION[measure].load()

    def spy(output, target):
        compared.append(target.clone())
        return true_measure(output, target)

    monkeypatch.setattr(reconstruction, measure, spy)
    trainer, batch, plan = set_up(**NOISE_ONLY | options, loss_reconstruction=measure)
    trainer.step(batch, plan)
    assert len(compared) == 2
    assert torch.equal(compared[0], trainer.normalise(batch.input_BDT))
    assert torch.equal(compared[1], trainer.normalise(batch.target_BDT))


def test_decoded_losses_are_of_the_clean_sources():
    trainer, batch, plan = set_up(
        **NOISE_ONLY, encoding_dim=128, nhead=8, loss_weight_mel=1.0, decode_every=1, batch_size=2
    )
    compared = []
    trainer.decoded_losses = lambda output, source, target: (
        compared.append((source, target)) or (output.mean((1, 2)), {"loss/mel": output.mean((1, 2))})
    )
    trainer.step(batch, plan)
    ((source, target),) = compared
    assert torch.allclose(source, batch.input_BDT, atol=1e-4)
    assert torch.allclose(target, batch.target_BDT, atol=1e-4)


# --- the generator's sources ---------------------------------------------------------------------------------------


def test_at_alpha_zero_the_batch_is_bit_identical():
    for options in ({}, {"pure_gan_mode": 0.5, "gan_curriculum_start_epoch": 9}):
        trainer, batch, plan = set_up(**options)
        view = trainer.view(batch, plan)
        assert torch.equal(view.source_input_BDT, trainer.normalise(batch.input_BDT))
        assert torch.equal(view.source_target_BDT, trainer.normalise(batch.target_BDT))


def test_at_alpha_one_nothing_of_the_music_is_left_but_its_level():
    trainer, batch, plan = set_up(**NOISE_ONLY)
    view = trainer.view(batch, plan)
    scale = 3.0
    turned = dataclasses.replace(batch, input_BDT=-batch.input_BDT, target_BDT=-batch.target_BDT)
    trainer.space = dataclasses.replace(trainer.space, mean_D=torch.zeros_like(trainer.space.mean_D))
    view, other = trainer.view(batch, plan), trainer.view(turned, plan)
    assert torch.equal(view.source_input_BDT, other.source_input_BDT)
    assert torch.equal(view.source_target_BDT, other.source_target_BDT)
    louder = dataclasses.replace(batch, input_BDT=scale * batch.input_BDT)
    assert torch.allclose(trainer.view(louder, plan).source_input_BDT, scale * view.source_input_BDT, rtol=1e-5)
    levels = view.source_input_BDT.std((1, 2)) / view.input_BDT.std((1, 2))
    assert levels.tolist() == pytest.approx([1.0] * 4, abs=0.4)
    assert not torch.equal(view.source_input_BDT, view.source_target_BDT)


def test_noise_is_fresh_every_epoch_and_the_same_when_seen_again():
    config = tiny_config(**NOISE_ONLY)
    trainer = tiny_trainer(config)
    per_epoch = PAIRS // 4
    noises = {}
    for step, batch in enumerate(take_batches(config, 3 * per_epoch)):
        view = trainer.view(batch, plan_for(config, batch, step))
        again = trainer.view(batch, plan_for(config, batch, step))
        assert torch.equal(view.source_input_BDT, again.source_input_BDT)
        for row, index in enumerate(batch.indices):
            noises[index] = view.source_input_BDT[row]
    assert len(noises) == 3 * PAIRS
    drawn = torch.stack(list(noises.values())).flatten(1)
    assert len(drawn.round(decimals=4).unique(dim=0)) == 3 * PAIRS


def test_half_way_both_are_mixed_by_the_formula():
    trainer, batch, plan = set_up(pure_gan_mode=0.5)
    assert plan.alpha_B.tolist() == [0.5] * 4
    view = trainer.view(batch, plan)
    for mixed, clean in ((view.source_input_BDT, view.input_BDT), (view.source_target_BDT, view.target_BDT)):
        std_B11 = clean.std((1, 2), correction=0).view(-1, 1, 1)
        noise = (mixed - 0.5 * clean) / (0.5 * std_B11)
        assert abs(float(noise.mean())) < 0.4
        assert float(noise.std()) == pytest.approx(1, abs=0.25)


# --- who may touch whom --------------------------------------------------------------------------------------------


@each_objective
def test_the_generators_step_leaves_the_discriminator_untouched(options):
    trainer, batch, plan = set_up(**NOISE_ONLY | options)
    view = trainer.view(batch, plan)
    for number, parameter in enumerate(trainer.discriminator.parameters()):
        parameter.grad = torch.full_like(parameter, float(number))
    weights, gradients = weights_of(trainer.discriminator), gradients_of(trainer.discriminator)
    optimizer = optimizer_of(trainer.update_d)
    made = trainer.generate(view, plan)
    before = weights_of(trainer.generator)
    trainer.generator_step(view, made, plan)
    assert identical(weights_of(trainer.discriminator), weights)
    assert identical(gradients_of(trainer.discriminator), gradients)
    assert identical(optimizer_of(trainer.update_d), optimizer)
    assert not identical(weights_of(trainer.generator), before)
    assert all(parameter.requires_grad for parameter in trainer.discriminator.parameters())


@each_objective
def test_the_discriminators_step_leaves_the_generator_untouched(options):
    trainer, batch, plan = set_up(**NOISE_ONLY | options)
    view = trainer.view(batch, plan)
    made = trainer.generate(view, plan)
    weights, before = weights_of(trainer.generator), weights_of(trainer.discriminator)
    trainer.discriminator_step(view, made.output_BDT.detach(), plan)
    assert identical(weights_of(trainer.generator), weights)
    assert all(parameter.grad is None for parameter in trainer.generator.parameters())
    assert not identical(weights_of(trainer.discriminator), before)


def test_the_discriminator_is_thawed_even_after_an_error():
    trainer, batch, plan = set_up()
    view = trainer.view(batch, plan)
    made = trainer.generate(view, plan)

    def fail(*_, **__):
        assert not any(parameter.requires_grad for parameter in trainer.discriminator.parameters())
        raise RuntimeError("in the middle")

    trainer.discriminator.forward = fail
    with pytest.raises(RuntimeError, match="in the middle"):
        trainer.generator_step(view, made, plan)
    assert all(parameter.requires_grad for parameter in trainer.discriminator.parameters())


def test_pretraining_leaves_the_discriminator_as_it_was():
    config = tiny_config(g_pretrain_steps=3)
    trainer = tiny_trainer(config)
    weights, optimizer = weights_of(trainer.discriminator), optimizer_of(trainer.update_d)
    shown = spy_on(trainer.discriminator)
    for step, batch in enumerate(take_batches(config, 5)):
        before = weights_of(trainer.generator)
        metrics = trainer.step(batch, plan_for(config, batch, step))
        assert not identical(weights_of(trainer.generator), before)
        asleep = step < 3
        assert identical(weights_of(trainer.discriminator), weights) == asleep
        assert identical(optimizer_of(trainer.update_d), optimizer) == asleep
        assert ("loss/d" not in metrics) == asleep
        assert ("loss/g_adv" not in metrics) == asleep
        assert (len(shown) == 0) == asleep


@pytest.mark.parametrize(("option", "name"), [("n_critic", "generator"), ("disc_update_freq", "discriminator")])
def test_a_network_that_sits_out_a_step_is_left_bit_identical(option, name):
    config = tiny_config(**{option: 3})
    trainer = tiny_trainer(config)
    updater = {"generator": trainer.update_g, "discriminator": trainer.update_d}[name]
    changed = []
    for step, batch in enumerate(take_batches(config, 9)):
        network = getattr(trainer, name)
        before, optimizer = weights_of(network), optimizer_of(updater)
        trainer.step(batch, plan_for(config, batch, step))
        changed.append(not identical(weights_of(network), before))
        assert identical(optimizer_of(updater), optimizer) != changed[-1]
    assert sum(changed) == 3


# --- the losses' sum -----------------------------------------------------------------------------------------------


def test_the_generators_loss_is_the_weighted_sum_of_its_parts():
    trainer, batch, plan = set_up(pure_gan_mode=0.5, recon_fade="linear", gan_weight=0.4, feature_matching_weight=2.0)
    f = {name: float(value) for name, value in trainer.step(batch, plan).items()}
    assert f["loss/recon"] == pytest.approx(0.3 * f["loss/input"] + 0.3 * f["loss/target"], rel=1e-5)
    assert f["weight/recon"] == pytest.approx(0.5)
    expected = 0.5 * f["loss/recon"] + 0.4 * (f["loss/g_adv"] + 2.0 * f["loss/features"])
    assert f["loss/g_total"] == pytest.approx(expected, rel=1e-5)


def test_the_agents_losses_join_in():
    trainer, batch, plan = set_up(use_creative_agent=True, mask_reg_weight=0.7, balance_loss_weight=3.0)
    f = {name: float(value) for name, value in trainer.step(batch, plan).items()}
    expected = f["loss/recon"] + 0.15 * f["loss/g_adv"] + 0.7 * f["loss/mask_reg"] + 3.0 * f["loss/balance"]
    assert f["loss/g_total"] == pytest.approx(expected, rel=1e-5)
    assert f["mask/baseline"] == 0.75


def test_the_discriminators_loss_is_the_weighted_sum_of_its_parts():
    options = {"gan_loss": "rpgan", "r1_weight": 3.0, "r2_weight": 5.0, "centring_weight": 0.5}
    trainer, batch, plan = set_up(**options)
    f = {name: float(value) for name, value in trainer.step(batch, plan).items()}
    expected = f["loss/d"] + 1.5 * f["loss/r1"] + 2.5 * f["loss/r2"] + 0.5 * f["loss/centring"]
    assert f["loss/d_total"] == pytest.approx(expected, rel=1e-5)
    assert f["loss/r1"] > 0


def test_rare_penalties_are_left_out_or_carry_the_weight_of_the_steps_between():
    options = {"gan_loss": "rpgan", "r1_weight": 3.0, "r2_weight": 5.0, "penalty_every": 4}
    trainer, batch, plan = set_up(step=3, **options)
    f = {name: float(value) for name, value in trainer.step(batch, plan).items()}
    assert f["loss/d_total"] == pytest.approx(f["loss/d"] + 4 * (1.5 * f["loss/r1"] + 2.5 * f["loss/r2"]), rel=1e-5)
    trainer, batch, plan = set_up(step=2, **options)
    shown = spy_on(trainer.discriminator)
    f = {name: float(value) for name, value in trainer.step(batch, plan).items()}
    assert f["loss/d_total"] == f["loss/d"] and "loss/r1" not in f
    assert len(shown[0]) == 2 * len(batch.real_BDT)


def test_decoded_losses_carry_the_weight_of_the_steps_between():
    options = {"encoding_dim": 128, "nhead": 8, "loss_weight_mel": 2.0, "batch_size": 2, "gan_weight": 0.0}
    config = tiny_config(**options, decode_every=3)
    trainer = tiny_trainer(config)
    totals = []
    for step, batch in enumerate(take_batches(config, 3)):
        f = {name: float(value) for name, value in trainer.step(batch, plan_for(config, batch, step)).items()}
        latent = 0.3 * f["loss/input"] + 0.3 * f["loss/target"]
        decoded = 3 * 2.0 * f["loss/mel"] if "loss/mel" in f else 0.0
        assert f["loss/g_total"] == pytest.approx(latent + decoded, rel=1e-4)
        totals.append("loss/mel" in f)
    assert sum(totals) == 1


def test_metrics_are_detached_and_name_what_the_monitor_reads():
    trainer, batch, plan = set_up()
    metrics = trainer.step(batch, plan)
    assert not any(value.requires_grad for value in metrics.values())
    wanted = {"loss/d", "loss/d_total", "loss/g_adv", "loss/g_total", "loss/input", "loss/target", "grad_norm/g"}
    wanted |= {"grad_norm/d", "d/real_prob", "d/fake_prob", "d/accuracy", "latents/fake_std", "latents/real_mean"}
    assert wanted <= metrics.keys()
    assert all(value.ndim == 0 and torch.isfinite(value) for value in metrics.values())


def test_masks_belong_to_samples():
    config = tiny_config(mask_type="spectral")
    trainer = tiny_trainer(config)
    batch = take_batches(config, 1)[0]
    whole = trainer.view(batch, plan_for(config, batch))
    half = dataclasses.replace(
        batch, **{name: getattr(batch, name)[2:] for name in ("input_BDT", "target_BDT", "real_BDT", "indices")}
    )
    part = trainer.view(half, plan_for(config, half))
    assert torch.equal(part.source_input_BDT, whole.source_input_BDT[2:])
    assert (whole.source_input_BDT == 0).any()
    unmasked = tiny_trainer(tiny_config()).sources.masked(batch.input_BDT, batch.target_BDT, batch.indices, 1)
    assert unmasked[0] is batch.input_BDT and unmasked[1] is batch.target_BDT
