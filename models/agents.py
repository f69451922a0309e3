"""Agents that prepare the generator's input: one learns what to mask, one composes both sources into a new input.

Legend: B batch, D latent channels, T frames, E hidden width, V views (six: three kinds from each source).
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.blocks import Attention, TransformerBlock, masked_source, match_rms, rms, sinusoidal_positions
from registry import Options


class Prepared(NamedTuple):
    """The output of an agent: the sources for the generator.

    input, target: [B, D, T].
    mask_input, mask_target: [B, D, T] in [0, 1], if the agent learns masks.
    view_weights: [B, 6], non-negative, sum one, in the order of `VIEWS`, if it composes views.
    """

    input: Tensor
    target: Tensor
    mask_input: Tensor | None = None
    mask_target: Tensor | None = None
    view_weights: Tensor | None = None


class CreativeAgent(nn.Module):
    """Learned masks for both sources: an analyser each, one shared cross-attention for both ways, a sigmoid head each.

    channels D; hidden E; nhead heads of the cross-attention (must divide E).
    """

    def __init__(self, channels: int = 128, hidden: int = 256, nhead: int = 8):
        super().__init__()
        self.analyse_input, self.analyse_target = (
            nn.Sequential(
                nn.Conv1d(channels, hidden, 3, padding=1), nn.GELU(), nn.Conv1d(hidden, hidden, 3, padding=1), nn.GELU()
            )
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(hidden)
        self.cross = Attention(hidden, nhead)
        self.head_input, self.head_target = (nn.Linear(hidden, channels) for _ in range(2))

    @classmethod
    def from_options(cls, options: Options, channels: int) -> "CreativeAgent":
        return cls(channels)

    def forward(self, input_BDT: Tensor, target_BDT: Tensor) -> Prepared:
        """(noisy) input and (noisy) target [B, D, T], any T from 1; masked sources keep their RMS per sample."""
        input_BTE = self.norm(self.analyse_input(input_BDT).transpose(1, 2))
        target_BTE = self.norm(self.analyse_target(target_BDT).transpose(1, 2))
        mask_input = self.head_input(input_BTE + self.cross(input_BTE, target_BTE)).sigmoid().transpose(1, 2)
        mask_target = self.head_target(target_BTE + self.cross(target_BTE, input_BTE)).sigmoid().transpose(1, 2)
        return Prepared(
            masked_source(input_BDT, mask_input), masked_source(target_BDT, mask_target), mask_input, mask_target
        )


VIEW_KERNELS = {"rhythm": (3, 5), "harmony": (7, 9), "timbre": (15, 21)}
VIEWS = tuple(f"{source}_{view}" for source in ("input", "target") for view in VIEW_KERNELS)


class CompositionalAgent(nn.Module):
    """Composes a new input from six views of the two sources, weighted by a softmax per sample.

    channels D; view_channels of each view; width, nhead, num_layers of the transformer that composes them.
    """

    def __init__(
        self, channels: int = 128, view_channels: int = 64, width: int = 256, nhead: int = 8, num_layers: int = 2
    ):
        super().__init__()
        self.views = nn.ModuleDict(
            {view: _view(channels, view_channels, VIEW_KERNELS[view.split("_")[1]]) for view in VIEWS}
        )
        self.score = nn.Linear(len(VIEWS) * view_channels, len(VIEWS))
        self.embed = nn.Linear(len(VIEWS) * view_channels, width)
        self.blocks = nn.ModuleList(TransformerBlock(width, nhead) for _ in range(num_layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, channels)

    @classmethod
    def from_options(cls, options: Options, channels: int) -> "CompositionalAgent":
        return cls(channels)

    def forward(self, input_BDT: Tensor, target_BDT: Tensor) -> Prepared:
        """(noisy) input and (noisy) target [B, D, T], any T from 1. The composed signal replaces the input and has its
        RMS; the noisy target is unchanged."""
        sources = {"input": input_BDT, "target": target_BDT}
        views_BVCT = torch.stack([conv(sources[view.split("_")[0]]) for view, conv in self.views.items()], dim=1)
        weights_BV = self.score(views_BVCT.mean(dim=3).flatten(1)).softmax(dim=1)
        # Times six, so that uniform weights leave the views unchanged.
        weighted_BVCT = views_BVCT * (len(VIEWS) * weights_BV)[:, :, None, None]
        x_BTE = self.embed(weighted_BVCT.flatten(1, 2).transpose(1, 2))
        x_BTE = x_BTE + sinusoidal_positions(x_BTE.shape[1], x_BTE.shape[2], x_BTE.device)
        for block in self.blocks:
            x_BTE = block(x_BTE)
        composed_BDT = self.output(self.norm(x_BTE)).transpose(1, 2)
        return Prepared(match_rms(composed_BDT, rms(input_BDT)), target_BDT, view_weights=weights_BV)


def _view(channels: int, view_channels: int, kernels: tuple[int, int]) -> nn.Sequential:
    first, second = kernels
    return nn.Sequential(
        nn.Conv1d(channels, view_channels, first, padding=first // 2),
        nn.GELU(),
        nn.Conv1d(view_channels, view_channels, second, padding=second // 2),
        nn.GELU(),
    )
