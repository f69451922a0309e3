"""Options of parts: whose they are, what chooses them, what travels, what waits for a checkpoint."""

import pickle

import pytest
import torch
from option_facts import FIELDS, KNOWN, OWNED, refused

from command_line import parse
from config import SECTIONS, make_config
from errors import UserError
from registry import mark_of


def test_help_says_whose_an_option_is(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "latent frames per token (default: 2) [patch]" in shown
    assert "label of real samples; 0.9 is usual (default: 1.0) [bce, lsgan]" in shown


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        parse([]).training.epochs = 3
    with pytest.raises(AttributeError, match="epochs"):
        _ = parse([]).epochs


def test_a_config_travels_to_other_processes():
    config = parse(["--size", "tiny", "--health", "window=7", "--gan_loss", "rpgan", "--centring_weight", "0.1"])
    again = pickle.loads(pickle.dumps(config))
    assert again == config and again.given == config.given
    assert again.health.health.window == 7


def test_replacing_an_option_keeps_the_rest():
    config = parse(["--gan_loss", "lsgan", "--label_smoothing", "0.9", "--lr", "0.5"])
    assert config.replace(epochs=3).flat() == config.flat() | {"epochs": 3}
    other = config.replace(gan_loss="hinge")  # what lsgan owned goes with it
    assert "label_smoothing" not in other.flat() and other.optimizer.lr == 0.5 and other.given == config.given
    with pytest.raises(UserError, match="epochs 0"):
        config.replace(epochs=0)


@pytest.mark.parametrize("given", ["window=10,swing=0.3", "swing=0.3, window=10"])
def test_health_is_a_block(given, tmp_path):
    config = parse(["--health", given])
    assert (config.health.health.window, config.health.health.swing) == (10, 0.3)
    assert config.health.health.growth == 10.0
    file = tmp_path / "block.yaml"
    file.write_text("health: {window: 10, swing: 0.3}\n")
    assert parse(["--config", str(file)]).flat() == config.flat()
    assert "did you mean window" in refused("--health", "windw=10")
    assert "name=value" in refused("--health", "window")
    assert "--health.window 1" in refused("--health", "window=1")


def test_there_are_a_hundred_options_at_most_in_any_run():
    """Of the sections and the default parts; other parts bring a few of their own in exchange."""
    with_effect = [name for name in parse([]).flat() if not mark_of(FIELDS[name], "without_effect")]
    assert len(with_effect) < 100
    assert all(known.field.description for known in KNOWN.values())


def test_every_option_is_declared_once():
    declared = [name for model in SECTIONS.values() for name in model.model_fields]
    assert len(declared) == len(set(declared))
    assert not OWNED & set(declared)


def test_marks_of_options():
    """What resume goes by."""
    marked = {mark: {n for n, field in FIELDS.items() if mark_of(field, mark)} for mark in ("shapes_run", "per_call")}
    assert {"generator", "width", "seed", "discriminator", "gan_loss", "optimizer"} <= marked["shapes_run"]
    assert marked["per_call"] == {
        "resume", "checkpoint_dir", "max_steps", "world_size", "local_rank", "timeout_minutes",
        "decoder",
    }  # fmt: skip


def test_batch_per_device():
    assert make_config({"batch_size": 5}).training.batch_per_device(3) == 5
    assert make_config({"global_batch_size": 12}).training.batch_per_device(3) == 4
    with pytest.raises(UserError, match="is not divisible by 5"):
        make_config({"global_batch_size": 12}).training.batch_per_device(5)


@pytest.mark.parametrize(("size", "millions"), [("tiny", 2.6), ("small", 6.8), ("base", 31), ("large", 112)])
def test_sizes_have_the_parameters_that_the_help_says(size, millions):
    config = parse(["--size", size])
    assert config.model.generator == "patch"
    with torch.device("meta"):
        count = sum(p.numel() for p in config.chosen("generator").build(128).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.03)


def test_a_size_gives_way_to_options_beside_it_and_beats_the_file(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{generator: patch, width: 64, nhead: 4, num_layers: 1, lr: 0.5}")
    config = parse(["--config", str(recipe), "--size", "small", "--num_layers", "2"])
    network = config.chosen("generator").options
    assert (network.width, network.nhead, network.num_layers, config.optimizer.lr) == (256, 8, 2, 0.5)
    recipe.write_text("{size: base, num_layers: 3}")
    config = parse(["--config", str(recipe)])
    network = config.chosen("generator").options
    assert (config.model.generator, network.width, network.num_layers) == ("patch", 512, 3)
    with pytest.raises(UserError, match="size huge"):
        parse(["--size", "huge"])


def test_options_beside_resume_wait_for_the_checkpoint():
    """Which parts are chosen only the checkpoint knows, unless the command line chooses them."""
    config = parse(["--resume", "auto", "--width", "64", "--lr", "0.5"])
    assert config.deferred == {"width": 64}
    with pytest.raises(
        UserError, match="width is an option of --generator patch or spectrum or vocoder, not of cascade"
    ):
        config.for_a_new_run()
    assert parse(["--resume", "auto", "--lr", "0.5"]).for_a_new_run().optimizer.lr == 0.5
    assert "width is an option" in refused("--resume", "auto", "--generator", "cascade", "--width", "64")
