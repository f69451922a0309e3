"""Validation: the averaged weights, clean targets, the same noise each time."""

import pytest
import torch
from fake_latents import FakePairs
from training_parts import CHANNELS, FRAMES, PAIRS, identical, tiny_config, tiny_game, weights_of

from models.ema import WeightAverage
from training.diversity import DiversityGauge
from training.networks import Generated
from training.validation import validate

ALPHAS = {"clean": 0.0, "current": 0.5, "ceiling": 1.0}
HELD_OUT = FakePairs(7, FRAMES, CHANNELS, random=True, seed=5)


class Copy(torch.nn.Module):
    """A generator that gives back one of its sources, times a factor."""

    def __init__(self, which: int, factor: float = 1.0) -> None:
        super().__init__()
        self.which, self.factor, self.seen = which, factor, []

    def forward(self, *sources) -> Generated:
        self.seen.append([source.clone() for source in sources])
        return Generated(self.factor * sources[self.which])


def run_validation(game, averaged, frames: int = FRAMES, alphas: dict = ALPHAS) -> dict[str, float]:
    train = FakePairs(PAIRS, FRAMES, CHANNELS, random=True)
    return validate(game, averaged, HELD_OUT, frames, alphas, DiversityGauge(game, train, HELD_OUT, frames))


def clips(game, frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    start = (FRAMES - frames) // 2
    return tuple(
        torch.stack([game.normalise(torch.from_numpy(read(i)[:, start : start + frames])) for i in range(7)])
        for read in (HELD_OUT.input, HELD_OUT.target)
    )


@pytest.mark.parametrize("frames", [FRAMES, 7])
def test_a_copy_of_the_input_costs_its_distance_to_the_target(frames):
    game = tiny_game(tiny_config(loss_reconstruction="mse", loss_weight_input=0.2, loss_weight_target=0.7))
    source, target = clips(game, frames)
    distance = float((source - target).square().mean())
    assert run_validation(game, Copy(0), frames)["val/clean"] == pytest.approx(0.7 * distance, rel=1e-5)
    assert run_validation(game, Copy(1), frames)["val/clean"] == pytest.approx(0.2 * distance, rel=1e-5)


def test_targets_stay_clean_while_sources_are_noised():
    game = tiny_game(tiny_config(loss_reconstruction="mse", loss_weight_input=0.0, loss_weight_target=1.0))
    figures, copy = run_validation(game, Copy(1)), Copy(1)
    run_validation(game, copy)
    _, target = clips(game)
    for k, name in enumerate(ALPHAS):
        sources = torch.cat([call[1] for call in copy.seen[k :: len(ALPHAS) + 1]])  # the last is for generation
        assert figures[f"val/{name}"] == pytest.approx(float((sources - target).square().mean()), rel=1e-5, abs=1e-9)
    assert figures["val/clean"] == 0.0
    assert 0 < figures["val/current"] < figures["val/ceiling"]


def test_what_generation_makes_is_judged_after_all_passes():
    """By the discriminator, and for diversity; losses are those of one pass."""
    copies, figures = (Copy(0, 0.5), Copy(0, 0.5)), []
    for copy, passes in zip(copies, (1, 3), strict=True):
        config = tiny_config(unity_test=True, easy_share=1.0, passes=passes)
        figures.append(run_validation(tiny_game(config), copy))
        assert len(copy.seen) == -(-len(HELD_OUT) // config.batch_size) * (len(ALPHAS) + passes)
    once, thrice = figures
    for name in ALPHAS:
        assert thrice[f"val/{name}"] == once[f"val/{name}"]
    for name in ("val/d_loss", "diversity/ratio"):
        assert thrice[name] != once[name]


def test_the_current_loss_is_over_the_alphas_that_training_draws():
    """So `best.pt`, patience and plateaus of a run on every mixture look at every mixture."""
    config = {"loss_reconstruction": "mse", "loss_weight_input": 1.0, "loss_weight_target": 0.0, "unity_test": True}
    alphas, copy = {"clean": 0.0, "current": 1.0, "ceiling": 1.0}, Copy(0)
    game = tiny_game(tiny_config(easy_share=1.0, **config))
    figures = run_validation(game, copy, alphas=alphas)
    source, _ = clips(game)
    mixtures = torch.cat([call[0] for call in copy.seen[1::4]])
    assert figures["val/current"] == pytest.approx(float((mixtures - source).square().mean()), rel=1e-5)
    shares_B = (mixtures - source).square().mean((1, 2)) / (2 * source.square().mean((1, 2)))  # alpha^2, about
    assert shares_B.min() < 0.2 < shares_B.max() < 1.5 and len(shares_B.unique()) == len(HELD_OUT)
    assert figures["val/current"] < 0.8 * figures["val/ceiling"]
    plain = run_validation(tiny_game(tiny_config(**config)), Copy(0), alphas=alphas)
    assert plain["val/current"] == plain["val/ceiling"] == figures["val/ceiling"]


def test_the_noise_is_the_same_each_time_whatever_the_batches():
    small, large = (tiny_game(tiny_config(batch_size=size)) for size in (2, 7))
    a, b = run_validation(small, Copy(0)), run_validation(small, Copy(0))
    assert a == b
    other = run_validation(large, Copy(0))
    assert {name: other[name] for name in a if name.startswith("val/")} == pytest.approx(
        {name: a[name] for name in a if name.startswith("val/")}, rel=1e-5
    )


def test_the_averaged_weights_are_judged_and_nothing_is_changed():
    game = tiny_game(tiny_config())
    average = WeightAverage(game.generator, 100.0)
    first = run_validation(game, average.module)
    with torch.no_grad():
        for parameter in game.generator.parameters():
            parameter += 0.5
    live, judge = weights_of(game.generator), weights_of(game.discriminator)
    assert run_validation(game, average.module) == first
    assert identical(weights_of(game.generator), live)
    assert identical(weights_of(game.discriminator), judge)
    assert game.discriminator.training
    assert all(p.grad is None for p in game.discriminator.parameters())
    average.update(game.generator, 10_000, 100)
    assert run_validation(game, average.module)["val/clean"] != first["val/clean"]


def test_the_discriminators_verdict_is_told():
    game = tiny_game(tiny_config(gan_loss="lsgan"))
    with torch.no_grad():
        for parameter in game.discriminator.parameters():
            parameter.zero_()
        game.discriminator.final.bias.fill_(3.0)
    figures = run_validation(game, Copy(0))
    assert figures["val/d_loss"] == pytest.approx((3.0 - 1) ** 2 + 3.0**2)
    assert figures["val/d_accuracy"] == pytest.approx(0.5)


def test_without_regression_there_is_a_loss_to_watch():
    game = tiny_game(tiny_config(loss_weight_input=0.0, loss_weight_target=0.0, loss_reconstruction="mse"))
    source, target = clips(game)
    expected = 0.5 * float((source - target).square().mean())
    assert run_validation(game, Copy(0))["val/clean"] == pytest.approx(expected, rel=1e-5)


def test_the_unity_test_is_judged_against_the_input():
    game = tiny_game(tiny_config(unity_test=True, loss_reconstruction="mse"))
    assert run_validation(game, Copy(0))["val/clean"] == 0.0
    assert run_validation(tiny_game(tiny_config(loss_reconstruction="mse")), Copy(0))["val/clean"] > 0.1
