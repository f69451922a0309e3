"""Distillation (`--distil_passes`): the regression's target is what an earlier generator makes of the same noise in
several sampling steps, so that one step learns to do as much (Luhman & Luhman 2021, arXiv 2101.02388; here at every
noise level of the curriculum). What guidance by labels adds can be learned with it (Meng et al. 2023, arXiv
2210.03142): then generation needs no second pass without labels.

Legend: B samples, D channels, T positions; samples are normalised.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from config import RunConfig
from errors import UserError
from losses.options import learned_guidance
from models.conditions import conditions_for
from synthesis.conditions import Conditioning, guided
from synthesis.sampler import sample


def distil_passes(config: RunConfig) -> int:
    """Sampling steps of the teacher; 0: the run has none."""
    return getattr(config.chosen("loss_reconstruction").options, "distil_passes", 0)


def check_teacher(config: RunConfig, theirs: RunConfig | None, name: str | None) -> None:
    """Whether a new run can imitate the generator `name` (`--init_from`), which was trained with the options `theirs`.

    Raises:
        UserError: there is none, or it was not trained for so many sampling steps or so much noise.
    """
    steps, ceiling = distil_passes(config), config.curriculum.gan_noise_ceiling
    if steps == 0:
        return
    if theirs is None:
        raise UserError("--distil_passes needs --init_from: the generator that is imitated")
    try:
        theirs.replace(passes=steps)
    except UserError as error:
        raise UserError(f"--distil_passes {steps} is not possible with the generator in {name}: {error}") from None
    known = theirs.curriculum.gan_noise_ceiling
    if ceiling > known:
        raise UserError(
            f"--distil_passes {steps}: the generator in {name} knows noise up to {known:g}, not {ceiling:g}; give "
            f"--gan_noise_ceiling {known:g}"
        )


def check_same_teacher(config: RunConfig, saved: Mapping[str, Any]) -> None:
    """Raises UserError if a resumed run would imitate what it did not before. `saved`: options of its past; those of an
    earlier version lack the younger ones, which were off."""
    passes, guidance = distil_passes(config), learned_guidance(config)
    for name, now, off in (("distil_passes", passes, 0), ("distil_guidance", guidance, 1)):
        before = saved.get(name, off)
        if now != before:
            raise UserError(
                f"--{name} {now:g} contradicts the checkpoint, which was trained with {before:g}: keep it and "
                "--loss_reconstruction, or start a new run without --resume"
            )


@dataclass
class Teacher:
    """The generator with which a run began; it learns no more, and is saved with the run.

    Attributes:
        network: its weights become those of `begin_with`, or of the checkpoint.
        steps: sampling steps.
        channels: those with noise; None: all.
        within: limits a sample to the range of real ones.
        autocast: that of the trained generator.
        guidance: how much labels are emphasised; other than 1, a step takes twice as long.
    """

    network: nn.Module
    steps: int
    conditioning: Conditioning
    channels: tuple[int, int] | None
    within: Callable[[Tensor], Tensor]
    autocast: Callable[[], AbstractContextManager]
    guidance: float = 1.0

    def __post_init__(self) -> None:
        self.network = copy.deepcopy(self.network).eval().requires_grad_(False)

    def begin_with(self, generator: nn.Module) -> None:
        """Takes over the weights of the generator, which are those of `--init_from`."""
        self.network.load_state_dict(generator.state_dict())

    @torch.no_grad()
    def __call__(self, sources: tuple[Tensor, Tensor], alpha: float | Tensor, labels: Mapping[str, Tensor]) -> Tensor:
        """What becomes of two sources with noise level `alpha` (a number or [B]), [B, D, T]."""
        return sample(partial(self._one_step, labels), *sources, alpha, self.steps, self.channels, self.within)

    def _one_step(
        self, labels: Mapping[str, Tensor], input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor
    ) -> Tensor:
        def make(labels: Mapping[str, Tensor]) -> Tensor:
            more = conditions_for(self.network, self.conditioning(alpha, labels, input_BDT))
            with self.autocast():
                return self.network(input_BDT, target_BDT, **more).float32().output_BDT

        return guided(make, labels, self.guidance)

    def state_dict(self) -> dict[str, Any]:
        return self.network.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state)
