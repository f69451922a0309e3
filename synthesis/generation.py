"""Samples of a loaded generator, of any length.

Legend: B samples, D channels, T positions of the last axis (audio: frames).
"""

from functools import partial

import torch
from torch import Tensor

from errors import UserError
from models.conditions import conditions_for
from synthesis.loading import LoadedGenerator
from synthesis.sampler import sample
from synthesis.windows import join_windows

OVERLAP_SHARE = 4  # the generator's windows overlap by a quarter


@torch.no_grad()
def generate(
    loaded: LoadedGenerator,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float = 1.0,
    channels: tuple[int, int] | None = None,
) -> Tensor:
    """Denormalised samples [B, D, T] from two sources of any length with noise level `alpha` (in `channels` only, if
    given), with the number of sampling steps of the generator's configuration."""
    made_BDT = sample(
        partial(_one_step, loaded),
        input_BDT,
        target_BDT,
        alpha,
        loaded.config.sampling.passes,
        channels,
        within=loaded.space.within,
    )
    if not made_BDT.isfinite().all():
        raise UserError(f"the generator of {loaded.trained_to} gives NaN or infinite values: give another checkpoint")
    return loaded.space.denormalise(made_BDT)


def _one_step(loaded: LoadedGenerator, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor) -> Tensor:
    """Normalised samples [B, D, T]; sources longer than a training sample are processed in windows of its length, see
    `synthesis.windows`."""
    length, window = input_BDT.shape[-1], loaded.space.shape[-1]
    overlap = max(1, window // OVERLAP_SHARE)
    more = conditions_for(loaded.network, loaded.conditioning(alpha, {}, input_BDT))

    def make(start: int, stop: int) -> Tensor:
        piece = slice(start, stop)
        return loaded.network(input_BDT[..., piece], target_BDT[..., piece], **more).output_BDT.float()

    if length <= window or window == 1:
        return make(0, length)
    step = getattr(loaded.network.generator, "patch_frames", 1)
    return join_windows(make, length, window, overlap, fade=overlap, step=step)
