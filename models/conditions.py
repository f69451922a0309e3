"""Conditions: additional inputs of a network for each sample, such as its noise level or a label.

A network that takes conditions has an attribute `takes_conditions = True` and gets `conditions`, tensors [B] or [B, K]
by name, as a keyword argument of its forward; other networks are called without it. A condition that is not given
counts as unknown: zeros.

Legend: B samples, K numbers of a condition, C channels.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

Conditions = dict[str, Tensor]


def takes_conditions(network: nn.Module) -> bool:
    """Whether the network takes conditions."""
    return bool(getattr(network, "takes_conditions", False))


def conditions_for(network: nn.Module, conditions: Conditions | None) -> dict[str, Conditions | None]:
    """Keyword arguments for a call of the network."""
    return {"conditions": conditions} if takes_conditions(network) else {}


def repeated(conditions: Conditions | None, times: int) -> Conditions | None:
    """Conditions of a batch that consists of `times` copies of the same samples, one after the other."""
    if not conditions:
        return conditions
    return {name: torch.cat([value] * times) for name, value in conditions.items()}


OCTAVES = 6  # of the sines and cosines that stand for a single number


class ConditionEmbedding(nn.Module):
    """The sum of linear maps of all conditions, [B, C].

    widths: K by name. A condition of one number x, such as the noise level, is given as x and the sines and cosines of
    2^k pi x, k = 0 to 5, since a linear map of x alone could not tell neighbouring values apart (Tancik et al. 2020).
    Vectors, such as one-hot labels, are taken as they are: a row of the map is the embedding of one value.
    """

    def __init__(self, widths: Mapping[str, int], channels: int) -> None:
        super().__init__()
        self.widths = dict(widths)
        sizes = {name: 1 + 2 * OCTAVES if width == 1 else width for name, width in widths.items()}
        self.maps = nn.ModuleDict({name: nn.Linear(size, channels, bias=False) for name, size in sizes.items()})

    def forward(self, conditions: Conditions | None) -> Tensor:
        parts = []
        for name, value in (conditions or {}).items():
            if name in self.maps:
                x_BK = value.float() if value.ndim == 2 else value.float()[:, None]
                parts.append(self.maps[name](fourier_features(x_BK) if self.widths[name] == 1 else x_BK))
        if parts:
            return sum(parts)
        weight = next(iter(self.maps.values())).weight
        return weight.new_zeros(1, len(weight))


class ConditionProjection(nn.Module):
    """What conditions add to a discriminator's logit: <embedding, features> / sqrt(C), [B].

    Projection discriminator (Miyato & Koyama 2018, equation 3). It starts at zero.
    """

    def __init__(self, widths: Mapping[str, int], channels: int) -> None:
        super().__init__()
        self.embed = ConditionEmbedding(widths, channels)
        for linear in self.embed.maps.values():
            nn.init.zeros_(linear.weight)

    def forward(self, features_BC: Tensor, conditions: Conditions | None) -> Tensor:
        return (self.embed(conditions) * features_BC).sum(1) / math.sqrt(features_BC.shape[1])


def fourier_features(x_B1: Tensor) -> Tensor:
    """[B, 1] -> [B, 1 + 2 * OCTAVES]."""
    angles = x_B1 * (math.pi * 2.0 ** torch.arange(OCTAVES, device=x_B1.device))
    return torch.cat([x_B1, angles.sin(), angles.cos()], dim=1)
