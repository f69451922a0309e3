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
from synthesis.vectors import overlap_of
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
    if loaded.sources.only_noise:
        made_BDT = _from_vectors(loaded, input_BDT)
    else:
        made_BDT = _from_sources(loaded, input_BDT, target_BDT, alpha, channels)
    if not made_BDT.isfinite().all():
        raise UserError(f"the generator of {loaded.trained_to} gives NaN or infinite values: give another checkpoint")
    return loaded.space.denormalise(made_BDT)


def _from_vectors(loaded: LoadedGenerator, noise: Tensor) -> Tensor:
    """Normalised samples of noise vectors [B, Z], or of [B, Z, W], longer ones of W windows that are joined."""

    def make(noise_BZ: Tensor) -> Tensor:
        more = conditions_for(loaded.network, loaded.conditioning(1.0, {}, noise_BZ))
        return loaded.network(noise_BZ, noise_BZ, **more).output_BDT.float()

    if noise.ndim == 2:
        return make(noise)
    windows, window = iter(noise.unbind(-1)), loaded.space.shape[-1]
    overlap = overlap_of(window)
    length = window + (noise.shape[-1] - 1) * (window - overlap)
    return join_windows(lambda start, stop: make(next(windows)), length, window, overlap, fade=overlap)


def _from_sources(
    loaded: LoadedGenerator,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float,
    channels: tuple[int, int] | None,
) -> Tensor:
    """Normalised samples of two sources."""
    return sample(
        partial(_one_step, loaded),
        input_BDT,
        target_BDT,
        alpha,
        loaded.config.sampling.passes,
        channels,
        within=loaded.space.within,
    )


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
