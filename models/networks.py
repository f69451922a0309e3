"""The networks of a run, built from the selected parts."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.conditions import Conditions, conditions_for, takes_conditions
from models.discriminators import EnsembleDiscriminator
from models.options import AGENTS
from registry import Chosen, Options, Part


class Generated(NamedTuple):
    """The output of a generator.

    output_BDT: the sample.
    mask_input_BDT, mask_target_BDT: masks, if an agent learns them.
    view_weights_BV: weights of the six views, if an agent composes them.
    """

    output_BDT: Tensor
    mask_input_BDT: Tensor | None = None
    mask_target_BDT: Tensor | None = None
    view_weights_BV: Tensor | None = None

    def float32(self) -> "Generated":
        """The same in float32."""
        return Generated(*(None if x is None else x.float() for x in self))


class GuidedGenerator(nn.Module):
    """The generator and the agent that prepares its sources, if any, as one module, so that one EMA, one optimizer and
    one DDP wrapper cover both."""

    def __init__(self, generator: nn.Module, agent: nn.Module | None = None) -> None:
        super().__init__()
        self.generator, self.agent = generator, agent
        self.takes_conditions = takes_conditions(generator)

    def forward(self, input_BDT: Tensor, target_BDT: Tensor, conditions: Conditions | None = None) -> Generated:
        more = conditions_for(self.generator, conditions)
        if self.agent is None:
            return Generated(self.generator(input_BDT, target_BDT, **more))
        prepared = self.agent(input_BDT, target_BDT)
        output_BDT = self.generator(prepared.input, prepared.target, **more)
        return Generated(output_BDT, prepared.mask_input, prepared.mask_target, prepared.view_weights)


def build_generator(
    generator: Chosen,
    agent: str | None,
    channels: int,
    seed: int,
    shape: Sequence[int] = (),
    conditions: Mapping[str, int] | None = None,
) -> GuidedGenerator:
    """The generator side of a run for latents of `channels`, its weights drawn from the seed.

    shape: of a sample; needed by networks with the fact `needs_shape`.
    conditions: widths of the run's conditions by name; networks with the fact `conditioned` are built for them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prepares = None if agent is None else AGENTS[agent].load()(Options(), channels)
        return GuidedGenerator(_build(*generator.members[0], channels, shape=shape, conditions=conditions), prepares)


def build_discriminator(
    discriminator: Chosen,
    channels: int,
    final_bias: bool,
    seed: int,
    shape: Sequence[int] = (),
    conditions: Mapping[str, int] | None = None,
) -> nn.Module:
    """The discriminator of a run, its weights drawn from the seed: forward(x_BDT, copies=1, return_features=False) ->
    logits_B. Names joined by `+` make an ensemble.

    final_bias: whether the last layer has a bias; without it if the objective ignores a common shift of all logits.
    shape: of a sample; needed by networks with the fact `needs_shape`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = {
            part.name: _build(part, options, channels, final_bias, shape=shape, conditions=conditions)
            for part, options in discriminator.members
        }
        return EnsembleDiscriminator(built) if len(built) > 1 else next(iter(built.values()))


def _build(part: Part, options: Options, *context, shape: Sequence[int], conditions: Mapping[str, int] | None):
    more = {"shape": tuple(shape)} if part.facts.get("needs_shape") else {}
    if conditions and part.facts.get("conditioned"):
        more["conditions"] = conditions
    return part.load()(options, *context, **more)
