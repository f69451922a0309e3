"""What a run was trained on, for whoever reads its folder later."""

import json

import torch

from runtime import files
from training.run import Run

FRAME_RATE = 75


def write_about(run: Run) -> None:
    """`about.json`: data, networks and devices in figures. Raises OSError where it cannot be written."""
    device = run.ranks.device
    about = {
        "dataset": run.config.train_dir or run.config.dataset_folder,
        "train_pairs": len(run.stream),
        "val_pairs": len(run.held_out),
        "seconds": run.stream.frames / FRAME_RATE,
        "codec": run.space.codec_identity,
        "generator_parameters": sum(p.numel() for p in run.game.generator.parameters()),
        "discriminator_parameters": sum(p.numel() for p in run.game.discriminator.parameters()),
        "world": run.ranks.world,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "global_batch": run.scheduler.global_batch,
        "torch": torch.__version__,
    }
    files.write_bytes(run.folder / "about.json", json.dumps(about, indent=1).encode())
