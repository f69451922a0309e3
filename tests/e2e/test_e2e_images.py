"""Image recipes as whole programs: they run, are resumed exactly on one rank and on two, and write pictures."""

import json

import numpy as np
import pytest
from e2e_runs import Ranks, figures, identical, state, train_here
from image_runs import RECIPES, make_sprites, options_of
from PIL import Image

import prepare_dataset

pytestmark = pytest.mark.e2e
# Whatever could remember something, on top of the recipe
REMEMBERS = {
    "dcgan": ["--disc_dropout", 0.2, "--instance_noise_std", 0.1, "--classifier", "conv", "--classifier_width", 4],
    "super_resolution": ["--disc_dropout", 0.2],
    "sprites": ["--disc_spectral_norm", "true"],
}


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    """16 training and 4 validation images."""
    return make_sprites(tmp_path_factory.mktemp("sprites") / "dataset_images")


def assert_same_run(folder, reference) -> None:
    assert figures(folder) == figures(reference)
    assert identical(state(folder), state(reference))
    assert (folder / "generator.safetensors").read_bytes() == (reference / "generator.safetensors").read_bytes()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_to_its_end(recipe, sprites, tmp_path):
    given = [*options_of(recipe, sprites), "--epochs", 2, "--sample_every", 1, "--checkpoint_dir", tmp_path / "run"]
    assert train_here(*given) == 0
    lines = figures(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert not [value for line in lines for value in line.values() if value in ("nan", "inf", "-inf")]
    for name in ("epoch_0001_0", "epoch_0002_0", "real_0"):
        with Image.open(tmp_path / "run" / "samples" / f"{name}.png") as image:
            assert image.mode == "RGB" and min(image.size) > 30
    assert "data:image/jpeg" in (tmp_path / "run" / "report.html").read_text()
    about = json.loads((tmp_path / "run" / "about.json").read_text())
    assert (about["identity"], about["unit"], about["length"]) == ("images-3x16x16", "image", 1.0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_resumed_it_is_the_same_run(recipe, sprites, tmp_path):
    given = [*options_of(recipe, sprites), *REMEMBERS[recipe], "--epochs", 3, "--checkpoint_dir"]
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    assert train_here(*given, through) == 0
    assert train_here(*given, stopped, "--max_steps", 2) == 0
    assert train_here("--resume", stopped / "last.pt", "--max_steps", 4) == 0  # the end of an epoch
    assert train_here("--resume", stopped / "last.pt", "--max_steps", 9) == 0
    assert train_here("--resume", "auto", "--checkpoint_dir", stopped) == 0
    assert_same_run(stopped, through)


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_ranks_resumed_are_the_same_run(recipe, sprites, tmp_path):
    given = [*options_of(recipe, sprites), *REMEMBERS[recipe], "--epochs", 3, "--checkpoint_dir"]
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    assert Ranks(2, *given, through).wait() == [0, 0]
    assert Ranks(2, *given, stopped, "--max_steps", 3).wait() == [0, 0]
    assert Ranks(2, "--resume", stopped / "last.pt").wait() == [0, 0]
    assert_same_run(stopped, through)


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_ranks_see_what_one_sees(recipe, sprites, tmp_path):
    """No layer mixes samples: the same global batch gives the same run on one rank and on two, but for rounding."""
    given = [*options_of(recipe, sprites), "--global_batch_size", 4, "--epochs", 2, "--checkpoint_dir"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert train_here(*given, one) == 0
    assert Ranks(2, *given, two).wait() == [0, 0]
    for a, b in zip(figures(one), figures(two), strict=True):
        numbers = [name for name, value in a.items() if isinstance(value, float) and name.startswith(("loss", "class"))]
        assert {name: a[name] for name in numbers} == pytest.approx({n: b[n] for n in numbers}, rel=1e-2, abs=1e-3)


def test_the_classifier_changes_nothing_else(sprites, tmp_path):
    given = [*options_of("dcgan", sprites), "--epochs", 2, "--checkpoint_dir"]
    assert train_here(*given, tmp_path / "without", "--classifier", "none") == 0
    assert train_here(*given, tmp_path / "with", "--classifier", "conv") == 0
    for a, b in zip(figures(tmp_path / "without"), figures(tmp_path / "with"), strict=True):
        assert "classifier/accuracy" in b or "classifier/val_accuracy" in b
        assert a == {name: value for name, value in b.items() if name in a}
    mine, other = (state(tmp_path / name)["trainer"] for name in ("with", "without"))
    assert mine.pop("classifier") and identical(mine, other)


def test_super_resolution_compares_with_the_sample_itself(sprites, tmp_path):
    """At the first step the generator is bicubic interpolation, so its PSNR is bicubic's."""
    given = [*options_of("super_resolution", sprites), "--lr", 1e-9, "--epochs", 1, "--checkpoint_dir", tmp_path]
    assert train_here(*given) == 0
    last = figures(tmp_path)[-1]
    assert last["val/psnr"] == pytest.approx(last["val/psnr_bicubic"], abs=0.01) and last["val/psnr"] > 10
    assert last["val/ssim"] == pytest.approx(last["val/ssim_bicubic"], abs=0.01)
    phases = [line["pretrain_phase"] for line in figures(tmp_path)[:-1]]
    assert phases == [1, 1, 1][: len(phases)]


BAD = {
    "noise curriculum": (["--pure_gan_mode", 0.1], "starts from noise alone, so pure_gan_mode would have no effect"),
    "batch": (["--batch_size", 64], "needs 64 pairs, the dataset has 16"),
    "channels": (["--encoding_dim", 1], "--encoding_dim 1 does not fit latents of 3 channels: give 3"),
    "discriminator": (["--discriminator", "conv"], "--discriminator conv does not take what --kind images holds"),
    "upscale": (["--upscale", 2], "--generator dcgan does not make what --kind images needs"),
    "labels": (["--classifier", "conv", "--classifier_labels", "genre"], "names no labels"),
    "angle": (["--loss_weight_angle", 1, "--encoding_dim", 1], "loss_weight_angle compares colours"),
    "masks": (["--mask_type", "temporal"], "mask_type"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_input(case, sprites, tmp_path, capsys):
    more, complaint = BAD[case]
    assert train_here(*options_of("dcgan", sprites), *more, "--checkpoint_dir", tmp_path / "run") == 2
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1


def test_a_size_that_cannot_be_halved(tmp_path, capsys):
    dataset = make_sprites(tmp_path / "odd", size=15)
    assert train_here(*options_of("super_resolution", dataset), "--checkpoint_dir", tmp_path / "run") == 2
    assert "--upscale 2 does not fit images of 15 x 15" in capsys.readouterr().err


def test_one_class_only_has_nothing_to_classify(tmp_path, capsys):
    arguments = ["--kind", "images", "--demo", "sprites", "--shapes", "circle", "--count", "20", "--size", "16"]
    assert prepare_dataset.main([*arguments, "--output_dir", str(tmp_path / "one")]) == 0
    given = [*options_of("sprites", tmp_path / "one"), "--epochs", 1, "--checkpoint_dir", tmp_path / "run"]
    assert train_here(*given) == 2
    said = capsys.readouterr().err
    assert "this dataset has none with two or more categories: leave it out" in said and said.count("\n") == 1
    assert train_here(*given, "--classifier", "none") == 0


def test_damaged_and_missing_files(tmp_path, capsys):
    dataset = make_sprites(tmp_path / "set")
    whole = (dataset / "train" / "images.npy").read_bytes()
    (dataset / "train" / "images.npy").write_bytes(whole[: len(whole) // 2])
    given = [*options_of("dcgan", dataset), "--checkpoint_dir", tmp_path / "run"]
    assert train_here(*given) == 2
    assert "are damaged" in capsys.readouterr().err
    (dataset / "train" / "images.npy").unlink()
    assert train_here(*given) == 2
    assert "holds no images.npy: make a dataset" in capsys.readouterr().err
    np.save(dataset / "train" / "images.npy", np.zeros((3, 16, 16, 3), np.uint8))
    assert train_here(*given) == 2
    assert "do not belong together" in capsys.readouterr().err


def test_one_sprite_alone_is_fitted_by_regression(tmp_path):
    """All samples are equal, so that there is no variety to compare with."""
    arguments = ["--kind", "images", "--demo", "one_sprite", "--count", "20", "--size", "8"]
    assert prepare_dataset.main([*arguments, "--val_fraction", "0.2", "--output_dir", str(tmp_path / "one")]) == 0
    given = [*options_of("dcgan", tmp_path / "one"), "--classifier", "none", "--gan_weight", 0]
    given += ["--loss_weight_target", 1, "--loss_reconstruction", "mse", "--lr", 1e-2, "--epochs", 5]
    assert train_here(*given, "--checkpoint_dir", tmp_path / "run") == 0
    lines = figures(tmp_path / "run")
    assert lines[-2]["loss/target"] < 0.7 * lines[0]["loss/target"]
    assert not any(name.startswith("diversity") for line in lines for name in line)
