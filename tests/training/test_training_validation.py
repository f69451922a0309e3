"""Validation: the averaged weights, clean targets, the same noise each time."""

import pytest
import torch
from fake_latents import FakePairs
from training_parts import (
    CHANNELS,
    FRAMES,
    PAIRS,
    identical,
    tiny_config,
    tiny_gauge,
    tiny_trainer,
    tiny_validation,
    weights_of,
)

from config import RunConfig
from data.pairs import ReadError
from models.ema import WeightAverage
from models.networks import Generated
from training.trainer import Trainer

ALPHAS = {"clean": 0.0, "current": 0.5, "ceiling": 1.0}


def held_out_pairs(frames: int = FRAMES) -> FakePairs:
    """Of FRAMES frames, of which the middle `frames` are used."""
    return FakePairs(7, FRAMES, CHANNELS, random=True, seed=5, crop_frames=frames)


class Copy(torch.nn.Module):
    """A generator that gives back one of its sources, times a factor."""

    def __init__(self, which: int, factor: float = 1.0) -> None:
        super().__init__()
        self.which, self.factor, self.seen = which, factor, []

    def forward(self, *sources) -> Generated:
        self.seen.append([source.clone() for source in sources])
        return Generated(self.factor * sources[self.which])


def validation_of(
    config: RunConfig, trainer: Trainer, averaged, frames: int = FRAMES, held_out: FakePairs | None = None
):
    train = FakePairs(PAIRS, FRAMES, CHANNELS, random=True, crop_frames=frames)
    held_out = held_out or held_out_pairs(frames)
    return tiny_validation(config, trainer, averaged, held_out, tiny_gauge(trainer, train, held_out))


def run_validation(options: dict, averaged, frames: int = FRAMES, alphas: dict = ALPHAS) -> dict[str, float]:
    """Of a new trainer with these options."""
    config = tiny_config(**options)
    return validation_of(config, tiny_trainer(config), averaged, frames)(alphas)


