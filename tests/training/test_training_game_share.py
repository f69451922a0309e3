"""What a sample counts in the game fades with its alpha, in the losses of both players and in their figures."""

import dataclasses

import pytest
import torch
from training_parts import gradients_of, plan_for, take_batches, tiny_config, tiny_game

from training.steps import discriminator_step, generator_step, in_game, look, told, train_step

FADING = {"pure_gan_mode": 1.0, "easy_share": 1.0, "gan_fade": "linear"}  # alphas anywhere below 1
WITH_FEATURES = {"feature_matching_weight": 2.0, "gan_weight": 0.4}


def set_up(**options):
    config = tiny_config(**options)
    batch = take_batches(config, 1)[0]
    return tiny_game(config), batch, plan_for(config, batch, 0)


def no_update(network):
    """Stands in for an updater: gradients only, so that they can be looked at."""

    def step(loss, lr):
        network.zero_grad()
        loss.backward()
        return loss.detach()

    return step


def gradients_with_share(share_B, change=None):
    """Of both players, for one batch and given shares; `change` rewrites what the generator made."""
    game, batch, plan = set_up(**FADING | WITH_FEATURES | {"loss_weight_input": 0.0, "loss_weight_target": 0.0})
    plan = dataclasses.replace(plan, game_share_B=torch.tensor(share_B))
    game.update_d, game.update_g = no_update(game.discriminator), no_update(game.generator)
    view = look(game, batch, plan)
    made = game.generator(view.source_input_BDT, view.source_target_BDT)
    fake_BDT = made.output_BDT.detach() if change is None else change(made.output_BDT.detach())
    discriminator_step(game, view, fake_BDT, plan)
    of_d = gradients_of(game.discriminator)
    generator_step(game, view, made, plan)
    return of_d, gradients_of(game.generator)


def test_players_learn_nothing_from_samples_that_do_not_count():
    def disturb(made_BDT):
        return torch.cat([made_BDT[:1], made_BDT[1:] + 1.0])

    first_only = [1.0, 0.0, 0.0, 0.0]
    plain, disturbed = gradients_with_share(first_only)[0], gradients_with_share(first_only, disturb)[0]
    assert all(torch.equal(plain[name], disturbed[name]) for name in plain)
    counted = gradients_with_share([1.0] * 4, disturb)[0]
    assert any(not torch.allclose(plain[name], counted[name]) for name in plain)
    for of_player in gradients_with_share([0.0] * 4):
        assert all(not gradient.any() for gradient in of_player.values())


def test_gradients_are_linear_in_the_shares():
    for halves, whole in zip(gradients_with_share([0.5] * 4), gradients_with_share([1.0] * 4), strict=True):
        assert any(gradient.any() for gradient in whole.values())
        for name in whole:
            torch.testing.assert_close(2 * halves[name], whole[name], rtol=1e-4, atol=1e-7)


def test_figures_are_those_of_samples_that_count_and_totals_are_their_sums():
    options = {"gan_loss": "rpgan", "r1_weight": 3.0, "r2_weight": 5.0, "loss_weight_input": 0.3}
    game, batch, plan = set_up(**FADING | WITH_FEATURES | options)
    shares = plan.game_share_B.tolist()
    assert shares == pytest.approx([1 - alpha for alpha in plan.alpha_B.tolist()]) and len(set(shares)) > 1
    f = told({name: float(value) for name, value in train_step(game, batch, plan).items()})
    assert f["weight/game"] == pytest.approx(sum(shares) / len(shares))
    expected = f["weight/game"] * f["loss/d"] + 1.5 * f["loss/r1"] + 2.5 * f["loss/r2"]
    assert f["loss/d_total"] == pytest.approx(expected, rel=1e-5)
    adversarial = f["weight/game"] * (f["loss/g_adv"] + 2.0 * f["loss/features"])
    assert f["loss/g_total"] == pytest.approx(f["weight/recon"] * f["loss/recon"] + 0.4 * adversarial, rel=1e-5)


def test_a_step_of_the_generator_alone_tells_its_weight_too():
    game, batch, plan = set_up(**FADING, disc_update_freq=2)
    assert not plan.train_d
    f = {name: float(value) for name, value in train_step(game, batch, plan).items()}
    assert f["weight/game"] == pytest.approx(float(plan.game_share_B.mean()))
    assert told(f)["loss/g_adv"] == pytest.approx(f["loss/g_adv"] / f["weight/game"])


def test_figures_of_the_game_by_hand():
    figure_B, share_B = torch.tensor([1.0, 5.0, 100.0]), torch.tensor([0.75, 0.25, 0.0])
    weighed = {"d/gap": float(in_game(figure_B, share_B)), "loss/recon": 7.0, "weight/game": float(share_B.mean())}
    assert told(weighed) == pytest.approx({"d/gap": 2.0, "loss/recon": 7.0, "weight/game": 1 / 3})
    assert told({"d/gap": 0.0, "weight/game": 0.0}) == {"d/gap": 0.0, "weight/game": 0.0}
    assert told({"loss/recon": 7.0}) == {"loss/recon": 7.0}  # the discriminator has not joined yet
