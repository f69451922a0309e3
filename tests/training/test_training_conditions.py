"""Conditions reach the networks that take them, each sample its own; the others are called as if there were none."""

from unittest import mock

import pytest
import torch
from conditioned_parts import CONDITIONED, conditioned_parts
from fake_latents import FakePairs
from torch import nn
from training_parts import (
    CHANNELS,
    FRAMES,
    PAIRS,
    plan_for,
    take_batches,
    tiny_config,
    tiny_gauge,
    tiny_stream,
    tiny_trainer,
    tiny_validation,
)

from errors import UserError
from training.builder import build_networks

NOISY = {"pure_gan_mode": 0.5, "easy_share": 1.0}  # every sample has an alpha of its own


@pytest.fixture(autouse=True)
def parts():
    with conditioned_parts():
        yield


def set_up(**options):
    config = tiny_config(**NOISY | CONDITIONED | options)
    batch = take_batches(config, 1)[0]
    return tiny_trainer(config), batch, plan_for(config, batch)


def calls_of(network: nn.Module) -> list[tuple[torch.Tensor, dict]]:
    """(first argument, keywords) of each call of the network from now on."""
    seen = []
    network.register_forward_pre_hook(
        lambda _, args, more: seen.append((args[0].detach(), dict(more))), with_kwargs=True
    )
    return seen


def same(conditions: dict[str, torch.Tensor], **expected: torch.Tensor) -> bool:
    return conditions.keys() == expected.keys() and all(
        torch.equal(conditions[name].float(), value.float()) for name, value in expected.items()
    )


def numbers_of(config, indices: list[int], shift: int = 0) -> torch.Tensor:
    """Labels of the samples that stand `shift` places further on in the global order."""
    stream = tiny_stream(config)
    return torch.tensor([float(stream.pair_of(index + shift)[0]) for index in indices])


def test_a_batch_has_the_labels_of_its_samples_and_of_its_reals():
    config = tiny_config()
    batch = take_batches(config, 1)[0]
    assert torch.equal(batch.labels["number"], numbers_of(config, batch.indices))
    following = [*batch.indices[1:], batch.indices[0]]
    assert torch.equal(batch.real_labels["number"], numbers_of(config, following))
    assert not torch.equal(batch.labels["number"], batch.real_labels["number"])


def test_a_view_holds_noise_levels_and_labels_of_fakes_and_of_reals():
    trainer, batch, plan = set_up()
    view = trainer.view(batch, plan)
    assert len(plan.alpha_B.unique()) == len(plan.alpha_B)
    assert same(view.conditions, alpha=plan.alpha_B, number=batch.labels["number"])
    assert same(view.real_conditions, alpha=plan.alpha_B, number=batch.real_labels["number"])


def test_without_a_curriculum_the_noise_level_is_zero():
    trainer, batch, plan = set_up(pure_gan_mode=0.0, easy_share=0.0)
    assert same(trainer.view(batch, plan).conditions, alpha=torch.zeros(4), number=batch.labels["number"])


@pytest.mark.parametrize("agent", [{}, {"use_creative_agent": True}, {"use_compositional_agent": True}])
def test_the_generator_gets_those_of_its_sources(agent):
    trainer, batch, plan = set_up(**agent)
    calls = calls_of(trainer.generator.generator)
    trainer.step(batch, plan)
    ((_, more),) = calls
    assert same(more["conditions"], alpha=plan.alpha_B, number=batch.labels["number"])


def test_the_discriminator_gets_those_of_reals_and_those_of_fakes():
    trainer, batch, plan = set_up(gan_loss="rpgan")
    calls = calls_of(trainer.discriminator)
    trainer.step(batch, plan)
    joined, real, fake = calls
    alpha, number, real_number = plan.alpha_B, batch.labels["number"], batch.real_labels["number"]
    real_BDT = trainer.normalise(batch.real_BDT)
    assert torch.equal(joined[0][:4], real_BDT)
    assert same(joined[1]["conditions"], alpha=torch.cat([alpha, alpha]), number=torch.cat([real_number, number]))
    assert torch.equal(real[0], real_BDT) and same(real[1]["conditions"], alpha=alpha, number=real_number)
    assert torch.equal(fake[0], joined[0][4:]) and same(fake[1]["conditions"], alpha=alpha, number=number)


