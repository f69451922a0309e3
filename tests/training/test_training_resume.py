"""A run that goes on from a save: what it keeps of its beginning, and which options may change."""

import pytest
import torch
from training_parts import CHANNELS, FRAMES, TINY, WholePairs, tiny_config, tiny_trainer, train_on

from command_line import parse
from config import make_config
from errors import UserError
from runtime import checkpoint
from training.resume import changed_sizes, resumed_config


def test_a_run_keeps_its_own_view_of_latents_when_music_is_added(monkeypatch, tmp_path, capsys):
    """Training, validation and generation go on with the statistics that the networks grew up with."""
    options = {"checkpoint_dir": str(tmp_path), "epochs": 2, "sample_every": 0, "num_threads": 1, "log_every": 1}
    before, more = (WholePairs(count, FRAMES, CHANNELS, random=True, seed=count) for count in (8, 12))
    first = train_on(before, monkeypatch, tiny_config(**options))
    assert "note:" not in capsys.readouterr().out
    second = train_on(more, monkeypatch, tiny_config(**options | {"epochs": 3, "resume": "auto"}))
    said = capsys.readouterr().out
    assert "changed: epochs 2 -> 3" in said and "had 8 training pairs and has 12 now" in said
    assert second.counters.step > first.counters.step
    assert not torch.equal(torch.from_numpy(more.mean), torch.from_numpy(before.mean))
    for run in (first, second):
        torch.testing.assert_close(run.space.mean_D, torch.from_numpy(before.mean))
        torch.testing.assert_close(run.space.std_D, torch.from_numpy(before.std))
        assert run.space is run.trainer.space
    wild = 100 * torch.randn(2, CHANNELS, 9)
    assert torch.equal(second.space.within(wild), first.space.within(wild))


def test_another_batch_or_dataset_is_remarked_on():
    assert changed_sizes({"global_batch": 8, "pairs": 100}, 8, 100) == []
    batch, pairs = changed_sizes({"global_batch": 8, "pairs": 100}, 4, 120)
    assert "global batch was 8 and is 4 now" in batch and "had 100 training pairs and has 120 now" in pairs
    assert changed_sizes({"global_batch": 8}, 8, 100) == []  # early versions did not count them


# --- options of a resumed run --------------------------------------------------------------------------------------


def saved_with(**options) -> dict:
    return {"config": checkpoint.plain(make_config(options).flat())}


def resumed(given: dict, state: dict):
    """(options, remarks) of a run that is resumed with these options given."""
    return resumed_config(make_config(given), state, "last.pt")


def test_a_resumed_run_keeps_its_options():
    state = saved_with(lr=3e-4, num_layers=2, pure_gan_mode=0.02)
    config, remarks = resumed({"resume": "auto", "epochs": 300}, state)
    assert (config.optimizer.lr, config.chosen("generator").options.num_layers) == (3e-4, 2)
    assert config.curriculum.pure_gan_mode == 0.02
    assert (config.training.epochs, config.checkpoints.resume) == (300, "auto")
    assert remarks == ["changed: epochs 200 -> 300"]


def test_options_given_again_are_no_change():
    config, remarks = resumed({"lr": 3e-4, "num_layers": 2}, saved_with(lr=3e-4, num_layers=2))
    assert remarks == []
    assert config.optimizer.lr == 3e-4


def test_an_option_set_back_to_its_default_is_a_change():
    config, remarks = resumed({"lr": 1e-4}, saved_with(lr=3e-4))
    assert config.optimizer.lr == 1e-4
    assert remarks == ["changed: lr 0.0003 -> 0.0001"]


def test_limits_of_one_call_do_not_last():
    config, remarks = resumed({}, saved_with(max_steps=5, resume="auto", world_size=2))
    assert (config.training.max_steps, config.checkpoints.resume, config.processes.world_size) == (0, None, 0)
    assert remarks == []


def test_the_number_of_threads_lasts():
    """Sums are rounded in the order of the threads: with another number a run would not go on bit for bit."""
    assert resumed({}, saved_with(num_threads=1))[0].processes.num_threads == 1
    assert resumed({"num_threads": 2}, saved_with(num_threads=1))[0].processes.num_threads == 2


OTHER = {"generator": "patch", "encoding_dim": 64, "nhead": 4, "num_layers": 5, "num_transformer_layers": 3, "seed": 7}
OTHER |= {"use_creative_agent": True, "use_compositional_agent": True, "discriminator": "spectrogram", "disc_width": 8}
OTHER |= {"disc_spectral_norm": True, "optimizer": "sgd", "gan_loss": "wgan-gp", "conditions": "alpha"}


