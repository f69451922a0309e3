"""A checkpoint is the whole of a run: what goes on from it cannot be told from what never stopped."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from training_parts import (
    TINY,
    identical,
    optimizer_of,
    plan_for,
    take_batches,
    tiny_config,
    tiny_game,
    tiny_stream,
)

from config import RunConfig, make_config
from errors import UserError
from models.ema import WeightAverage
from runtime import checkpoint
from training.players import latent_space
from training.state import Counters, LatentSpace, check_space, full_state, restore, resumed_config
from training.steps import train_step

VARIANTS = {
    "adamw, creative": {"use_creative_agent": True},
    "sgd, compositional": {"optimizer": "sgd", "use_compositional_agent": True},
    "adam, patch, spectral norm": {
        "optimizer": "adam",
        "generator": "patch",
        "width": 16,
        "discriminator": "conv+spectrogram",
        "disc_spectral_norm": True,
    },
}


class Trainer:
    """The worker's loop without all around it."""

    def __init__(self, config: RunConfig) -> None:
        self.config, self.game = config, tiny_game(config)
        self.average = WeightAverage(self.game.generator, 50.0)
        self.counters = Counters()

    def train(self, steps: int) -> None:
        c = self.counters
        for batch in take_batches(self.config, steps, start=c.samples_seen):
            train_step(self.game, batch, plan_for(self.config, batch, c.step))
            self.average.update(self.game.generator, c.samples_seen, 4)
            c.step, c.samples_seen = c.step + 1, c.samples_seen + 4

    def save(self) -> bytes:
        space = latent_space(tiny_stream(self.config))
        return checkpoint.serialise(full_state(self.config, self.game, self.average, self.counters, space, 4))

    def load(self, data: bytes) -> "Trainer":
        self.counters = restore(checkpoint.decode(data, "test.pt"), self.game, self.average)
        return self

    def everything(self) -> dict:
        game = self.game
        return {
            "generator": dict(game.generator.state_dict()),
            "discriminator": dict(game.discriminator.state_dict()),
            "average": dict(self.average.state_dict()),
            "optimizers": [optimizer_of(game.update_g)["state"], optimizer_of(game.update_d)["state"]],
            "bad": [(u.bad, u.bad_in_row) for u in (game.update_g, game.update_d)],
            "counters": asdict(self.counters),
        }


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_run_goes_on_bit_for_bit(options):
    config = tiny_config(pure_gan_mode=0.3, **options)
    through, stopped = Trainer(config), Trainer(config)
    through.train(5)
    stopped.train(3)
    resumed = Trainer(config).load(stopped.save())
    assert identical(resumed.everything(), stopped.everything())
    resumed.train(2)
    assert identical(resumed.everything(), through.everything())
    assert not identical(resumed.everything()["generator"], stopped.everything()["generator"])


def test_skipped_steps_and_validations_are_remembered():
    trainer = Trainer(tiny_config())
    trainer.train(1)
    trainer.game.update_g.bad += 3
    trainer.game.update_d.bad_in_row += 2
    trainer.counters.best, trainer.counters.since_best, trainer.counters.phase = 0.125, 4, "noise"
    trainer.counters.finished_epochs = 7
    resumed = Trainer(tiny_config()).load(trainer.save())
    assert identical(resumed.everything(), trainer.everything())


def test_weights_of_another_shape_are_told():
    state = checkpoint.decode(Trainer(tiny_config()).save(), "test.pt")
    other = Trainer(tiny_config(num_transformer_layers=1))
    with pytest.raises(UserError, match="does not fit") as caught:
        restore(state, other.game, other.average)
    assert "\n" not in str(caught.value)
    del state["ema"]
    with pytest.raises(UserError, match="does not fit"):
        restore(state, Trainer(tiny_config()).game, other.average)


def test_what_generation_needs_survives():
    space = latent_space(tiny_stream(tiny_config()))
    state = checkpoint.decode(Trainer(tiny_config()).save(), "test.pt")
    again = LatentSpace(**state["latents"])
    assert identical(again.state(), space.state())
    assert again.noise_scales_K2.mean() == pytest.approx(1.0, abs=0.2)
    assert make_config(state["config"]) == tiny_config()


