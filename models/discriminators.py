"""Discriminators: one logit per clip of latents, higher for real.

All take forward(x_BDT, copies=1, return_features=False) -> logits_B, or (logits_B, features) with the activations of
every convolution (before dropout) for feature matching. `copies`: the batch consists of that many stacked, slightly
perturbed copies of the same B / copies samples, which share dropout masks. Any T from 1 works: convolutions pad with
zeros. No layer mixes samples of a batch, and all are twice differentiable, as exact gradient penalties need.

Options of all: channels (D), width, dropout in [0, 1), spectral_norm (weights of norm 1), final_bias (False if the
objective depends on differences of logits alone, which would let a bias drift), conditions (widths by name of those
that it takes, by projection).

Legend: B batch, D latent channels, T frames, C convolution channels, R rows (remaining frequencies).
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from models.blocks import StridedConv1d, tiled_dropout
from models.conditions import ConditionProjection, Conditions, conditions_for, takes_conditions
from models.options import DiscriminatorOptions

SLOPE = 0.2  # of LeakyReLU


def _maybe_spectral(layer: nn.Module, spectral_norm: bool) -> nn.Module:
    return parametrizations.spectral_norm(layer) if spectral_norm else layer


class ConvStack(nn.Module):
    """Convolutions, each followed by LeakyReLU 0.2 and tiled dropout; also returns the activations before dropout."""

    def __init__(self, layers: list[nn.Module], dropout: float):
        super().__init__()
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout must lie in [0, 1), but is {dropout}")
        self.layers = nn.ModuleList(layers)
        self.dropout = dropout

    def forward(self, x: Tensor, copies: int = 1) -> tuple[Tensor, list[Tensor]]:
        features = []
        for layer in self.layers:
            features.append(F.leaky_relu(layer(x), SLOPE, inplace=True))
            x = tiled_dropout(features[-1], self.dropout, self.training, copies)
        return x, features


class Discriminator(nn.Module):
    """Base class: how a discriminator is built from options, and how it takes conditions."""

    @classmethod
    def from_options(
        cls,
        options: DiscriminatorOptions,
        channels: int,
        final_bias: bool = True,
        conditions: Mapping[str, int] | None = None,
    ) -> "Discriminator":
        """As the options describe it, for latents of that many channels."""
        width = {} if options.disc_width is None else {"width": options.disc_width}
        return cls(channels, dropout=options.disc_dropout, spectral_norm=options.disc_spectral_norm,
                   final_bias=final_bias, conditions=conditions, **width)  # fmt: skip

    def take(self, conditions: Mapping[str, int] | None, features: int) -> None:
        """Prepares for conditions of these widths, if there are any, and features of that many channels."""
        self.takes_conditions = bool(conditions)
        self.projection = ConditionProjection(conditions, features) if conditions else None

    def projected(self, features_BC: Tensor, conditions: Conditions | None) -> Tensor | float:
        """What the conditions add to the logits."""
        return 0.0 if self.projection is None else self.projection(features_BC, conditions)


class ConvDiscriminator(Discriminator):
    """The baseline: Conv1d D -> w -> 2w -> 2w -> w, kernels 3/5/7/9, strides 2/2/2/1, mean over time, -> w/2 -> 1.

    With D = 128 and w = 256 it has 3.8 M parameters.
    """

    def __init__(
        self,
        channels: int = 128,
        width: int = 256,
        dropout: float = 0.3,
        spectral_norm: bool = False,
        final_bias: bool = True,
        conditions: Mapping[str, int] | None = None,
    ):
        super().__init__()
        sizes = [channels, width, 2 * width, 2 * width, width]
        self.stack = ConvStack(
            [
                _maybe_spectral(StridedConv1d(c_in, c_out, kernel, stride, kernel // 2), spectral_norm)
                for c_in, c_out, kernel, stride in zip(sizes, sizes[1:], (3, 5, 7, 9), (2, 2, 2, 1), strict=False)
            ],
            dropout,
        )
        self.hidden = _maybe_spectral(nn.Linear(width, width // 2), spectral_norm)
        self.final = _maybe_spectral(nn.Linear(width // 2, 1, bias=final_bias), spectral_norm)
        self.take(conditions, width // 2)

    def forward(
        self, x_BDT: Tensor, copies: int = 1, return_features: bool = False, conditions: Conditions | None = None
    ):
        x_BCT, features = self.stack(x_BDT, copies)
        hidden_BC = F.leaky_relu(self.hidden(x_BCT.mean(dim=2)), SLOPE)
        logits_B = self.final(hidden_BC).squeeze(1) + self.projected(hidden_BC, conditions)
        return (logits_B, features) if return_features else logits_B


class SpectrogramDiscriminator(Discriminator):
    """2-D convolutions over the latents as an image [1, D, T], for latents with related neighbour channels (log-mel).

    Conv2d 1 -> w (5x5) -> 2w -> 4w -> 4w (3x3), strides 2; then one kernel over all remaining rows (the meaning of a
    harmonic depends on its pitch) and three columns -> 4w, and a 1x1 convolution to a logit per remaining column.
    """

    def __init__(
        self,
        channels: int = 128,
        width: int = 16,
        dropout: float = 0.0,
        spectral_norm: bool = False,
        final_bias: bool = True,
        conditions: Mapping[str, int] | None = None,
    ):
        super().__init__()
        sizes = [1, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = [
            nn.Conv2d(c_in, c_out, kernel, 2, kernel // 2)
            for c_in, c_out, kernel in zip(sizes, sizes[1:], (5, 3, 3, 3), strict=False)
        ]
        rows = math.ceil(channels / 16)
        layers.append(nn.Conv2d(4 * width, 4 * width, (rows, 3), padding=(0, 1)))
        self.stack = ConvStack([_maybe_spectral(layer, spectral_norm) for layer in layers], dropout)
        self.final = _maybe_spectral(nn.Conv2d(4 * width, 1, 1, bias=final_bias), spectral_norm)
        self.take(conditions, 4 * width)
        self.to(memory_format=torch.channels_last)  # half the time on CPUs

    def forward(
        self, x_BDT: Tensor, copies: int = 1, return_features: bool = False, conditions: Conditions | None = None
    ):
        x_BCRT, features = self.stack(x_BDT.unsqueeze(1), copies)
        logits_B = self.final(x_BCRT).mean(dim=(1, 2, 3))
        if self.takes_conditions:
            logits_B = logits_B + self.projected(x_BCRT.mean(dim=(2, 3)), conditions)
        return (logits_B, features) if return_features else logits_B


class EnsembleDiscriminator(nn.Module):
    """Several discriminators side by side; logits are averaged, features joined."""

    def __init__(self, members: dict[str, nn.Module]):
        super().__init__()
        self.members = nn.ModuleDict(members)
        self.takes_conditions = any(takes_conditions(member) for member in members.values())
        self.takes_pairs = any(takes_pairs(member) for member in members.values())

    def forward(self, x_BDT: Tensor, copies: int = 1, return_features: bool = False, conditions=None):
        answers = [
            member(self._input_of(member, x_BDT), copies, return_features=True, **conditions_for(member, conditions))
            for member in self.members.values()
        ]
        logits_B = sum(logits for logits, _ in answers) / len(answers)
        features = [feature for _, member_features in answers for feature in member_features]
        return (logits_B, features) if return_features else logits_B

    def _input_of(self, member: nn.Module, x_BDT: Tensor) -> Tensor:
        """The first of two versions of the samples, for a member that takes one."""
        return x_BDT.chunk(2, dim=1)[0] if self.takes_pairs and not takes_pairs(member) else x_BDT


def takes_pairs(network: nn.Module) -> bool:
    """Whether the discriminator takes two noisy versions of each sample, joined along channels."""
    return bool(getattr(network, "takes_pairs", False))
