"""What a discriminator is given: samples, with noise on them where the objective or a schedule says so.

Legend: B samples, D channels, T positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from runtime.seeding import Purpose, mix_seed, normal, uniform
from synthesis.sources import Sources
from synthesis.vectors import VectorSources


@dataclass(frozen=True)
class Shown:
    """Makes the discriminator's input out of reals and of generated samples.

    Attributes:
        sources: make noise as they do for the generator.
        seed: of the run.
        renoise: largest noise level of `Objective.renoise`; 0: none.
        pairs: the discriminator takes two versions of a sample, [B, 2 D, T] (`models.discriminators.takes_pairs`).
    """

    sources: Sources | VectorSources
    seed: int
    renoise: float = 0.0
    pairs: bool = False

    def level(self, alpha: float | Tensor, indices: Sequence[int], device: torch.device) -> float | Tensor:
        """The noise level that a discriminator's conditions name: drawn for each sample, [B], or that of the
        generator's sources where nothing is noised anew."""
        if self.renoise == 0:
            return alpha
        return self.renoise * uniform(self.seed, Purpose.RENOISE, indices, (), device)

    def __call__(self, x_BDT: Tensor, indices: Sequence[int], purpose: Purpose, instance_noise: float = 0.0) -> Tensor:
        """A real or a generated sample gets the same level and the same noise, so that only what is under it differs;
        instance noise is different for both (`purpose`), of one level for all samples."""
        if instance_noise > 0:
            x_BDT = x_BDT + instance_noise * normal(self.seed, purpose, indices, x_BDT.shape[1:], x_BDT.device)
        if self.renoise == 0:
            return torch.cat([x_BDT, x_BDT], dim=1) if self.pairs else x_BDT
        level = self.level(0.0, indices, x_BDT.device)
        both = self.sources.mixed(x_BDT, x_BDT, level, indices, mix_seed(self.seed, Purpose.RENOISE))
        return torch.cat(both, dim=1) if self.pairs else both[0]
