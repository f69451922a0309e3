"""prepare_dataset.py --kind images: what becomes of files of every sort, and one sentence for what cannot be used."""

import gzip

import numpy as np
import pytest
import yaml
from picture_files import folder_of_classes, idx_bytes, idx_files, noise, write_idx
from PIL import Image

import prepare_dataset
from kinds.images import demos
from kinds.images.pairs import ImagePairs, open_images, to_pictures, to_sample
from kinds.images.preparing import fitted


def prepare(*arguments, code: int = 0) -> None:
    assert prepare_dataset.main(["--kind", "images", *map(str, arguments)]) == code


def manifest(folder) -> dict:
    return yaml.safe_load((folder / "dataset.yaml").read_text())


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_a_folder_of_classes(tmp_path, out, capsys):
    prepare("--input_dir", folder_of_classes(tmp_path / "in"), "--output_dir", out, "--val_fraction", 0.25)
    assert "9 training and 3 validation images, 12 x 12, grey, 2 classes." in capsys.readouterr().out
    train, val = open_images(out / "train", out / "val")
    assert (len(train), len(val), train.shape) == (9, 3, (1, 12, 12))
    assert manifest(out)["classes"] == ["dark", "light"]
    for pairs in (train, val):
        for i, name in enumerate(pairs.names):
            sample = pairs.target(i)
            assert sample.dtype == np.float32 and sample.min() >= -1 and sample.max() <= 1
            assert pairs.labels(i) == {"class": float(name.startswith("light"))}
            assert (sample.mean() > 0) == name.startswith("light")
    assert set(train.names).isdisjoint(val.names)
    assert {name.split("/")[0] for name in val.names} == {"dark", "light"}


def test_samples_and_pictures_are_inverse():
    pictures = noise(5, 6, 7, 3)
    samples = np.stack([to_sample(picture) for picture in pictures])
    assert np.array_equal(to_pictures(samples), pictures)
    assert to_pictures(np.full((1, 1, 2, 2), np.nan)).max() == 0


@pytest.mark.parametrize("compressed", [True, False])
def test_idx_files(tmp_path, out, compressed):
    home = idx_files(tmp_path / "in", compressed=compressed)
    prepare("--input_dir", home, "--output_dir", out)
    train, val = open_images(out / "train", out / "val")
    assert (len(train), len(val), train.shape) == (12, 4, (1, 8, 8))
    assert [train.labels(i)["class"] for i in range(4)] == [0, 1, 2, 0]
    assert manifest(out)["classes"] == ["0", "1", "2"]


def test_digits_written_as_the_files_of_mnist_are_the_digits(tmp_path, out, capsys):
    """What Fashion-MNIST and MNIST come as, four compressed IDX files, with scikit-learn's digits in them."""
    digits = demos.digits()[:50]
    for stem, some in (("train", digits[:40]), ("t10k", digits[40:])):
        pixels_NHW = np.stack([picture.pixels[..., 0] for picture in some])
        write_idx(tmp_path / "in", stem, pixels_NHW, np.array([int(picture.label) for picture in some]))
    prepare("--input_dir", tmp_path / "in", "--size", 16, "--output_dir", out)
    assert "40 training and 10 validation images, 16 x 16, grey, 10 classes." in capsys.readouterr().out
    for pairs, some in zip(open_images(out / "train", out / "val"), (digits[:40], digits[40:]), strict=True):
        for i, picture in enumerate(some):
            assert np.array_equal(pairs.target(i), to_sample(fitted(picture.pixels, 16, 1)))
            assert pairs.labels(i) == {"class": float(picture.label)}


def test_one_idx_file_and_arrays(tmp_path, out):
    home = idx_files(tmp_path / "in", compressed=False)
    prepare("--input_dir", home / "train-images-idx3-ubyte", "--output_dir", out)
    assert len(ImagePairs(out / "train")) == 11 and len(ImagePairs(out / "val")) == 1
    np.save(tmp_path / "images.npy", np.linspace(0, 1, 10 * 36).reshape(10, 6, 6))
    np.save(tmp_path / "labels.npy", np.arange(10) % 2)
    prepare("--input_dir", tmp_path / "images.npy", "--output_dir", tmp_path / "b")
    pairs = ImagePairs(tmp_path / "b" / "train")
    assert len(pairs) == 9 and pairs.target(8).max() > 0.8 and pairs.labels(1) == {"class": 1.0}


