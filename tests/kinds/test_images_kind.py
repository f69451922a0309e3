"""The kind of pictures: what a generator starts from, measures, features, grids, files of samples, the ladder."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

import prepare_dataset
from config import make_config
from errors import UserError
from kinds.base import build_kind
from kinds.images.decoder import PictureDecoder, grid_of
from kinds.images.features import picture_features
from kinds.images.kind import smaller
from kinds.images.options import ImagesOptions
from kinds.images.pairs import ImagePairs
from kinds.images.rungs import ORDER, RUNGS, make_rung
from losses.options import RegressionOptions
from monitoring.log import RunLog

DCGAN = {"kind": "images", "generator": "dcgan", "encoding_dim": 3}
ENLARGING = {"kind": "images", "generator": "super_resolution", "upscale": 2, "encoding_dim": 3}


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sprites") / "set"
    options = ["--kind", "images", "--demo", "sprites", "--count", "80", "--size", "16", "--val_fraction", "0.5"]
    assert prepare_dataset.main([*options, "--output_dir", str(folder)]) == 0
    return folder


def opened(sprites, options: dict):
    config = make_config(options | {"dataset_folder": str(sprites)})
    kind = build_kind(config.choices)
    return kind, kind.open(config.data, build=True)


def test_a_noise_generator_observes_nothing(sprites):
    kind, (train, val) = opened(sprites, DCGAN)
    assert not hasattr(kind, "observe") and (len(train), len(val)) == (40, 40)
    assert (kind.identity, kind.unit, train.shape[-1] / kind.rate) == ("images-3x16x16", "image", 1.0)


def test_enlarging_starts_from_a_smaller_copy(sprites):
    kind, (train, _) = opened(sprites, ENLARGING)
    x = torch.from_numpy(np.stack([train.target(i) for i in range(4)]))
    start, clean = kind.observe(x)
    assert start.shape == (4, 3, 8, 8) and torch.equal(clean, x) and kind.own_reals
    assert (kind.source_channels, kind.made_channels) == (3, 3)
    flat = torch.full((1, 3, 8, 8), 0.3)
    assert torch.allclose(smaller(flat, 2), torch.full((1, 3, 4, 4), 0.3))


def test_measures_beside_those_of_bicubic_interpolation(sprites):
    kind, (train, _) = opened(sprites, ENLARGING)
    x = torch.from_numpy(np.stack([train.target(i) for i in range(4)]))
    start, clean = kind.observe(x)
    enlarged = interpolate(start, scale_factor=2, mode="bicubic", align_corners=False)
    perfect, bicubic = kind.measures(clean, clean, start), kind.measures(enlarged, clean, start)
    columns = dict(zip(kind.measured, perfect.T, strict=True))
    assert columns["psnr"].tolist() == [100.0] * 4 and columns["ssim"].tolist() == pytest.approx([1.0] * 4)
    assert torch.equal(bicubic[:, 0], bicubic[:, 1]) and torch.equal(bicubic[:, 2], bicubic[:, 3])
    assert (columns["psnr"] > columns["psnr_bicubic"]).all()


def test_features_tell_pictures_from_their_pixels_in_another_order(sprites):
    train = ImagePairs(sprites / "train")
    pictures = train.pictures(np.arange(30))
    to_features = lambda p: picture_features(torch.from_numpy(p.transpose(0, 3, 1, 2) / 127.5 - 1.0))  # noqa: E731
    real, shuffled = to_features(pictures), to_features(make_rung("shuffled", pictures))
    assert real.shape == (30, 3 * 56) and real.isfinite().all()
    same = slice(-6, None)  # mean and deviation of the channels do not depend on the order
    assert torch.allclose(real[:, same], shuffled[:, same])
    assert (real - shuffled).abs().mean() > 0.1


def test_rungs_are_what_they_say(sprites):
    pictures = ImagePairs(sprites / "train").pictures(np.arange(20))
    made = {rung: make_rung(rung, pictures) for rung in RUNGS}
    assert {rung: one.shape for rung, one in made.items()} == dict.fromkeys(RUNGS, pictures.shape)
    assert np.array_equal(made["floor"], pictures)
    assert np.array_equal(np.sort(made["shuffled"], axis=None), np.sort(pictures, axis=None))
    for rung in ("mean_picture", "one_picture"):
        assert len(np.unique(made[rung], axis=0)) == 1
    assert set(np.unique(made["white_noise"])) <= set(np.unique(pictures))
    assert {name for rules in ORDER.values() for low, _, high in rules for name in (low, high)} <= set(RUNGS)


@pytest.mark.parametrize(("count", "side", "grid"), [(1, 8, (64, 64)), (9, 16, (196, 196)), (5, 70, (142, 214))])
def test_grids(count, side, grid):
    pictures = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, side, side, 3), np.uint8)
    made = grid_of(pictures)
    assert made.shape == (*grid, 3) and (made[0, 0] == 0).all()


def test_samples_are_written_as_one_grid(tmp_path):
    decoder = PictureDecoder(ImagesOptions())
    decoder.write(RunLog(None), "generated", torch.zeros(4, 1, 8, 8), 3, tmp_path / "samples" / "epoch_0001")
    with Image.open(tmp_path / "samples" / "epoch_0001_0.png") as image:
        assert image.mode == "RGB" and image.size == (2 * 64 + 2, 2 * 64 + 2)


def test_the_angle_is_a_loss_on_colours():
    losses = PictureDecoder(ImagesOptions(loss_weight_angle=2.0)).losses(RegressionOptions(), None)
    red, green = (torch.full((1, 3, 4, 4), -1.0) for _ in range(2))
    red[:, 0], green[:, 1] = 1.0, 1.0
    weighted, metrics = losses(red, red, green)
    assert weighted.item() == pytest.approx(np.pi, abs=1e-3)
    assert metrics["loss/angle"].item() == pytest.approx(np.pi / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (DCGAN | {"upscale": 2}, "--generator dcgan does not make what --kind images needs"),
        (ENLARGING | {"upscale": 1}, "starts from a smaller image, which --kind images does not make with these"),
        (ENLARGING | {"upscale": 6}, "upscale 6 is not possible"),
        (ENLARGING | {"pure_gan_mode": 0.1}, "without noise"),
        (DCGAN | {"pure_gan_mode": 0.1}, "starts from noise alone, so pure_gan_mode would have no effect"),
        (DCGAN | {"use_creative_agent": True}, "the agents"),
        (DCGAN | {"generator": "patch"}, "--generator patch does not make what --kind images needs"),
        ({"generator": "super_resolution", "upscale": 2}, "does not make what --kind audio needs"),
        (DCGAN | {"loss_weight_angle": 1.0, "encoding_dim": 1}, "compares colours"),
    ],
)
def test_options_that_do_not_fit(options, complaint):
    with pytest.raises(UserError, match=complaint):
        make_config(options)
