"""A discriminator made of the generator's own network: a denoiser that has learned what music under noise is.

Legend: B batch, D latent channels, T frames, L tokens, E token width, C channels of the head.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import Attention
from models.conditions import Conditions, conditions_for, takes_conditions
from models.options import DenoiserOptions

KERNEL = 5  # tokens, of the head's convolutions


class DenoiserDiscriminator(nn.Module):
    """The first blocks of a copy of the generator, and a convolutional head on what they compute.

    After adversarial post-training (ARC: Novack et al. 2025, "Fast Text-to-Audio Generation with Adversarial
    Post-Training", arXiv 2505.08175): real and generated samples are noised like the generator's sources, and
    `start_from` takes over the generator's weights when the discriminator joins.

    generator: gives the sizes; its `features(input_BDT, target_BDT, conditions) -> [x_BLE, ...]` is what is used.
    share: of the generator's blocks that are kept, from the first.
    width: C. final_bias: False if the objective depends on differences of logits alone.
    """

    takes_pairs = True  # two noisy versions of a sample, joined along channels: [B, 2 D, T]

    def __init__(self, generator: nn.Module, share: float = 0.75, width: int = 64, final_bias: bool = True):
        super().__init__()
        self.backbone = copy.deepcopy(generator)
        self.backbone.keep_features(share)
        for module in self.backbone.modules():  # without dropout: copies of a batch must see the same network
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            elif isinstance(module, Attention):
                module.dropout = 0.0
        self.takes_conditions = takes_conditions(generator)
        depth, token_width = self.backbone.feature_sizes
        self.norms = nn.ModuleList(nn.LayerNorm(token_width) for _ in range(depth))
        self.mix = nn.Conv1d(depth * token_width, width, KERNEL, padding=KERNEL // 2)
        self.hidden = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2)
        self.final = nn.Conv1d(width, 1, 1, bias=final_bias)

    @classmethod
    def from_options(
        cls,
        options: DenoiserOptions,
        channels: int,
        final_bias: bool = True,
        conditions: Mapping[str, int] | None = None,
        *,
        generator: nn.Module,
    ) -> "DenoiserDiscriminator":
        """As the options describe it; channels and conditions are those of the generator."""
        return cls(generator, options.backbone_share, options.head_width, final_bias)

    @torch.no_grad()
    def start_from(self, generator: nn.Module) -> None:
        """Takes over the weights of a generator of the same sizes."""
        theirs = generator.state_dict()
        for name, own in self.backbone.state_dict().items():
            own.copy_(theirs[name])

    def forward(
        self, x_BDT: Tensor, copies: int = 1, return_features: bool = False, conditions: Conditions | None = None
    ):
        """[B, 2 D, T] -> logits_B, and if asked for the features [B, E, L] of every block and [B, C, L] of the head."""
        sources = x_BDT.chunk(2, dim=1)
        tokens = self.backbone.features(*sources, **conditions_for(self.backbone, conditions))
        features = [norm(x_BLE).transpose(1, 2) for norm, x_BLE in zip(self.norms, tokens, strict=True)]
        x_BCL = F.silu(self.hidden(F.silu(self.mix(torch.cat(features, dim=1)))))
        logits_B = self.final(x_BCL).mean(dim=(1, 2))
        return (logits_B, [*features, x_BCL]) if return_features else logits_B
