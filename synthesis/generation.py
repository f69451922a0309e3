"""Samples of a loaded generator, of any length.

Legend: B samples, D channels, T positions of the last axis (audio: frames).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from errors import UserError
from models.conditions import Conditions, conditions_for
from runtime.seeding import Purpose, mix_seed
from synthesis.conditions import guided
from synthesis.draws import Draw
from synthesis.labels import Vocabulary, drawn_labels
from synthesis.loading import LoadedGenerator
from synthesis.sampler import sample
from synthesis.space import Space
from synthesis.vectors import overlap_of
from synthesis.windows import join_windows


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    labels: values by name, as `synthesis.labels.parse_labels` gives them.
    guidance: see `synthesis.conditions.guided`.
    drawn: whether from noise the labels that are not asked for are those of a training sample, another one for each
        sample; False: they are left open.
    """

    labels: Mapping[str, float] = field(default_factory=dict)
    guidance: float = 1.0
    drawn: bool = True


NOTHING = Wish()


@dataclass(frozen=True)
class _Asked:
    """A wish for the samples of a batch: all known labels by name, [B] each, NaN where left open; guidance 1 where none
    is given."""

    labels: dict[str, Tensor]
    guidance: float


@torch.no_grad()
def generate(
    loaded: LoadedGenerator,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float = 1.0,
    channels: tuple[int, int] | None = None,
    wish: Wish = NOTHING,
    draws: Sequence[Draw] = (),
) -> Tensor:
    """Denormalised samples [B, D, T] from two sources of any length with noise level `alpha` (in `channels` only;
    None: as in training), with the number of sampling steps of the generator's configuration. `wish`: labels and
    guidance. `draws`: of the noise, if the sources hold nothing else."""
    asked = _asked(loaded, wish, draws, input_BDT)
    if loaded.sources.only_noise:
        made_BDT = _from_vectors(loaded, asked, input_BDT)
    else:
        made_BDT = _from_sources(loaded, asked, input_BDT, target_BDT, alpha, channels)
    if not made_BDT.isfinite().all():
        raise UserError(f"the generator of {loaded.trained_to} gives NaN or infinite values: give another checkpoint")
    return loaded.space.denormalise(made_BDT)


def _asked(loaded: LoadedGenerator, wish: Wish, draws: Sequence[Draw], like_BDT: Tensor) -> _Asked:
    """The wish for the samples of a batch; sample k has the labels of `draws[k]`."""
    known = loaded.conditioning.known_labels
    rows = labels_of(loaded.space, known, draws, wish) if draws else [wish.labels] * len(like_BDT)
    return _Asked(as_tensors(rows, known, like_BDT), wish.guidance if any(rows) else 1.0)


def labels_of(
    space: Space, known: Vocabulary, draws: Sequence[Draw], wish: Wish = NOTHING
) -> list[Mapping[str, float]]:
    """The labels of samples from noise: what is asked for, and what is drawn beside it. Between two draws they are
    those of the nearer one."""
    if not (wish.drawn and known):
        return [wish.labels] * len(draws)
    origins = [draw.end if draw.end is not None and draw.share > 0.5 else draw.start for draw in draws]
    # The sample is the one that gives the noise its scale.
    numbers = [mix_seed(origin.seed, Purpose.SCALES, origin.index) for origin in origins]
    return [drawn_labels(wish.labels, space.label_rows, known, number) for number in numbers]


def as_tensors(labels: Sequence[Mapping[str, float]], known: Vocabulary, like_BDT: Tensor) -> dict[str, Tensor]:
    """Labels of each sample -> [B] for each label that is known, NaN where it is missing."""
    return {name: like_BDT.new_tensor([one.get(name, torch.nan) for one in labels]) for name in known}


def _from_vectors(loaded: LoadedGenerator, asked: _Asked, noise: Tensor) -> Tensor:
    """Normalised samples of noise vectors [B, Z], or of [B, Z, W], longer ones of W windows that are joined."""

    def make(noise_BZ: Tensor) -> Tensor:
        return _guided(loaded, asked, (noise_BZ, noise_BZ), 1.0)

    if noise.ndim == 2:
        return make(noise)
    windows, window = iter(noise.unbind(-1)), loaded.space.shape[-1]
    overlap = overlap_of(window)
    length = window + (noise.shape[-1] - 1) * (window - overlap)
    return join_windows(lambda start, stop: make(next(windows)), length, window, overlap, fade=overlap)


def _from_sources(
    loaded: LoadedGenerator,
    asked: _Asked,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float,
    channels: tuple[int, int] | None,
) -> Tensor:
    """Normalised samples of two sources."""
    return sample(
        partial(_one_step, loaded, asked),
        input_BDT,
        target_BDT,
        alpha,
        loaded.config.sampling.passes,
        channels or loaded.sources.channels,
        within=loaded.space.within,
    )


def _one_step(
    loaded: LoadedGenerator, asked: _Asked, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor
) -> Tensor:
    """Normalised samples [B, D, T]; sources longer than a training sample are processed in windows of its length, see
    `synthesis.windows`."""
    length, window = input_BDT.shape[-1], loaded.space.shape[-1]
    overlap = overlap_of(window)

    def make(start: int, stop: int) -> Tensor:
        return _guided(loaded, asked, (input_BDT[..., start:stop], target_BDT[..., start:stop]), alpha)

    if length <= window or window == 1:
        return make(0, length)
    step = getattr(loaded.network.generator, "patch_frames", 1)
    return join_windows(make, length, window, overlap, fade=overlap, step=step)


def _guided(loaded: LoadedGenerator, asked: _Asked, sources: tuple[Tensor, Tensor], alpha: float | Tensor) -> Tensor:
    """One pass of the generator, its labels emphasised as the guidance says."""
    source = sources[0]

    def make(labels: Mapping[str, Tensor]) -> Tensor:
        return one_pass(loaded, sources, loaded.conditioning(alpha, labels, source))

    return guided(make, asked.labels, asked.guidance)


def one_pass(loaded: LoadedGenerator, sources: tuple[Tensor, Tensor], conditions: Conditions) -> Tensor:
    """The network's output [B, D, T] for two sources and the conditions that its `conditioning` gives."""
    return loaded.network(*sources, **conditions_for(loaded.network, conditions)).output_BDT.float()
