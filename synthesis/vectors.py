"""The source of generators that start from noise alone: a vector of noise for each sample.

Legend: B samples, Z numbers of a vector, W windows of a long sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from errors import UserError
from runtime.seeding import Purpose, mix_seed, normal
from synthesis.draws import Draw, Origin, blend, slerp
from synthesis.space import Space
from synthesis.windows import window_starts

OVERLAP_SHARE = 4  # windows of a long sample overlap by a quarter


@dataclass(frozen=True)
class VectorSources:
    """In place of `synthesis.sources.Sources`: both sources are the same vectors, whatever the samples are.

    Args:
        size: Z.
    """

    size: int
    only_noise = True
    channels = None

    def mixed(
        self, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor, indices: Sequence[int], seed: int
    ) -> tuple[Tensor, Tensor]:
        """Vectors [B, Z] of variance 1; row b depends on (seed, indices[b]) alone."""
        noise_BZ = normal(seed, Purpose.INPUT_NOISE, indices, (self.size,), input_BDT.device)
        return noise_BZ, noise_BZ

    def from_noise(
        self, space: Space, draws: Sequence[Draw], shape: Sequence[int], device, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Vectors as in training, [B, Z]; for a shape longer than a training sample [B, Z, W], one for each of its
        windows. The first window's are those of a short sample; row b depends on draw b alone."""
        windows = windows_of(space, shape[-1])

        def of(origin: Origin, window: int) -> Tensor:
            seed = mix_seed(origin.seed, Purpose.WINDOW, window) if window else origin.seed
            return normal(seed, Purpose.INPUT_NOISE, [origin.index], (self.size,), device)

        rows = [
            torch.stack([blend(draw, lambda o, w=w: of(o, w), slerp) for w in range(windows)], dim=-1) for draw in draws
        ]
        noise_BZW = temperature * torch.cat(rows)
        noise = noise_BZW if windows > 1 else noise_BZW[..., 0]
        return noise, noise

    def from_music(self, *_) -> tuple[Tensor, Tensor]:
        """Raises UserError: there is nothing that a recording could be mixed into."""
        raise UserError("this generator starts from noise alone and cannot change a recording: leave --input_audio out")


def windows_of(space: Space, length: int) -> int:
    """How many windows of training length cover `length` positions."""
    window = space.shape[-1]
    return len(window_starts(length, window, overlap_of(window))) if length > window else 1


def overlap_of(window: int) -> int:
    """Positions by which neighbouring windows overlap."""
    return max(1, window // OVERLAP_SHARE)
