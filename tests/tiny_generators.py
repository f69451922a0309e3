"""Tiny generators, untrained: what they make is no music, but depends on noise, context and position."""

import torch

from config import RunConfig
from synthesis.loading import LoadedGenerator
from training.networks import build_guided_generator
from training.state import LatentSpace

FRAMES = 48  # of a training clip

OPTIONS = {
    "patch": {"generator": "patch", "width": 32, "nhead": 2, "num_layers": 2, "num_transformer_layers": 1},
    "patch in passes": {
        "generator": "patch",
        "width": 32,
        "nhead": 2,
        "num_layers": 2,
        "num_transformer_layers": 1,
        "unity_test": True,
        "easy_share": 1.0,
        "passes": 3,
    },
    "cascade": {"generator": "cascade", "nhead": 2, "num_layers": 1, "num_transformer_layers": 1},
}


def build(kind: str, codec, **more) -> LoadedGenerator:
    config = RunConfig(**(OPTIONS[kind] | {"dropout": 0.0, "mask_type": "none"} | more))
    network = build_guided_generator(config).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():  # branches that start at zero would hide context and position
        if weight.ndim == 2 and not weight.any() and "gate" not in name:
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    scales = 1 + 0.1 * torch.rand(7, 2, generator=generator)
    space = LatentSpace("mel", codec.identity, 24000, FRAMES, torch.full((128,), -4.0), torch.full((128,), 2.0), scales)
    return LoadedGenerator(config, network, space, "a test")
