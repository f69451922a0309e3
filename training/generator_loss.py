"""The generator's total loss on held-out samples, as training computes it, for the learning-rate schedule `plateau`.

Legend: B samples, D channels, T positions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.conditions import conditions_for
from training.step_plan import StepPlan
from training.trainer import Trainer, View


@dataclass(frozen=True)
class GeneratorLoss:
    """Regression and adversarial loss with their weights and fades, and the losses of learned masks; without losses on
    decoded data. Of one pass of the averaged generator, with the discriminator as it is, without dropout.

    plan: of training at samples [B] of these noise levels, `Schedules.held_out_plan`.
    """

    trainer: Trainer
    averaged: nn.Module
    plan: Callable[[Tensor], StepPlan]

    @torch.no_grad()
    def __call__(
        self,
        starts: tuple[Tensor, Tensor],
        clean: tuple[Tensor, Tensor],
        alpha: float | Tensor,
        chosen: list[int],
        labels: dict[str, Tensor],
        seed: int,
    ) -> Tensor:
        """The mean loss over a batch; a sample's real for the discriminator is another one's target."""
        trainer, (input_BDT, target_BDT) = self.trainer, clean
        real_BDT = target_BDT if trainer.own_reals else target_BDT.roll(1, 0)
        real_labels = labels if trainer.own_reals else {name: value.roll(1, 0) for name, value in labels.items()}
        alpha_B = torch.as_tensor(alpha, dtype=torch.float32, device=input_BDT.device).expand(len(input_BDT))
        conditions = trainer.conditioning(alpha_B, labels, input_BDT)
        view = View(
            *trainer.sources.mixed(*starts, alpha, chosen, seed),
            input_BDT,
            target_BDT,
            real_BDT,
            chosen,
            conditions,
            trainer.conditioning(alpha_B, real_labels, input_BDT),
        )
        more = conditions_for(self.averaged, conditions)
        with trainer.autocast():
            made = self.averaged(view.source_input_BDT, view.source_target_BDT, **more).float32()
        was_training = trainer.discriminator.training
        trainer.discriminator.eval()
        try:
            loss, _ = trainer.generator_loss(view, made, self.plan(alpha_B))
        finally:
            trainer.discriminator.train(was_training)
        return loss
