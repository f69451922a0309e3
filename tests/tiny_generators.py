"""Tiny generators, untrained: what they make is no music, but depends on noise, context and position."""

import torch

from config import make_config
from models.networks import build_generator
from runtime.seeding import Purpose, mix_seed
from synthesis.loading import LoadedGenerator
from synthesis.space import Space

FRAMES, RATE = 48, 75  # of a training clip; a second

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
    config = make_config(OPTIONS[kind] | {"dropout": 0.0, "mask_type": "none"} | more)
    model, seed = config.model, mix_seed(config.training.seed, Purpose.WEIGHTS, 0)
    network = build_generator(config.chosen("generator"), model.agent, model.encoding_dim, seed)
    network = network.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for name, weight in network.named_parameters():  # branches that start at zero would hide context and position
        if weight.ndim == 2 and not weight.any() and "gate" not in name:
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return LoadedGenerator(config, network, tiny_space(codec.identity, generator), "a test")


def tiny_space(identity: str, generator: torch.Generator) -> Space:
    """128 channels about -4, each clip of a level of its own."""
    scales_K2 = 1 + 0.1 * torch.rand(7, 2, generator=generator)
    about = {"codec": "mel", "sample_rate": 24_000}
    mean_D, std_D = torch.full((128,), -4.0), torch.full((128,), 2.0)
    return Space("audio", identity, (128, FRAMES), RATE, mean_D, std_D, scales_K2, about=about)
