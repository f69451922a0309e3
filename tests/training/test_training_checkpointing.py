"""A checkpoint is the whole of a run: what goes on from it cannot be distinguished from what never stopped."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from training_parts import go_on, identical, optimizer_of, tiny_config, tiny_run, tiny_space, tiny_stream

from config import make_config
from errors import UserError
from runtime import checkpoint
from runtime.saver import HostCopy
from synthesis.space import Space
from training.checkpointing import full_state
from training.counters import Counters
from training.resume import check_identity
from training.run import Run

VARIANTS = {
    "adamw, creative": {"use_creative_agent": True},
    "sgd, compositional": {"optimizer": "sgd", "use_compositional_agent": True},
    "adam, patch, spectral norm": {
        "optimizer": "adam",
        "generator": "patch",
        "width": 16,
        "disc_spectral_norm": True,
    },
    "spectrogram": {"discriminator": "conv+spectrogram"},
}
REACTING = {"pure_gan_mode": 0.3, "adaptive_alpha": True, "lr_schedule": "plateau", "plateau_patience": 0}


def saved(run: Run) -> bytes:
    """As it goes to disk."""
    return checkpoint.serialise(HostCopy()(full_state(run)))


def loaded(data: bytes, **options) -> Run:
    """A new run that goes on from a checkpoint."""
    run = tiny_run(tiny_config(**options))
    run.load(checkpoint.decode(data, "test.pt"))
    return run


def everything(run: Run) -> dict:
    trainer = run.trainer
    return {
        "generator": dict(trainer.generator.state_dict()),
        "discriminator": dict(trainer.discriminator.state_dict()),
        "average": dict(run.average.state_dict()),
        "optimizers": [optimizer_of(trainer.update_g)["state"], optimizer_of(trainer.update_d)["state"]],
        "bad": [(u.bad, u.bad_in_row) for u in (trainer.update_g, trainer.update_d)],
        "counters": asdict(run.counters),
        "schedules": run.schedules.state_dict(),
    }


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_run_goes_on_bit_for_bit(options):
    options = REACTING | options
    through, stopped = tiny_run(tiny_config(**options)), tiny_run(tiny_config(**options))
    go_on(through, 7)
    go_on(stopped, 5)
    resumed = loaded(saved(stopped), **options)
    assert identical(everything(resumed), everything(stopped))
    go_on(resumed, 2)
    assert identical(everything(resumed), everything(through))
    assert not identical(everything(resumed)["generator"], everything(stopped)["generator"])
    assert resumed.schedules.state_dict() != tiny_run(tiny_config(**options)).schedules.state_dict()


def test_skipped_steps_and_validations_are_remembered():
    run = tiny_run(tiny_config())
    go_on(run, 1)
    run.trainer.update_g.bad += 3
    run.trainer.update_d.bad_in_row += 2
    run.counters.best, run.counters.since_best, run.counters.phase = 0.125, 4, "noise"
    run.counters.finished_epochs, run.counters.rewinds, run.counters.rollbacks = 7, 2, 1
    run.counters.lr_factor = 0.5
    assert identical(everything(loaded(saved(run))), everything(run))


def test_a_saved_state_stands_still_while_training_goes_on():
    run = tiny_run(tiny_config())
    go_on(run, 1)
    copied, before = HostCopy()(full_state(run)), everything(run)
    before = checkpoint.decode(checkpoint.serialise({"kept": before["generator"]}), "test.pt")["kept"]
    go_on(run, 1)
    assert identical(copied["trainer"]["generator"], before)
    assert copied["counters"]["step"] == 1


SHAPES = {
    "stages": {"num_transformer_layers": 1},
    "generator": {"generator": "patch", "width": 16},
    "discriminator": {"disc_width": 8},
    "agent": {"use_creative_agent": True},
}


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_weights_of_another_shape_are_reported_in_one_sentence(options):
    state = checkpoint.decode(saved(tiny_run(tiny_config())), "test.pt")
    other = tiny_run(tiny_config(**options))
    with pytest.raises(UserError, match="does not fit") as caught:
        other.load(state)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["counters", "trainer", "ema", "schedules"])
def test_a_checkpoint_that_lacks_a_part_is_reported(missing):
    state = checkpoint.decode(saved(tiny_run(tiny_config())), "test.pt")
    del state[missing]
    with pytest.raises(UserError, match=f"does not fit.*{missing}"):
        tiny_run(tiny_config()).load(state)


def test_what_generation_needs_survives():
    run = tiny_run(tiny_config())
    state = checkpoint.decode(saved(run), "test.pt")
    again = Space.from_state(state["space"])
    assert identical(again.state_dict(), run.space.state_dict()) and again.shape == run.space.shape
    assert identical(again.state_dict(), tiny_space(tiny_stream(tiny_config())).state_dict())
    assert again.noise_scales_K2.mean() == pytest.approx(1.0, abs=0.2)
    assert make_config(state["config"]).flat() == tiny_config().flat()


def test_the_range_of_latents_is_kept_per_channel():
    stream = tiny_stream(tiny_config())
    space = tiny_space(stream)
    clips = torch.from_numpy(np.stack([clip for index in range(4 * len(stream)) for clip in stream[index]]))
    normal_BDT = space.normalise(clips)
    torch.testing.assert_close(space.lowest_D, normal_BDT.amin((0, 2)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(space.highest_D, normal_BDT.amax((0, 2)), atol=1e-4, rtol=1e-4)
    wild = 10 * normal_BDT
    kept = space.within(wild)
    inside = (wild >= space.lowest_D[:, None]) & (wild <= space.highest_D[:, None])
    assert torch.equal(kept[inside], wild[inside]) and 0 < inside.float().mean() < 1
    assert torch.equal(kept.amax((0, 2)), space.highest_D) and torch.equal(kept.amin((0, 2)), space.lowest_D)


def test_latents_of_older_checkpoints_have_no_range():
    state = tiny_space(tiny_stream(tiny_config())).state_dict()
    older = Space.from_state({name: value for name, value in state.items() if name not in ("lowest_D", "highest_D")})
    x_BDT = 100 * torch.ones(1, len(older.mean_D), 3)
    assert torch.equal(older.within(x_BDT), x_BDT)
    assert identical(Space.from_state(older.state_dict()).state_dict(), older.state_dict())


def test_normalised_latents_come_back():
    space = tiny_space(tiny_stream(tiny_config()))
    x_BDT = 5 + 3 * torch.randn(2, *space.shape)
    torch.testing.assert_close(space.denormalise(space.normalise(x_BDT)), x_BDT)
    torch.testing.assert_close(space.normalise(x_BDT)[:, 1], (x_BDT[:, 1] - space.mean_D[1]) / space.std_D[1])


def test_latents_of_another_codec_are_reported():
    state = {"space": tiny_space(tiny_stream(tiny_config())).state_dict()}
    check_identity(state, "mel-fake")
    state["space"]["identity"] = "encodec_24khz-0123"
    with pytest.raises(UserError, match="encodec_24khz-0123 latents, not on mel-fake"):
        check_identity(state, "mel-fake")


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

    run = tiny_run(tiny_config(**REACTING))
    go_on(run, 3)
    check(full_state(run))
    check(checkpoint.decode(saved(run), "test.pt"))


# --- which validation is the best ----------------------------------------------------------------------------------


def test_the_best_validation_is_that_of_its_phase():
    counters, seen = Counters(), []
    course = [(3.0, "music"), (2.0, "music"), (2.0, "music"), (2.5, "music"), (9.0, "transition"), (9.5, "transition")]
    course += [(8.0, "transition"), (5.0, "noise"), (4.0, "noise"), (4.5, "noise")]
    for loss, phase in course:
        best = counters.is_best(loss, phase)
        seen.append((best, counters.best, counters.since_best))
        assert counters.phase == phase
    assert seen == [
        (True, 3.0, 0), (True, 2.0, 0), (False, 2.0, 1), (False, 2.0, 2),  # no better is no improvement
        (True, 9.0, 0), (False, 9.0, 1), (True, 8.0, 0),  # another phase is another task
        (True, 5.0, 0), (True, 4.0, 0), (False, 4.0, 1),
    ]  # fmt: skip


def test_a_loss_that_is_not_a_number_is_no_improvement():
    counters = Counters()
    counters.is_best(1.0, "music")
    assert not counters.is_best(float("nan"), "music")
    assert (counters.best, counters.since_best) == (1.0, 1)
