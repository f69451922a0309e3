"""The baseline generator: a cascade of transformers over codec latents; a stage sees the outputs of earlier stages.

Legend: B batch, D latent channels, T frames (75 per second), E stage width = D * number of the stage's sources.
"""

import torch
from torch import Tensor, nn

from models.blocks import SpectralLinear, TransformerBlock, rescale_rms, rms, sinusoidal_positions
from models.options import CascadeOptions


class CascadeStage(nn.Module):
    """Positions -> norm -> blocks -> norm -> spectrally normalised linear, plus the mean of the sources, RMS-bounded.

    forward(seen, clean): two lists of [B, D, T], the inputs of attention, and those of the residual and the RMS.
    """

    def __init__(self, channels: int, sources: int, nhead: int, num_layers: int, dropout: float):
        super().__init__()
        width = channels * sources
        self.norm_in = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(TransformerBlock(width, nhead, dropout) for _ in range(num_layers))
        self.norm_out = nn.LayerNorm(width)
        self.output = SpectralLinear(width, channels)

    def forward(self, seen: list[Tensor], clean: list[Tensor]) -> Tensor:
        x_BTE = torch.cat(seen, dim=1).transpose(1, 2)
        x_BTE = self.norm_in(x_BTE + sinusoidal_positions(x_BTE.shape[1], x_BTE.shape[2], x_BTE.device))
        for block in self.blocks:
            x_BTE = block(x_BTE)
        made_BDT = self.output(self.norm_out(x_BTE)).transpose(1, 2)
        made_BDT = made_BDT + sum(clean) / len(clean)
        return rescale_rms(made_BDT, rms(torch.cat(clean, dim=1)))


class CascadeGenerator(nn.Module):
    """Stage s works on [input, outputs of the stages before it, target], so it is channels * (2 + s) wide.

    channels      D, of the latents.
    nhead         heads; must divide the width of every stage.
    num_layers    transformer blocks per stage, from 1.
    num_stages    stages, from 1. Two stages of six blocks have 15.5 M parameters.
    dropout       in attention and feed-forward, [0, 1).
    anti_cheating a >= 0: in training, the inputs of attention get noise of a times each source's std per sample.
                  Residual and RMS stay clean, or the noise would reach the output and its losses.
    Raises ValueError for sizes that do not fit together.
    """

    def __init__(
        self,
        channels: int = 128,
        nhead: int = 8,
        num_layers: int = 4,
        num_stages: int = 2,
        dropout: float = 0.1,
        anti_cheating: float = 0.0,
    ):
        super().__init__()
        if num_stages < 1 or num_layers < 1:
            raise ValueError(f"a cascade needs stages and layers, not {num_stages} of {num_layers}")
        if anti_cheating < 0:
            raise ValueError(f"anti_cheating must not be negative, but is {anti_cheating}")
        self.anti_cheating = anti_cheating
        self.stages = nn.ModuleList(
            CascadeStage(channels, 2 + stage, nhead, num_layers, dropout) for stage in range(num_stages)
        )

    @classmethod
    def from_options(cls, options: CascadeOptions, channels: int) -> "CascadeGenerator":
        """As `--generator cascade` describes it, for latents of that many channels."""
        return cls(
            channels,
            options.nhead,
            options.num_layers,
            options.num_transformer_layers,
            options.dropout,
            options.anti_cheating,
        )

    def forward_stages(self, input_BDT: Tensor, target_BDT: Tensor) -> list[Tensor]:
        """The outputs [B, D, T] of all stages, the last one being the generator's."""
        outputs: list[Tensor] = []
        for stage in self.stages:
            clean = [input_BDT, *outputs, target_BDT]
            outputs.append(stage([self._disturb(x_BDT) for x_BDT in clean], clean))
        return outputs

    def forward(self, input_BDT: Tensor, target_BDT: Tensor) -> Tensor:
        """(noisy) input and (noisy) target [B, D, T] -> [B, D, T], for any T from 1."""
        return self.forward_stages(input_BDT, target_BDT)[-1]

    def _disturb(self, x_BDT: Tensor) -> Tensor:
        if not self.training or self.anti_cheating == 0.0:
            return x_BDT
        std_B11 = x_BDT.detach().std(dim=(1, 2), keepdim=True, correction=0)
        return x_BDT + self.anti_cheating * std_B11 * torch.randn_like(x_BDT)
