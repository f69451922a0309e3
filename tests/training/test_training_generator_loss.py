"""The generator's total loss on held-out samples, as a metric of the plateau schedule."""

import pytest
import torch
from torch.nn.functional import softplus
from training_parts import (
    CHANNELS,
    FRAMES,
    PAIRS,
    WholePairs,
    identical,
    tiny_config,
    tiny_trainer,
    train_on,
    weights_of,
)

from models.ema import WeightAverage
from monitoring.log import read_metrics
from training.generator_loss import GeneratorLoss
from training.step_plan import Schedules

OPTIONS = {"pure_gan_mode": 0.5, "recon_fade": "linear", "gan_weight": 0.4, "loss_reconstruction": "mse"}
PLATEAU = {"lr_schedule": "plateau", "plateau_metric": "g_loss", "plateau_patience": 0, "sample_every": 0}


@pytest.mark.parametrize("matching", [0.0, 2.0])
def test_it_is_the_weighted_sum_of_training(matching):
    config = tiny_config(**OPTIONS, feature_matching_weight=matching, disc_dropout=0.5)
    trainer, alpha_B = tiny_trainer(config), torch.tensor([0.0, 0.25, 0.5, 1.0])
    averaged, schedules = WeightAverage(trainer.generator, 100.0).module, Schedules(config, PAIRS, 4)
    clean = torch.randn(2, 4, CHANNELS, FRAMES, generator=torch.Generator().manual_seed(0)).unbind()
    loss = GeneratorLoss(trainer, averaged, lambda alpha: schedules.held_out_plan(2, 8, alpha))
    weights, critic = weights_of(trainer.generator), weights_of(trainer.discriminator)
    total = loss(clean, clean, alpha_B, [0, 1, 2, 3], {}, seed=3)
    assert trainer.discriminator.training and identical(weights_of(trainer.discriminator), critic)
    assert identical(weights_of(trainer.generator), weights) and not total.requires_grad

    with torch.no_grad():
        made_BDT = averaged(*trainer.sources.mixed(*clean, alpha_B, [0, 1, 2, 3], 3)).output_BDT
        trainer.discriminator.eval()
        fake_B, fakes = trainer.discriminator(made_BDT, return_features=True)
        _, reals = trainer.discriminator(clean[1].roll(1, 0), return_features=True)
    regression_B = sum(0.3 * (made_BDT - x).square().mean((1, 2)) for x in clean)
    expected = ((1 - alpha_B) * regression_B).mean() + 0.4 * softplus(-fake_B).mean()
    if matching:
        from losses.features import feature_matching

        expected = expected + 0.4 * matching * feature_matching(reals, fakes).mean()
    torch.testing.assert_close(total, expected)


def checks_of(tmp_path, monkeypatch, **options) -> list[dict]:
    config = tiny_config(checkpoint_dir=str(tmp_path), epochs=5, patience=0, **options)
    train_on(WholePairs(PAIRS, FRAMES, CHANNELS, random=True), monkeypatch, config)
    return [line for line in read_metrics(tmp_path / "metrics.jsonl") if "val/current" in line]


def test_a_run_measures_it_where_a_learning_rate_goes_by_it(tmp_path, monkeypatch):
    """From the moment when the adversarial weight has risen to its value: before, the loss grows with the weight."""
    checks = checks_of(tmp_path / "a", monkeypatch, **PLATEAU, g_pretrain_steps=3, adv_ramp_steps=3)
    assert ["val/g_loss" in line for line in checks] == [False, False, True, True, True]
    assert all(line["val/g_loss"] > line["val/current"] > 0 for line in checks[2:])  # the adversarial part is positive
    plain = checks_of(tmp_path / "b", monkeypatch, g_pretrain_steps=3, adv_ramp_steps=3, sample_every=0)
    assert not any("val/g_loss" in line for line in plain)


def test_a_learning_rate_follows_it(tmp_path, monkeypatch):
    """With a rate at which nothing moves, every validation after the first is one without improvement."""
    still = {"optimizer": "sgd", "lr": 1e-30, "disc_lr": 1e-30, "generator": "patch", "width": 16, "log_every": 1}
    checks = checks_of(
        tmp_path, monkeypatch, **PLATEAU | still
    )  # a generator without spectral norm, whose vectors move
    losses = [line["val/g_loss"] for line in checks]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-5)
    rates = [line["lr/g"] for line in read_metrics(tmp_path / "metrics.jsonl")]
    assert rates[-1] == pytest.approx(1e-30 * 0.5**3) and rates[0] == 1e-30