def test_everything_is_converted_and_said(tmp_path, out, capsys):
    home = tmp_path / "in"
    home.mkdir()
    Image.fromarray(noise(20, 30, 3)).save(home / "wide.png")
    Image.fromarray(noise(40, 20, 3)).save(home / "tall.jpg")
    Image.fromarray(noise(16, 16, 3)).quantize(8).save(home / "palette.png")
    Image.fromarray(noise(16, 16).astype(np.uint16) * 257).save(home / "deep.png")
    Image.fromarray(noise(16, 16, 4)).save(home / "alpha.png")
    Image.fromarray(noise(16, 16, 4), "CMYK").save(home / "print.jpg")
    Image.fromarray(noise(9, 9) > 100).save(home / "bits.png")
    Image.fromarray(noise(2, 2)).save(home / "tiny.png")
    whole = (home / "wide.png").read_bytes()
    (home / "broken.png").write_bytes(whole[: len(whole) // 2])
    (home / "empty.png").write_bytes(b"")
    (home / "notes.txt").write_text("no picture")
    prepare("--input_dir", home, "--output_dir", out, "--size", 16)
    said = capsys.readouterr().out
    assert "6 training and 1 validation images, 16 x 16, RGB, without classes" in said
    for word in ("Skipped 4 files", "notes.txt: not a picture", "tiny.png: too small (2 x 2)", "broken.png: damaged"):
        assert word in said
    for word in ("more than 8 bits", "transparent", "P: converted", "CMYK", "enlarged", "reduced", "cut to a square"):
        assert word in said
    assert "empty.png" in manifest(out)["skipped"]


def test_sixteen_bits_keep_their_brightness(tmp_path):
    from kinds.images.reading import read_picture

    grey = noise(8, 8)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png")[..., 0], grey)


def test_one_class_only_has_no_labels(tmp_path, out, capsys):
    home = tmp_path / "in"
    (home / "only").mkdir(parents=True)
    for k in range(4):
        Image.fromarray(noise(8, 8)).save(home / "only" / f"{k}.png")
    prepare("--input_dir", home, "--output_dir", out)
    assert "one class" in capsys.readouterr().out
    assert ImagePairs(out / "train").labels(0) == {}


@pytest.mark.parametrize(
    ("demo", "shape", "count"),
    [("digits", (1, 8, 8), 1797), ("sprites", (3, 32, 32), 20), ("one_sprite", (3, 32, 32), 20)],
)
def test_demos(out, demo, shape, count):
    prepare("--demo", demo, "--count", 20, "--output_dir", out)
    train, val = open_images(out / "train", out / "val")
    assert train.shape == shape and len(train) + len(val) == count
    if demo == "one_sprite":
        assert np.array_equal(train.target(0), val.target(0))


def test_crops_of_the_photographs_do_not_overlap_those_held_out(out):
    prepare("--demo", "photos", "--size", 32, "--crops", 60, "--output_dir", out)
    train, val = open_images(out / "train", out / "val")
    assert (len(train), len(val), train.shape) == (54, 6, (3, 32, 32))
    assert manifest(out)["converted"] == {}


def test_the_same_seed_gives_the_same_dataset_and_another_one_another(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare("--demo", "sprites", "--count", 6, "--seed", seed, "--size", 16, "--output_dir", tmp_path / name)
    stored = {name: np.load(tmp_path / name / "train" / "images.npy") for name in "abc"}
    assert np.array_equal(stored["a"], stored["b"]) and not np.array_equal(stored["a"], stored["c"])


def test_again_and_with_other_options(out, capsys):
    arguments = ["--demo", "sprites", "--count", 6, "--size", 16, "--output_dir", out]
    prepare(*arguments)
    prepare(*arguments)
    assert "complete already" in capsys.readouterr().out
    prepare(*arguments, "--seed", 3, code=2)
    assert "seed 42 instead of 3" in capsys.readouterr().err
    prepare(*arguments, "--seed", 3, "--overwrite")
    assert manifest(out)["options"]["seed"] == 3


BAD = {
    "no source": ([], "--input_dir, or --demo"),
    "two sources": (["--input_dir", ".", "--demo", "digits"], "--input_dir, or --demo"),
    "missing": (["--input_dir", "/nowhere"], "/nowhere does not exist"),
    "unknown demo": (["--demo", "cats"], "--demo cats"),
    "unknown shape": (["--demo", "sprites", "--shapes", "star"], "no shape 'star'"),
    "unknown option": (["--demo", "digits", "--sise", "3"], "no option --sise; did you mean --size?"),
    "size": (["--demo", "digits", "--size", "2"], "--size 2"),
    "no folder": (["--demo", "digits", "--output_dir", __file__], "is not a folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_options(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, complaint = BAD[case]
    prepare(*arguments, code=2)
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_an_unknown_kind(capsys):
    assert prepare_dataset.main(["--kind", "smells"]) == 2
    assert "no kind of data 'smells'; choose from audio" in capsys.readouterr().err


def wrong_count(home):
    (home / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(noise(4, 8, 8))[:-5])


def fewer_labels(home):
    (home / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(5)))


def cut_short(home):
    path = home / "train-labels-idx1-ubyte"
    path.write_bytes(gzip.compress(path.read_bytes())[:-12])


def no_idx(home):
    (home / "train-images-idx3-ubyte").write_bytes(b"hello")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (wrong_count, "announces 4 x 8 x 8 bytes but holds 251"),
        (fewer_labels, "5 labels"),
        (cut_short, "train-labels-idx1-ubyte cannot be read"),
        (no_idx, "is no IDX file"),
    ],
)
def test_idx_files_that_are_not_what_they_say(tmp_path, out, capsys, spoil, complaint):
    home = idx_files(tmp_path / "in", compressed=False)
    spoil(home)
    prepare("--input_dir", home, "--output_dir", out, code=2)
    said = capsys.readouterr().err
    assert complaint in said and said.count("\n") == 1 and not out.exists()


def test_a_folder_without_pictures_and_one_with_a_single_one(tmp_path, out, capsys):
    (tmp_path / "in").mkdir()
    prepare("--input_dir", tmp_path / "in", "--output_dir", out, code=2)
    assert "can be used: there are no pictures" in capsys.readouterr().err
    Image.fromarray(noise(8, 8)).save(tmp_path / "in" / "a.png")
    prepare("--input_dir", tmp_path / "in", "--output_dir", out, code=2)
    assert "only one picture" in capsys.readouterr().err


def test_arrays_of_another_shape(tmp_path, out, capsys):
    np.save(tmp_path / "a.npy", np.zeros((3, 5)))
    prepare("--input_dir", tmp_path / "a.npy", "--output_dir", out, code=2)
    assert "has the shape (3, 5)" in capsys.readouterr().err
    (tmp_path / "b.npy").write_bytes(b"nothing")
    prepare("--input_dir", tmp_path / "b.npy", "--output_dir", out, code=2)
    assert "cannot be read" in capsys.readouterr().err
