"""Every documented command line as it stands, and every recipe, for a few steps."""

from pathlib import Path

import pytest
import yaml
from e2e_runs import ROOT, TINY, figures, identical, state, train_here
from image_runs import RECIPES as IMAGES

from command_line import parse

pytestmark = pytest.mark.e2e
RECIPES = sorted(path for path in (ROOT / "recipes").glob("*.yaml") if path.stem not in IMAGES)
SMALL_NETWORKS = {"soundgan": ["--gen_width", 4, "--disc_width", 4]}  # else: --num_layers 1
SMALL_NETWORKS |= {"one_pass": ["--init_from", ROOT / "pretrained" / "demo"]}
COMMANDS = """\
--pure_gan_mode 0.01
--train_dir dataset_pairs_wav/train --val_dir dataset_pairs_wav/val --checkpoint_dir checkpoints_pure_gan --epochs 200 \
--pure_gan_mode 0.01 --gan_curriculum_start_epoch 51 --gan_weight 0.15
--pure_gan_mode 0.02 --gan_curriculum_start_epoch 26
--pure_gan_mode 0.005 --gan_curriculum_start_epoch 101
--loss_weight_input 0.3 --loss_weight_target 0.3 --gan_weight 0.15 --mask_reg_weight 0.5 --balance_loss_weight 15.0
--shuffle_targets --mask_reg_weight 1.0 --balance_loss_weight 20.0
--pure_gan_mode 0.01 --gan_curriculum_start_epoch 86 --gan_noise_ceiling 0.3 --checkpoint_dir checkpoints_GAN_30 \
--epochs 150""".splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_documented_commands_run_as_they_stand(command, here):
    assert train_here(*command.split(), *TINY, "--epochs", 1) == 0
    config = parse(command.split())
    c = config.curriculum
    folder = here / config.checkpoints.checkpoint_dir
    assert (folder / "generator.safetensors").exists()
    lines = figures(folder)
    assert lines[-1]["samples_seen"] == 8
    assert lines[-1]["alpha"] == (c.pure_gan_mode if c.gan_curriculum_start_epoch == 1 else 0)


def test_a_documented_resume_runs_as_it_stands(here):
    """After 50 epochs, of which one was really trained; the curriculum begins with the next."""
    assert train_here(*TINY, "--epochs", 50, "--save_every", 1, "--max_steps", 4) == 0
    (here / "checkpoints" / "checkpoint_epoch_1.pt").rename(here / "checkpoints" / "checkpoint_epoch_50.pt")
    command = (
        "--resume checkpoints/checkpoint_epoch_50.pt --pure_gan_mode 0.01 --gan_curriculum_start_epoch 51 --epochs 200"
    )
    assert train_here(*command.split(), "--epochs", 2) == 0
    assert state(here / "checkpoints")["counters"]["finished_epochs"] == 2
    assert [line["step"] for line in figures(here / "checkpoints")] == list(range(1, 9))
    written = yaml.safe_load((here / "checkpoints" / "config.yaml").read_text())
    assert (written["pure_gan_mode"], written["gan_curriculum_start_epoch"], written["num_layers"]) == (0.01, 51, 1)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_runs(recipe, here):
    small = ["--global_batch_size", 2, "--sample_every", 0, "--num_threads", 1, "--log_every", 1, "--crop_seconds", 0.5]
    networks = SMALL_NETWORKS.get(recipe.stem, ["--num_layers", 1])
    assert train_here("--config", recipe, *small, *networks, "--epochs", 1, "--max_steps", 2) == 0
    lines = figures(here / parse(["--config", str(recipe)]).checkpoints.checkpoint_dir)
    assert [line["step"] for line in lines] == [1, 2]
    numbers = [value for line in lines for value in line.values() if isinstance(value, int | float)]
    assert numbers
    assert not any(
        isinstance(value, str) and value in ("nan", "inf", "-inf") for line in lines for value in line.values()
    )


def test_there_are_recipes():
    assert any(path.name == "demo.yaml" for path in RECIPES)
    assert all((ROOT / "recipes" / f"{name}.yaml").exists() for name in IMAGES)


def test_a_recipe_written_out_is_the_recipe(here, capsys):
    """`--print_config` of a recipe, trained from, gives the same run."""
    small = ["--num_layers", "1", "--global_batch_size", "2", "--sample_every", "0", "--num_threads", "1"]
    given = ["--config", str(ROOT / "recipes" / "demo.yaml"), *small, "--max_steps", "2"]
    with pytest.raises(SystemExit):
        parse([*given, "--print_config"])
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert train_here(*given, "--checkpoint_dir", "a") == 0
    assert train_here("--config", "printed.yaml", "--checkpoint_dir", "b") == 0
    assert identical(state(here / "a"), state(here / "b"))
