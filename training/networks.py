"""Builds the networks of a run from its options."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from config import RunConfig
from models import build_discriminator, build_generator
from models.agents import CompositionalAgent, CreativeAgent
from runtime.seeding import Purpose, mix_seed


class Generated(NamedTuple):
    """What the generator made of its two sources; masks where the creative agent learned some, weights of the six
    views where the compositional agent composed."""

    output_BDT: Tensor
    mask_input_BDT: Tensor | None = None
    mask_target_BDT: Tensor | None = None
    view_weights_BV: Tensor | None = None


class GuidedGenerator(nn.Module):
    """The generator and, before it, the agent that prepares its sources: one module, so that one weight average, one
    optimizer and one data-parallel wrapper hold both."""

    def __init__(self, generator: nn.Module, agent: nn.Module | None) -> None:
        super().__init__()
        self.generator, self.agent = generator, agent

    def forward(self, input_BDT: Tensor, target_BDT: Tensor) -> Generated:
        if self.agent is None:
            return Generated(self.generator(input_BDT, target_BDT))
        prepared = self.agent(input_BDT, target_BDT)
        if isinstance(self.agent, CreativeAgent):
            output_BDT = self.generator(prepared.masked_input, prepared.masked_target)
            return Generated(output_BDT, prepared.mask_input, prepared.mask_target)
        return Generated(self.generator(prepared.composed, target_BDT), view_weights_BV=prepared.weights)


def build_guided_generator(config: RunConfig) -> GuidedGenerator:
    """The generator side of a run, initialised from the run's seed."""
    c = config
    options = {
        "channels": c.encoding_dim,
        "nhead": c.nhead,
        "num_layers": c.num_layers,
        "num_stages": c.num_transformer_layers,
        "dropout": c.dropout,
    }
    if c.generator == "cascade":
        options |= {"anti_cheating": c.anti_cheating}
    else:
        options |= {
            "width": c.width,
            "patch_frames": c.patch_frames,
            "conv_kernel": c.conv_kernel,
            "attention_window": c.attention_window,
            "residual": c.residual,
            "precondition": c.precondition,
        }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(c.seed, Purpose.WEIGHTS, 0))
        agent = None
        if c.use_creative_agent:
            agent = CreativeAgent(c.encoding_dim)
        elif c.use_compositional_agent:
            agent = CompositionalAgent(c.encoding_dim)
        return GuidedGenerator(build_generator(c.generator, **options), agent)


def wants_final_bias(gan_loss: str) -> bool:
    """Whether the objective holds the discriminator's last bias; the others do not see a common shift of all logits."""
    return gan_loss not in ("rpgan", "wgan-gp")


def build_critic(config: RunConfig) -> nn.Module:
    """The discriminator of a run, initialised from the run's seed."""
    c = config
    options = {
        "channels": c.encoding_dim,
        "dropout": c.disc_dropout,
        "spectral_norm": c.disc_spectral_norm,
        "final_bias": wants_final_bias(c.gan_loss),
    }
    if c.disc_width is not None:
        options["width"] = c.disc_width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(c.seed, Purpose.WEIGHTS, 1))
        return build_discriminator(c.discriminator, **options)
