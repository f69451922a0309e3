"""The recipes for images, small enough for a step of some milliseconds."""

from pathlib import Path

from e2e_runs import ROOT

import prepare_dataset

RECIPES = {
    "dcgan": ["--gen_width", 4, "--noise_size", 8],
    "super_resolution": ["--blocks", 1, "--block_width", 4, "--g_pretrain_steps", 3, "--adv_ramp_steps", 4],
    "sprites": ["--gen_width", 4, "--noise_size", 8],
}
TINY = ["--disc_width", 4, "--log_every", 1, "--batch_size", 4, "--num_threads", 1, "--save_every_minutes", 0]
TINY += ["--sample_every", 0, "--val_every", 1]


def options_of(recipe: str, dataset: Path) -> list:
    """Command line of a recipe on little sprites."""
    channels = ["--encoding_dim", 3]
    return ["--config", ROOT / "recipes" / f"{recipe}.yaml", *TINY, *RECIPES[recipe], *channels,
            "--dataset_folder", dataset]  # fmt: skip


def make_sprites(folder: Path, count: int = 20, size: int = 16) -> Path:
    """Circles and squares, a fifth of them held out."""
    arguments = ["--kind", "images", "--demo", "sprites", "--shapes", "circle,square", "--count", count, "--size", size]
    assert prepare_dataset.main([*map(str, arguments), "--val_fraction", "0.2", "--output_dir", str(folder)]) == 0
    return folder
