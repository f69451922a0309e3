"""A sample's weight in the adversarial losses fades with its alpha, for both networks and in their metrics."""

import dataclasses

import pytest
import torch
from training_parts import gradients_of, plan_for, take_batches, tiny_config, tiny_trainer

from training.step_metrics import averaged_metrics, weighted_mean

FADING = {"pure_gan_mode": 1.0, "easy_share": 1.0, "gan_fade": "linear"}  # alphas anywhere below 1
WITH_FEATURES = {"feature_matching_weight": 2.0, "gan_weight": 0.4}


def set_up(**options):
    config = tiny_config(**options)
    batch = take_batches(config, 1)[0]
    return tiny_trainer(config), batch, plan_for(config, batch, 0)


def no_update(network):
    """Stands in for an updater: gradients only, for the tests to compare."""

    def step(loss, lr):
        network.zero_grad()
        loss.backward()
        return loss.detach()

    return step


def gradients_with_fade(fade_B, change=None):
    """Of both networks, for one batch and given weights; `change` rewrites what the generator made."""
    trainer, batch, plan = set_up(**FADING | WITH_FEATURES | {"loss_weight_input": 0.0, "loss_weight_target": 0.0})
    plan = dataclasses.replace(plan, gan_fade_B=torch.tensor(fade_B))
    trainer.update_d, trainer.update_g = no_update(trainer.discriminator), no_update(trainer.generator)
    view = trainer.view(batch, plan)
    made = trainer.generator(view.source_input_BDT, view.source_target_BDT)
    fake_BDT = made.output_BDT.detach() if change is None else change(made.output_BDT.detach())
    trainer.discriminator_step(view, fake_BDT, plan)
    of_d = gradients_of(trainer.discriminator)
    trainer.generator_step(view, made, plan)
    return of_d, gradients_of(trainer.generator)


def test_both_networks_learn_nothing_from_samples_of_weight_zero():
    def disturb(made_BDT):
        return torch.cat([made_BDT[:1], made_BDT[1:] + 1.0])

    first_only = [1.0, 0.0, 0.0, 0.0]
    plain, disturbed = gradients_with_fade(first_only)[0], gradients_with_fade(first_only, disturb)[0]
    assert all(torch.equal(plain[name], disturbed[name]) for name in plain)
    counted = gradients_with_fade([1.0] * 4, disturb)[0]
    assert any(not torch.allclose(plain[name], counted[name]) for name in plain)
    for of_network in gradients_with_fade([0.0] * 4):
        assert all(not gradient.any() for gradient in of_network.values())


def test_gradients_are_linear_in_the_weights():
    for halves, whole in zip(gradients_with_fade([0.5] * 4), gradients_with_fade([1.0] * 4), strict=True):
        assert any(gradient.any() for gradient in whole.values())
        for name in whole:
            torch.testing.assert_close(2 * halves[name], whole[name], rtol=1e-4, atol=1e-7)


def test_metrics_are_those_of_samples_that_count_and_totals_are_their_sums():
    options = {"gan_loss": "rpgan", "r1_weight": 3.0, "r2_weight": 5.0, "loss_weight_input": 0.3}
    trainer, batch, plan = set_up(**FADING | WITH_FEATURES | options)
    fades = plan.gan_fade_B.tolist()
    assert fades == pytest.approx([1 - alpha for alpha in plan.alpha_B.tolist()]) and len(set(fades)) > 1
    f = averaged_metrics({name: float(value) for name, value in trainer.step(batch, plan).items()})
    assert f["weight/gan_fade"] == pytest.approx(sum(fades) / len(fades))
    expected = f["weight/gan_fade"] * f["loss/d"] + 1.5 * f["loss/r1"] + 2.5 * f["loss/r2"]
    assert f["loss/d_total"] == pytest.approx(expected, rel=1e-5)
    adversarial = f["weight/gan_fade"] * (f["loss/g_adv"] + 2.0 * f["loss/features"])
    assert f["loss/g_total"] == pytest.approx(f["weight/recon"] * f["loss/recon"] + 0.4 * adversarial, rel=1e-5)


def test_a_step_of_the_generator_alone_reports_its_weight_too():
    trainer, batch, plan = set_up(**FADING, disc_update_freq=2)
    assert not plan.train_d
    f = {name: float(value) for name, value in trainer.step(batch, plan).items()}
    assert f["weight/gan_fade"] == pytest.approx(float(plan.gan_fade_B.mean()))
    assert averaged_metrics(f)["loss/g_adv"] == pytest.approx(f["loss/g_adv"] / f["weight/gan_fade"])


def test_weighted_metrics_by_hand():
    value_B, fade_B = torch.tensor([1.0, 5.0, 100.0]), torch.tensor([0.75, 0.25, 0.0])
    weighed = {
        "d/gap": float(weighted_mean(value_B, fade_B)),
        "loss/recon": 7.0,
        "weight/gan_fade": float(fade_B.mean()),
    }
    assert averaged_metrics(weighed) == pytest.approx({"d/gap": 2.0, "loss/recon": 7.0, "weight/gan_fade": 1 / 3})
    assert averaged_metrics({"d/gap": 0.0, "weight/gan_fade": 0.0}) == {"d/gap": 0.0, "weight/gan_fade": 0.0}
    assert averaged_metrics({"loss/recon": 7.0}) == {"loss/recon": 7.0}  # the discriminator has not joined yet
