"""Datasets for fault tests, and tiny versions of the recipes of images."""

from pathlib import Path
from unittest import mock

from fault_runs import ROOT, TINY

RECIPES = {
    "dcgan": {"gen_width": 4, "noise_size": 8, "encoding_dim": 3, "classifier_width": 4, "disc_dropout": 0.1},
    "super_resolution": {"blocks": 1, "block_width": 4, "g_pretrain_steps": 10, "adv_ramp_steps": 10},
}
SMALL = {"disc_width": 4, "batch_size": 2, "epochs": 4, "val_every": 2, "save_every": 2, "save_every_steps": 3,
         "save_every_minutes": 0, "log_every": 1, "sample_every": 0, "num_threads": 1}  # fmt: skip


def options_of(recipe: str) -> dict:
    """The recipe, made tiny."""
    return dict.fromkeys(TINY) | {"config": ROOT / "recipes" / f"{recipe}.yaml"} | SMALL | RECIPES[recipe]


def make_pairs(folder: Path) -> Path:
    """20 training and 4 validation pairs of clips of a second, the latents of each clip in a shard of its own."""
    import kinds.audio.encode
    from kinds.audio.preparing.prepare import Options, prepare

    with mock.patch.object(kinds.audio.encode, "SHARD_BYTES", 20_000):
        prepare(Options(demo="songs", demo_songs=6, duration=1.0, workers=1, output_dir=folder))
    return folder


def make_sprites(folder: Path) -> Path:
    """20 training and 4 validation images."""
    import prepare_dataset

    options = ["--kind", "images", "--demo", "sprites", "--count", "24", "--size", "16", "--val_fraction", "0.17"]
    assert prepare_dataset.main([*options, "--output_dir", str(folder)]) == 0
    return folder