def clips(frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    """Input and target, normalised, cut from the middle."""
    start, pairs, trainer = (FRAMES - frames) // 2, held_out_pairs(), tiny_trainer(tiny_config())
    return tuple(
        torch.stack(
            [trainer.normalise(torch.from_numpy(read(i)[:, start : start + frames])[None])[0] for i in range(7)]
        )
        for read in (pairs.input, pairs.target)
    )


@pytest.mark.parametrize("frames", [FRAMES, 7])
def test_a_copy_of_the_input_costs_its_distance_to_the_target(frames):
    options = {"loss_reconstruction": "mse", "loss_weight_input": 0.2, "loss_weight_target": 0.7}
    source, target = clips(frames)
    distance = float((source - target).square().mean())
    assert run_validation(options, Copy(0), frames)["val/clean"] == pytest.approx(0.7 * distance, rel=1e-5)
    assert run_validation(options, Copy(1), frames)["val/clean"] == pytest.approx(0.2 * distance, rel=1e-5)


def test_targets_stay_clean_while_sources_are_noised():
    copy = Copy(1)
    metrics = run_validation({"loss_reconstruction": "mse", "loss_weight_input": 0.0, "loss_weight_target": 1.0}, copy)
    _, target = clips()
    for k, name in enumerate(ALPHAS):
        sources = torch.cat([call[1] for call in copy.seen[k :: len(ALPHAS) + 2]])  # the last two generate
        assert metrics[f"val/{name}"] == pytest.approx(float((sources - target).square().mean()), rel=1e-5, abs=1e-9)
    assert metrics["val/clean"] == 0.0
    assert 0 < metrics["val/current"] < metrics["val/ceiling"]


def test_what_generation_makes_is_measured_after_all_steps():
    """By the discriminator, and for diversity; losses are those of one step."""
    copies, metrics = (Copy(0, 0.5), Copy(0, 0.5)), []
    for copy, passes in zip(copies, (1, 3), strict=True):
        metrics.append(run_validation({"unity_test": True, "easy_share": 1.0, "passes": passes}, copy))
        assert len(copy.seen) == 2 * (len(ALPHAS) + 2 * passes)  # 7 pairs in batches of 4; from two levels
    once, thrice = metrics
    for name in ALPHAS:
        assert thrice[f"val/{name}"] == once[f"val/{name}"]
    for name in ("val/d_loss", "diversity/ratio"):
        assert thrice[name] != once[name]


def test_the_current_loss_is_over_the_alphas_that_training_draws():
    """So `best.pt`, patience and plateaus of a run on every mixture go by every mixture."""
    options = {"loss_reconstruction": "mse", "loss_weight_input": 1.0, "loss_weight_target": 0.0, "unity_test": True}
    alphas, copy = {"clean": 0.0, "current": 1.0, "ceiling": 1.0}, Copy(0)
    metrics = run_validation(options | {"easy_share": 1.0}, copy, alphas=alphas)
    source, _ = clips()
    mixtures = torch.cat([call[0] for call in copy.seen[1::4]])
    assert metrics["val/current"] == pytest.approx(float((mixtures - source).square().mean()), rel=1e-5)
    shares_B = (mixtures - source).square().mean((1, 2)) / (2 * source.square().mean((1, 2)))  # alpha^2, about
    assert shares_B.min() < 0.2 < shares_B.max() < 1.5 and len(shares_B.unique()) == 7
    assert metrics["val/current"] < 0.8 * metrics["val/ceiling"]
    plain = run_validation(options, Copy(0), alphas=alphas)
    assert plain["val/current"] == plain["val/ceiling"] == metrics["val/ceiling"]


def test_the_noise_is_the_same_each_time_whatever_the_batches():
    a, b, other = (run_validation({"batch_size": size}, Copy(0)) for size in (2, 2, 7))
    assert a == b
    assert {name: other[name] for name in a if name.startswith("val/")} == pytest.approx(
        {name: a[name] for name in a if name.startswith("val/")}, rel=1e-5
    )


def test_the_averaged_weights_are_measured_and_nothing_is_changed():
    config = tiny_config()
    trainer = tiny_trainer(config)
    average = WeightAverage(trainer.generator, 100.0)
    validation = validation_of(config, trainer, average.module)
    first = validation(ALPHAS)
    with torch.no_grad():
        for parameter in trainer.generator.parameters():
            parameter += 0.5
    live, critic = weights_of(trainer.generator), weights_of(trainer.discriminator)
    assert validation(ALPHAS) == first
    assert identical(weights_of(trainer.generator), live)
    assert identical(weights_of(trainer.discriminator), critic)
    assert trainer.discriminator.training
    assert all(p.grad is None for p in trainer.discriminator.parameters())
    average.update(trainer.generator, 10_000, 100)
    assert validation(ALPHAS)["val/clean"] != first["val/clean"]


def test_loss_and_accuracy_of_the_discriminator_are_reported():
    config = tiny_config(gan_loss="lsgan")
    trainer = tiny_trainer(config)
    with torch.no_grad():
        for parameter in trainer.discriminator.parameters():
            parameter.zero_()
        trainer.discriminator.final.bias.fill_(3.0)
    validation = validation_of(config, trainer, Copy(0))
    metrics = validation(ALPHAS)
    assert metrics["val/d_loss"] == pytest.approx((3.0 - 1) ** 2 + 3.0**2)
    assert metrics["val/d_accuracy"] == pytest.approx(0.5)
    assert not {"val/d_loss", "val/d_accuracy"} & validation(ALPHAS, with_discriminator=False).keys()


def test_without_regression_there_is_a_loss_to_watch():
    source, target = clips()
    expected = 0.5 * float((source - target).square().mean())
    options = {"loss_weight_input": 0.0, "loss_weight_target": 0.0, "loss_reconstruction": "mse"}
    assert run_validation(options, Copy(0))["val/clean"] == pytest.approx(expected, rel=1e-5)


def test_the_unity_test_is_measured_against_the_input():
    assert run_validation({"unity_test": True, "loss_reconstruction": "mse"}, Copy(0))["val/clean"] == 0.0
    assert run_validation({"loss_reconstruction": "mse"}, Copy(0))["val/clean"] > 0.1


def test_it_ends_without_metrics_where_it_may_not_go_on():
    config, copy, asked = tiny_config(), Copy(0), []
    validation = validation_of(config, tiny_trainer(config), copy)
    assert validation(ALPHAS, go_on=lambda: asked.append(0) or len(asked) < 2) is None
    assert len(asked) == 2 and len(copy.seen) == len(ALPHAS) + 2  # one batch of two


class Unreadable(FakePairs):
    """Pair 2 has gone."""

    def target(self, i):
        if i == 2:
            raise ReadError("pair_0002 has vanished", "pair_0002")
        return super().target(i)


def test_pairs_that_cannot_be_read_are_left_out_and_named():
    options = {"loss_reconstruction": "mse", "loss_weight_input": 0.0, "loss_weight_target": 1.0}
    config, bad = tiny_config(**options), {}
    held_out = Unreadable(7, FRAMES, CHANNELS, random=True, seed=5)
    metrics = validation_of(config, tiny_trainer(config), Copy(0), held_out=held_out)(ALPHAS, bad=bad)
    assert bad == {"pair_0002": "pair_0002 has vanished"}
    source, target = clips()
    distances = (source - target).square().mean((1, 2))
    assert metrics["val/clean"] == pytest.approx(float(distances[[0, 1, 3, 4, 5, 6]].mean()), rel=1e-5)
