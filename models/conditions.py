"""Conditions: what a network may be told of each sample beside the sample itself, such as its noise level or a label.

A network that takes them says so by an attribute `takes_conditions = True` and then gets `conditions`, a tensor [B] or
[B, K] by name, as a keyword of its forward; the others are called as if there were none.
"""

import torch
from torch import Tensor, nn

Conditions = dict[str, Tensor]


def takes_conditions(network: nn.Module) -> bool:
    """Whether the network wants to be told."""
    return bool(getattr(network, "takes_conditions", False))


def conditions_for(network: nn.Module, conditions: Conditions | None) -> dict[str, Conditions | None]:
    """Keywords with which to call the network."""
    return {"conditions": conditions} if takes_conditions(network) else {}


def repeated(conditions: Conditions | None, times: int) -> Conditions | None:
    """Conditions of a batch that consists of `times` copies of the same samples, one after the other."""
    if not conditions:
        return conditions
    return {name: torch.cat([value] * times) for name, value in conditions.items()}