def test_the_range_of_latents_is_kept_per_channel():
    stream = tiny_stream(tiny_config())
    space = latent_space(stream)
    clips = torch.from_numpy(np.stack([clip for index in range(4 * len(stream)) for clip in stream[index]]))
    normal_BDT = (clips - space.mean_D[:, None]) / space.std_D[:, None]
    torch.testing.assert_close(space.lowest_D, normal_BDT.amin((0, 2)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(space.highest_D, normal_BDT.amax((0, 2)), atol=1e-4, rtol=1e-4)
    wild = 10 * normal_BDT
    kept = space.within(wild)
    inside = (wild >= space.lowest_D[:, None]) & (wild <= space.highest_D[:, None])
    assert torch.equal(kept[inside], wild[inside]) and 0 < inside.float().mean() < 1
    assert torch.equal(kept.amax((0, 2)), space.highest_D) and torch.equal(kept.amin((0, 2)), space.lowest_D)


def test_latents_of_older_checkpoints_have_no_range():
    state = latent_space(tiny_stream(tiny_config())).state()
    older = LatentSpace(**{name: value for name, value in state.items() if name not in ("lowest_D", "highest_D")})
    x_BDT = 100 * torch.ones(1, len(older.mean_D), 3)
    assert torch.equal(older.within(x_BDT), x_BDT)
    assert identical(LatentSpace(**older.state()).state(), older.state())


def test_latents_of_another_codec_are_told():
    space = latent_space(tiny_stream(tiny_config()))
    state = {"latents": space.state()}
    check_space(state, space)
    state["latents"]["codec_identity"] = "encodec_24khz-0123"
    with pytest.raises(UserError, match="encodec_24khz-0123 latents, not on mel-fake"):
        check_space(state, space)


# --- options of a resumed run --------------------------------------------------------------------------------------


def saved_with(**options) -> dict:
    return {"config": checkpoint.plain(make_config(options).model_dump())}


def test_a_resumed_run_keeps_its_options():
    state = saved_with(lr=3e-4, num_layers=2, pure_gan_mode=0.02)
    config, changed = resumed_config(make_config({"resume": "auto", "epochs": 300}), state)
    assert (config.lr, config.num_layers, config.pure_gan_mode) == (3e-4, 2, 0.02)
    assert (config.epochs, config.resume) == (300, "auto")
    assert changed == ["epochs 200 -> 300"]


def test_options_given_again_are_no_change():
    config, changed = resumed_config(make_config({"lr": 3e-4, "num_layers": 2}), saved_with(lr=3e-4, num_layers=2))
    assert changed == []
    assert config.lr == 3e-4


def test_an_option_set_back_to_its_default_is_a_change():
    config, changed = resumed_config(make_config({"lr": 1e-4}), saved_with(lr=3e-4))
    assert config.lr == 1e-4
    assert changed == ["lr 0.0003 -> 0.0001"]


def test_limits_of_one_call_do_not_last():
    config, changed = resumed_config(make_config({}), saved_with(max_steps=5, resume="auto", world_size=2))
    assert (config.max_steps, config.resume, config.world_size) == (0, None, 0)
    assert changed == []


def test_the_number_of_threads_lasts():
    """Sums are rounded in the order of the threads: with another number a run would not go on bit for bit."""
    assert resumed_config(make_config({}), saved_with(num_threads=1))[0].num_threads == 1
    assert resumed_config(make_config({"num_threads": 2}), saved_with(num_threads=1))[0].num_threads == 2


OTHER = {"generator": "patch", "encoding_dim": 64, "nhead": 4, "num_layers": 5, "num_transformer_layers": 3, "seed": 7}
OTHER |= {"use_creative_agent": True, "use_compositional_agent": True, "discriminator": "multiscale", "disc_width": 8}
OTHER |= {"disc_spectral_norm": True, "optimizer": "sgd", "disc_optimizer": "adam"}


@pytest.mark.parametrize("name", OTHER)
def test_what_shaped_the_past_cannot_change(name):
    with pytest.raises(UserError, match=f"--{name} .* contradicts the checkpoint, .*--resume"):
        resumed_config(make_config({name: OTHER[name]}), saved_with())


@pytest.mark.parametrize("name", ["width", "patch_frames", "conv_kernel", "residual", "precondition"])
def test_nor_can_the_patch_generators_shape(name):
    other = {"width": 96, "patch_frames": 4, "conv_kernel": 7, "residual": 0.5, "precondition": True}[name]
    state = saved_with(generator="patch", nhead=6)
    with pytest.raises(UserError, match=f"--{name} {other} contradicts"):
        resumed_config(make_config({"generator": "patch", "nhead": 6, name: other}), state)


SHAPES = {"nhead": 4, "num_layers": 2, "num_transformer_layers": 1, "disc_width": 8, "discriminator": "multiscale"}
SHAPES |= {"use_creative_agent": True, "disc_spectral_norm": True, "gan_loss": "rpgan"}


@pytest.mark.parametrize("name", SHAPES)
def test_no_option_gets_as_far_as_weights_that_do_not_fit(name):
    state, given = saved_with(**TINY), make_config({name: SHAPES[name]})
    with pytest.raises(UserError, match=f"--{name} .* contradicts"):
        resumed_config(given, state)
    saved, other = tiny_game(tiny_config()), tiny_game(tiny_config(**{name: SHAPES[name]}))
    if name != "nhead":  # the same weights, but they would mean something else
        assert shapes_of(saved) != shapes_of(other)


def shapes_of(game) -> dict[str, torch.Size]:
    networks = (game.generator, game.discriminator)
    return {name: p.shape for network in networks for name, p in network.named_parameters()}


def test_objectives_for_one_discriminator_may_take_turns():
    config, changed = resumed_config(make_config({"gan_loss": "hinge"}), saved_with(gan_loss="bce"))
    assert config.gan_loss == "hinge"
    assert changed == ["gan_loss bce -> hinge"]
    assert shapes_of(tiny_game(tiny_config(gan_loss="hinge"))) == shapes_of(tiny_game(tiny_config()))


def test_unknown_options_of_an_older_program_are_passed_over():
    state = saved_with(lr=3e-4)
    state["config"]["an_option_of_old"] = 3
    assert resumed_config(make_config({}), state)[0].lr == 3e-4


def test_the_state_holds_tensors_and_plain_types_only():
    def check(value) -> None:
        if isinstance(value, dict):
            assert all(isinstance(key, str | int) for key in value)
            for item in value.values():
                check(item)
        elif isinstance(value, list):
            for item in value:
                check(item)
        else:
            assert value is None or isinstance(value, torch.Tensor | str | int | float | bool), type(value)

    trainer = Trainer(tiny_config())
    trainer.train(1)
    check(checkpoint.decode(trainer.save(), "test.pt"))
