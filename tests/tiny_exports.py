"""Tiny, untrained generators of audio as exported folders, with labels if wanted."""

from pathlib import Path

import torch

from audio_codecs import codec_identity
from config import make_config
from models.networks import build_generator
from synthesis.conditions import Conditioning
from synthesis.loading import export_generator
from synthesis.space import Space

FRAMES = 48
TINY = {"generator": "patch", "width": 32, "nhead": 2, "num_layers": 1, "num_transformer_layers": 1, "dropout": 0.0}
STEPS = {"unity_test": True, "easy_share": 1.0, "passes": 3}
LEARNED = {"loss_reconstruction": "mse", "init_from": "elsewhere", "distil_passes": 8, "distil_guidance": 2.0}
LEARNED |= STEPS | {"pure_gan_mode": 1.0, "gan_curriculum_start_epoch": 1}
ROWS = {"genre": [0.0, 1.0, 1.0, None, 0.0, 1.0, 0.0], "tempo": [90.0, 120.0, None, 100.0, 80.0, 140.0, 95.0]}
LABELS = {"genre": {"values": ["folk", "jazz"]}, "tempo": {"mean": 110.0, "std": 20.0}}


def tiny_export(folder: Path, labels: bool = False, codec: str = "mel", codec_weights=None, **more) -> Path:
    """Weights that depend on noise, context, position and labels; 0.64 s of training clips."""
    folder.mkdir(parents=True, exist_ok=True)
    own = TINY if more.get("generator", "patch") == "patch" else {k: v for k, v in TINY.items() if k != "width"}
    config = make_config(own | ({"conditions": "alpha+labels"} if labels else {}) | more)
    random = torch.Generator().manual_seed(1)
    space = Space(
        kind="audio",
        identity=codec_identity(codec, codec_weights),
        shape=(128, FRAMES),
        rate=75,
        mean_D=-4 + 0.5 * torch.rand(128, generator=random),
        std_D=torch.full((128,), 1.5),
        noise_scales_K2=1 + 0.1 * torch.rand(7, 2, generator=random),
        lowest_D=torch.full((128,), -2.5),
        highest_D=torch.full((128,), 2.5),
        about={"codec": codec, "sample_rate": 24_000} | ({"labels": LABELS, "label_rows": ROWS} if labels else {}),
    )
    widths = Conditioning(config.choices.get("conditions"), space.about.get("labels", {})).widths
    network = build_generator(config.chosen("generator"), config.model.agent, 128, seed=1, conditions=widths)
    with torch.no_grad():
        for weight in network.parameters():  # branches that start at zero would hide what they depend on
            if weight.ndim == 2 and not weight.any():
                weight.copy_(0.05 * torch.randn(weight.shape, generator=random))
    export_generator(folder, config, network.state_dict(), space, "epoch 1, step 1")
    return folder
