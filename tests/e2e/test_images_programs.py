"""generate.py and evaluate.py with generators of images, and of spectrograms from a vector of noise."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from e2e_runs import ROOT, train_here
from image_runs import make_sprites, options_of
from PIL import Image

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset, and the folder of a short run of each recipe on it."""
    home = tmp_path_factory.mktemp("trained")
    dataset = make_sprites(home / "set", count=100)
    for recipe in ("dcgan", "super_resolution"):
        given = [*options_of(recipe, dataset), "--batch_size", 16, "--epochs", 1, "--checkpoint_dir", home / recipe]
        assert train_here(*given) == 0
    return home


def call(program: str, *argv, code: int = 0) -> str:
    done = subprocess.run([sys.executable, ROOT / program, *map(str, argv)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_images_from_noise(trained, tmp_path):
    said = call("generate.py", "--checkpoint", trained / "dcgan", "--num", 5, "--output_dir", tmp_path)
    assert "5 images and a grid" in said
    assert pixels(tmp_path / "noise_0_0004.png").shape == (16, 16, 3)
    assert pixels(tmp_path / "noise_0_grid.png").shape[2] == 3
    call("generate.py", "--checkpoint", trained / "dcgan", "--num", 1, "--output_dir", tmp_path / "again")
    assert np.array_equal(pixels(tmp_path / "noise_0_0000.png"), pixels(tmp_path / "again" / "noise_0_0000.png"))
    call("generate.py", "--checkpoint", trained / "dcgan", "--interpolate", 1, "--steps", 3, "--output_dir", tmp_path)
    assert len(list(tmp_path.glob("interpolate_*_000?.png"))) == 3


def test_an_image_is_enlarged(trained, tmp_path):
    small = np.random.default_rng(0).integers(0, 256, (10, 14, 3), dtype=np.uint8)
    Image.fromarray(small).save(tmp_path / "small.png")
    run = trained / "super_resolution"
    call("generate.py", "--checkpoint", run, "--input_image", tmp_path / "small.png", "--output_dir", tmp_path)
    assert pixels(tmp_path / "small_x2.png").shape == (20, 28, 3)


def test_wrong_uses_are_one_sentence(trained, tmp_path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    for recipe, options, complaint in (
        ("super_resolution", [], "enlarges images"),
        ("super_resolution", ["--input_image", tmp_path / "no.png"], "cannot be read"),
        ("super_resolution", ["--input_image", tmp_path / "nowhere.png"], "cannot be read"),
        ("dcgan", ["--input_image", tmp_path / "no.png"], "makes images from noise"),
        ("dcgan", ["--spectrogram"], "--spectrogram is of audio"),
    ):
        said = call("generate.py", "--checkpoint", trained / recipe, *options, "--output_dir", tmp_path, code=2)
        assert complaint in said and said.count("\n") == 1, said
    measured = ["--kind", "images", "--dataset_folder", trained / "set"]
    for options, complaint in (
        ([], "give --checkpoint"),
        (["--checkpoint", trained / "super_resolution"], "enlarges images"),
        (["--checkpoint", trained / "dcgan", "--dataset_folder", tmp_path], "make a dataset of images"),
    ):
        said = call("evaluate.py", *measured, *options, code=2)
        assert complaint in said and said.count("\n") == 1, said


def test_images_are_measured_beside_the_ladder(trained, tmp_path):
    options = ["--kind", "images", "--checkpoint", trained / "dcgan", "--dataset_folder", trained / "set"]
    call("evaluate.py", *options, "--num", 20, "--rounds", 10, "--json", tmp_path / "figures.json")
    sets = json.loads((tmp_path / "figures.json").read_text())["sets"]
    assert {"floor", "shuffled", "mean_picture", "one_picture", "white_noise"} < set(sets)
    assert sets["floor"]["kernel"]["value"] < sets["shuffled"]["kernel"]["value"]
    assert sets["one_picture"]["diversity"]["value"] == 0


def test_a_vector_of_noise_becomes_sound_of_any_length(here):
    """soundgan: longer clips are joined from several spectrograms, and the first one does not depend on the length."""
    small = ["--gen_width", 4, "--disc_width", 4, "--noise_size", 8, "--global_batch_size", 4, "--num_threads", 1]
    recipe = ROOT / "recipes" / "soundgan.yaml"
    assert train_here("--config", recipe, *small, "--crop_seconds", 0.4, "--epochs", 1, "--sample_every", 0) == 0
    for seconds in (0.2, 2):
        folder = here / f"made_{seconds}"
        call("generate.py", "--checkpoint", here / "checkpoints", "--num", 2, "--duration", seconds,
             "--output_dir", folder)  # fmt: skip
        wav, rate = soundfile.read(folder / "noise_0_0001.wav")
        assert len(wav) == round(seconds * rate) and np.isfinite(wav).all()
    said = call("generate.py", "--checkpoint", here / "checkpoints", "--input_audio",
                next((here / "dataset_pairs_wav" / "val").glob("*.wav")), code=2)  # fmt: skip
    assert "starts from noise alone" in said