@pytest.mark.parametrize("name", OTHER)
def test_what_shaped_the_past_cannot_change(name):
    with pytest.raises(UserError, match=f"--{name} .* contradicts the checkpoint, .*--resume"):
        resumed({name: OTHER[name]}, saved_with())


@pytest.mark.parametrize("name", ["width", "patch_frames", "precondition"])
def test_nor_can_the_patch_generators_shape(name):
    other = {"width": 96, "patch_frames": 4, "precondition": True}[name]
    state = saved_with(generator="patch", nhead=6)
    with pytest.raises(UserError, match=f"--{name} {other} contradicts"):
        resumed({"generator": "patch", "nhead": 6, name: other}, state)


SHAPES = {"nhead": 4, "num_layers": 2, "num_transformer_layers": 1, "disc_width": 8, "discriminator": "spectrogram"}
SHAPES |= {"use_creative_agent": True, "disc_spectral_norm": True, "gan_loss": "rpgan"}


@pytest.mark.parametrize("name", SHAPES)
def test_no_option_gets_as_far_as_weights_that_do_not_fit(name):
    with pytest.raises(UserError, match=f"--{name} .* contradicts"):
        resumed({name: SHAPES[name]}, saved_with(**TINY))
    saved, other = tiny_trainer(tiny_config()), tiny_trainer(tiny_config(**{name: SHAPES[name]}))
    if name != "nhead":  # the same weights, but they would mean something else
        assert shapes_of(saved) != shapes_of(other)


def shapes_of(trainer) -> dict[str, torch.Size]:
    networks = (trainer.generator, trainer.discriminator)
    return {name: p.shape for network in networks for name, p in network.named_parameters()}


@pytest.mark.parametrize(("before", "after"), [("bce", "hinge"), ("lsgan", "bce"), ("rpgan", "wgan-gp")])
def test_objectives_for_one_discriminator_may_follow_each_other(before, after):
    config, remarks = resumed({"gan_loss": after}, saved_with(gan_loss=before))
    assert config.adversarial.gan_loss == config.chosen("gan_loss").name == after
    assert remarks == [f"changed: gan_loss {before} -> {after}"]
    assert shapes_of(tiny_trainer(tiny_config(gan_loss=after))) == shapes_of(tiny_trainer(tiny_config(gan_loss=before)))


def test_options_of_a_part_that_was_replaced_go_with_it():
    state = saved_with(gan_loss="lsgan", label_smoothing=0.9, lr_schedule="plateau", plateau_patience=3)
    config, remarks = resumed({"gan_loss": "hinge", "lr_schedule": "cosine"}, state)
    assert not {"label_smoothing", "plateau_patience"} & config.flat().keys()
    assert sorted(remarks) == ["changed: gan_loss lsgan -> hinge", "changed: lr_schedule plateau -> cosine"]
    assert resumed({"gan_loss": "bce"}, state)[0].chosen("gan_loss").options.label_smoothing == 0.9


LATER = saved_with(gan_loss="rpgan", centring_weight=0.25, generator="patch", width=96, patch_frames=3, nhead=6)


def on_the_command_line(*words: str):
    return resumed_config(parse(["--resume", "auto", *words]), LATER, "last.pt")


def test_options_of_parts_that_the_checkpoint_chooses_may_be_given_alone():
    """The command line does not know yet which parts those are."""
    config, remarks = on_the_command_line("--centring_weight", "0.5")
    assert config.chosen("gan_loss").options.centring_weight == 0.5
    assert remarks == ["changed: centring_weight 0.25 -> 0.5"]
    with pytest.raises(UserError, match="--width 64 contradicts the checkpoint, which was trained with 96"):
        on_the_command_line("--width", "64")
    with pytest.raises(UserError, match="label_smoothing is an option of --gan_loss bce or lsgan, not of rpgan"):
        on_the_command_line("--label_smoothing", "0.9")
    with pytest.raises(UserError, match="--centring_weight much is not possible"):
        on_the_command_line("--centring_weight", "much")


def test_options_of_parts_that_the_checkpoint_chooses_may_be_given_again():
    config, remarks = on_the_command_line("--width", "96", "--centring_weight", "0.25", "--patch_frames", "3")
    assert config.chosen("generator").options.width == 96
    assert remarks == []


def test_unknown_options_of_an_older_program_are_passed_over():
    state = saved_with(lr=3e-4)
    state["config"]["an_option_of_old"] = 3
    assert resumed({}, state)[0].optimizer.lr == 3e-4


def test_a_resumed_run_has_no_more_to_remark_on_than_the_first():
    """Only what the user gave is remarked on, not what the checkpoint knows."""
    first = make_config({})
    config, _ = resumed({}, saved_with())
    assert config.remarks() == first.remarks() == []
