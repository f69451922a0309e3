"""Networks that take conditions, and a condition made of a label, for tests: chosen by name while the context lasts."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch
from torch import Tensor, nn

from kinds.options import CONDITIONS
from models.discriminators import ConvDiscriminator
from models.options import DISCRIMINATORS, GENERATORS, DiscriminatorOptions, TransformerOptions
from registry import Options, Part

# Options under which both networks take both conditions.
CONDITIONED = {"generator": "conditioned", "discriminator": "conditioned", "conditions": "alpha+number"}


def rows(conditions: dict[str, Tensor]) -> Tensor:
    """[B, 2], zero for what is missing."""
    return torch.stack([conditions[name] if name in conditions else torch.zeros(()) for name in ("alpha", "number")], 1)


class ConditionedGenerator(nn.Module):
    """A convolution over both sources, moved by the conditions."""

    takes_conditions = True

    def __init__(self, options: Options, channels: int) -> None:
        super().__init__()
        self.mix, self.shift = nn.Conv1d(2 * channels, channels, 1), nn.Linear(2, channels)

    def forward(self, input_BDT: Tensor, target_BDT: Tensor, conditions: dict[str, Tensor]) -> Tensor:
        made_BDT = self.mix(torch.cat([input_BDT, target_BDT], dim=1))
        return made_BDT + self.shift(rows(conditions))[:, :, None] if conditions else made_BDT


class ConditionedDiscriminator(nn.Module):
    """A convolution whose logit is scaled and moved by the conditions."""

    takes_conditions = True

    def __init__(self, options: Options, channels: int, final_bias: bool = True) -> None:
        super().__init__()
        self.conv, self.final = nn.Conv1d(channels, 4, 3, padding=1), nn.Linear(4, 1, bias=final_bias)
        self.shift = nn.Linear(2, 4)

    def forward(
        self,
        x_BDT: Tensor,
        copies: int = 1,
        return_features: bool = False,
        conditions: dict[str, Tensor] | None = None,
    ):
        feature_BCT = self.conv(x_BDT)
        hidden_BC = feature_BCT.tanh().mean(2)
        if conditions:
            hidden_BC = hidden_BC * (1 + self.shift(rows(conditions)))
        logits_B = self.final(hidden_BC).squeeze(1)
        return (logits_B, [feature_BCT]) if return_features else logits_B


def number(options: Options, alpha_B: Tensor, labels: dict[str, Tensor]) -> Tensor:
    """The label of `fake_latents.FakePairs`."""
    return labels["number"]


@contextmanager
def conditioned_parts() -> Iterator[None]:
    parts = [
        (GENERATORS, Part("conditioned", ConditionedGenerator, TransformerOptions)),
        (DISCRIMINATORS, Part("conditioned", ConditionedDiscriminator, DiscriminatorOptions)),
        (DISCRIMINATORS, Part("plain", ConvDiscriminator.from_options, DiscriminatorOptions)),
        (CONDITIONS, Part("number", number)),
    ]
    with ExitStack() as stack:
        for registry, part in parts:
            stack.enter_context(mock.patch.dict(registry._parts, {part.name: part}))
        yield
