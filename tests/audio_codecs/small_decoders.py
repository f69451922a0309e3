"""What the tests of decoders share: small networks whose output is not zero, and noise to encode."""

from collections.abc import Callable

import torch
from torch import nn


def with_random_output(build: Callable[[], nn.Module]) -> nn.Module:
    """A network, always the same, whose last layer is not zero as it is at the start of training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        network = build()
        nn.init.normal_(network.leave.weight, std=0.05)
    return network


def noise(seconds: float, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    envelope = torch.linspace(0.01, 0.3, int(seconds * 24000))
    return torch.randn(batch, 1, len(envelope), generator=generator) * envelope