def test_feature_matching_compares_reals_and_fakes_under_their_own():
    trainer, batch, plan = set_up(feature_matching_weight=1.0)
    calls = calls_of(trainer.discriminator)
    trainer.step(batch, plan)
    _, real, fake = calls
    assert same(real[1]["conditions"], alpha=plan.alpha_B, number=batch.real_labels["number"])
    assert same(fake[1]["conditions"], alpha=plan.alpha_B, number=batch.labels["number"])


def test_perturbed_copies_keep_those_of_their_samples():
    trainer, batch, plan = set_up(r1_weight=1.0, r2_weight=1.0)
    calls = calls_of(trainer.discriminator)
    trainer.step(batch, plan)
    x_NDT, more = calls[0]
    clean_NDT, perturbed_NDT = x_NDT.chunk(2)
    assert 0 < (perturbed_NDT - clean_NDT).abs().max() < 0.5 < (clean_NDT[0] - clean_NDT[1]).abs().max()
    once = torch.cat([batch.real_labels["number"], batch.labels["number"]])
    expected = {"alpha": plan.alpha_B.repeat(4), "number": torch.cat([once, once])}
    assert same(more["conditions"], **expected)


def test_penalties_measure_the_slope_at_the_conditions_of_each_sample():
    """R1 by hand, with the conditions of the reals, against the metric; with those of the fakes it is another."""
    trainer, batch, plan = set_up(r1_weight=1.0)
    discriminator = trainer.discriminator
    calls = calls_of(discriminator)
    metrics = trainer.discriminator_step(trainer.view(batch, plan), torch.randn(4, CHANNELS, FRAMES), plan)
    real_BDT, _, moved_BDT, _ = calls[0][0].chunk(4)

    def by_hand(labels):
        fresh = tiny_trainer(tiny_config(**NOISY | CONDITIONED, r1_weight=1.0)).discriminator
        conditions = {"alpha": plan.alpha_B, "number": labels["number"]}
        slope_B = (fresh(moved_BDT, conditions=conditions) - fresh(real_BDT, conditions=conditions)) / 0.05
        return float((slope_B.detach().square() * FRAMES / 75).mean())

    assert float(metrics["loss/r1"]) == pytest.approx(by_hand(batch.real_labels), rel=1e-3)
    assert float(metrics["loss/r1"]) != pytest.approx(by_hand(batch.labels), rel=1e-2)


def test_interpolates_are_measured_under_the_conditions_of_the_fakes():
    trainer, batch, plan = set_up(gan_loss="wgan-gp")
    calls = calls_of(trainer.discriminator)
    trainer.step(batch, plan)
    _, (between_BDT, more), *_ = calls
    assert len(between_BDT) == 4
    assert same(more["conditions"], alpha=plan.alpha_B, number=batch.labels["number"])


def test_networks_learn_from_their_conditions():
    trainer, batch, plan = set_up(gan_loss="rpgan", r1_weight=1.0, r2_weight=1.0)
    before = [network.shift.weight.detach().clone() for network in (trainer.generator.generator, trainer.discriminator)]
    trainer.step(batch, plan)
    after = [network.shift.weight.detach() for network in (trainer.generator.generator, trainer.discriminator)]
    for old, new in zip(before, after, strict=True):
        assert ((old - new).abs().amax(0) > 0).all()  # the column of each condition


# --- networks that take none ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "taken"),
    [
        ({"discriminator": "plain"}, (True, False)),
        ({"discriminator": "conv"}, (True, True)),
        ({"generator": "cascade"}, (False, True)),
        ({"generator": "patch", "width": 16}, (True, True)),
        ({"generator": "cascade", "discriminator": "conv", "conditions": None}, (False, False)),
        ({"generator": "cascade", "discriminator": "plain+conditioned"}, (False, True)),
    ],
)
def test_only_networks_that_take_conditions_are_called_with_them(choices, taken):
    trainer, batch, plan = set_up(gan_loss="rpgan", r1_weight=1.0, **choices)
    networks = trainer.generator.generator, trainer.discriminator
    calls = [calls_of(network) for network in networks]
    trainer.step(batch, plan)
    for seen, takes in zip(calls, taken, strict=True):
        assert seen and {"conditions" in more for _, more in seen} == {takes}


