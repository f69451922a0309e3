"""Samples of a loaded generator, of any length.

Legend: B samples, D channels, T positions of the last axis (audio: frames).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from errors import UserError
from models.conditions import Conditions, conditions_for
from synthesis.loading import LoadedGenerator
from synthesis.sampler import sample
from synthesis.vectors import overlap_of
from synthesis.windows import join_windows


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    labels: values by name, as `synthesis.labels.parse_labels` gives them; those that are missing are left open.
    guidance: 1: as the labels say; more: further away from what the generator makes without labels (classifier-free
        guidance, Ho & Salimans 2022, equation 6, with guidance = 1 + w).
    """

    labels: Mapping[str, float] = field(default_factory=dict)
    guidance: float = 1.0


NOTHING = Wish()


@torch.no_grad()
def generate(
    loaded: LoadedGenerator,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float = 1.0,
    channels: tuple[int, int] | None = None,
    wish: Wish = NOTHING,
) -> Tensor:
    """Denormalised samples [B, D, T] from two sources of any length with noise level `alpha` (in `channels` only;
    None: as in training), with the number of sampling steps of the generator's configuration. `wish`: labels and
    guidance."""
    if loaded.sources.only_noise:
        made_BDT = _from_vectors(loaded, wish, input_BDT)
    else:
        made_BDT = _from_sources(loaded, wish, input_BDT, target_BDT, alpha, channels)
    if not made_BDT.isfinite().all():
        raise UserError(f"the generator of {loaded.trained_to} gives NaN or infinite values: give another checkpoint")
    return loaded.space.denormalise(made_BDT)


def _from_vectors(loaded: LoadedGenerator, wish: Wish, noise: Tensor) -> Tensor:
    """Normalised samples of noise vectors [B, Z], or of [B, Z, W], longer ones of W windows that are joined."""

    def make(noise_BZ: Tensor) -> Tensor:
        return _guided(loaded, wish, (noise_BZ, noise_BZ), 1.0)

    if noise.ndim == 2:
        return make(noise)
    windows, window = iter(noise.unbind(-1)), loaded.space.shape[-1]
    overlap = overlap_of(window)
    length = window + (noise.shape[-1] - 1) * (window - overlap)
    return join_windows(lambda start, stop: make(next(windows)), length, window, overlap, fade=overlap)


def _from_sources(
    loaded: LoadedGenerator,
    wish: Wish,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float,
    channels: tuple[int, int] | None,
) -> Tensor:
    """Normalised samples of two sources."""
    return sample(
        partial(_one_step, loaded, wish),
        input_BDT,
        target_BDT,
        alpha,
        loaded.config.sampling.passes,
        channels or loaded.sources.channels,
        within=loaded.space.within,
    )


def _one_step(
    loaded: LoadedGenerator, wish: Wish, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor
) -> Tensor:
    """Normalised samples [B, D, T]; sources longer than a training sample are processed in windows of its length, see
    `synthesis.windows`."""
    length, window = input_BDT.shape[-1], loaded.space.shape[-1]
    overlap = overlap_of(window)

    def make(start: int, stop: int) -> Tensor:
        return _guided(loaded, wish, (input_BDT[..., start:stop], target_BDT[..., start:stop]), alpha)

    if length <= window or window == 1:
        return make(0, length)
    step = getattr(loaded.network.generator, "patch_frames", 1)
    return join_windows(make, length, window, overlap, fade=overlap, step=step)


def _guided(loaded: LoadedGenerator, wish: Wish, sources: tuple[Tensor, Tensor], alpha: float | Tensor) -> Tensor:
    """One pass of the generator, its labels emphasised as the guidance says."""
    source = sources[0]
    labels = {name: source.new_full((len(source),), value) for name, value in wish.labels.items()}
    made_BDT = one_pass(loaded, sources, loaded.conditioning(alpha, labels, source))
    if wish.guidance == 1 or not labels:
        return made_BDT
    return torch.lerp(one_pass(loaded, sources, loaded.conditioning(alpha, {}, source)), made_BDT, wish.guidance)


def one_pass(loaded: LoadedGenerator, sources: tuple[Tensor, Tensor], conditions: Conditions) -> Tensor:
    """The network's output [B, D, T] for two sources and the conditions that its `conditioning` gives."""
    return loaded.network(*sources, **conditions_for(loaded.network, conditions)).output_BDT.float()
