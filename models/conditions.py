"""Conditions: additional inputs of a network for each sample, such as its noise level or a label.

A network that takes conditions has an attribute `takes_conditions = True` and gets `conditions`, tensors [B] or [B, K]
by name, as a keyword argument of its forward; other networks are called without it.
"""

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