def test_an_ensemble_passes_them_to_the_members_that_take_them():
    trainer, batch, plan = set_up(discriminator="plain+conditioned")
    members = trainer.discriminator.members
    takes, none = calls_of(members["conditioned"]), calls_of(members["plain"])
    trainer.step(batch, plan)
    assert len(takes) == len(none) == 2
    assert all(set(more["conditions"]) == {"alpha", "number"} for _, more in takes)
    assert not any("conditions" in more for _, more in none)


def test_networks_that_take_conditions_work_without_any():
    trainer, batch, plan = set_up(conditions=None, gan_loss="rpgan", r1_weight=1.0)
    calls = calls_of(trainer.generator.generator), calls_of(trainer.discriminator)
    trainer.step(batch, plan)
    assert all(more["conditions"] == {} for seen in calls for _, more in seen)


def test_conditions_that_no_network_takes_are_refused_in_one_sentence():
    config = tiny_config(conditions="alpha", discriminator="plain")
    with pytest.raises(UserError, match="--conditions alpha has no effect: .*cascade.*plain") as caught:
        build_networks(config)
    assert "\n" not in str(caught.value)


# --- validation ----------------------------------------------------------------------------------------------------


def test_validation_gives_levels_and_labels_of_its_own_pairs():
    config = tiny_config(**CONDITIONED, unity_test=True, easy_share=1.0, passes=2, batch_size=8)
    trainer = tiny_trainer(config)
    held_out = FakePairs(5, FRAMES, CHANNELS, random=True, seed=5, labels=True)
    gauge = tiny_gauge(trainer, FakePairs(PAIRS, FRAMES, CHANNELS, random=True), held_out)
    validation = tiny_validation(config, trainer, trainer.generator, held_out, gauge)
    generator, discriminator = calls_of(trainer.generator.generator), calls_of(trainer.discriminator)
    alphas = {"clean": 0.0, "current": 0.8, "ceiling": 1.0}
    validation(alphas)
    number = torch.arange(5.0)
    levels = [more["conditions"]["alpha"] for _, more in generator]
    assert all(torch.equal(more["conditions"]["number"], number) for _, more in generator)
    # The losses, of which "current" is eased, then two steps from "current", then two from the ceiling.
    expected = [0.0, None, 1.0, 0.8, 0.6, 1.0, 0.75]
    for level_B, alpha in zip(levels, expected, strict=True):
        drawn = validation.eased(0.8, list(range(5)), torch.device("cpu"))
        torch.testing.assert_close(level_B, drawn if alpha is None else torch.full((5,), alpha))
    for (_, more), alpha in zip(discriminator, (0.8, 1.0), strict=True):
        assert same(more["conditions"], alpha=torch.full((10,), alpha), number=torch.cat([number, number]))


# --- labels that are dropped ---------------------------------------------------------------------------------------


def test_a_share_of_the_labels_is_unknown_in_training_the_same_for_any_number_of_ranks():
    trainer, _, _ = set_up()
    labels = {"a": torch.zeros(4000), "b": torch.ones(4000)}
    assert trainer.some_dropped(labels, list(range(4000))) is labels, "no condition is made of labels"
    trainer.conditioning = mock.Mock(label_dropout=0.2)
    dropped = trainer.some_dropped(labels, list(range(4000)))
    unknown = torch.stack([dropped[name].isnan() for name in "ab"])
    assert unknown.all(0).float().mean() == pytest.approx(0.2 + 0.8 * 0.04, abs=0.02)
    assert unknown.float().mean(1).tolist() == pytest.approx([0.36, 0.36], abs=0.03)
    part = trainer.some_dropped({name: value[:10] for name, value in labels.items()}, list(range(100, 110)))
    assert torch.equal(part["a"].isnan(), dropped["a"][100:110].isnan())
