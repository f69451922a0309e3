"""The two updates of adversarial training, on clean reals and clean targets (or a teacher's samples, `distillation`).

The generator runs once per step: the discriminator is trained on its detached output, and its logits of the same output
are then used for the generator's update. Noise is added to the generator's sources here and nowhere else. Metrics are
detached scalars on the device, for this rank's samples.

Legend: B samples of this rank, D channels, T positions (audio: frames); samples are normalised latents.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from curriculum.mixing import sample_std
from data.stream import Batch
from kinds.base import DecodedLosses
from losses import features, masks, penalties
from losses.adversarial import Objective, contrastive
from losses.options import AdversarialOptions, MaskLossOptions
from models.agents import VIEWS
from models.conditions import Conditions, conditions_for, repeated, takes_conditions
from models.discriminators import takes_pairs
from models.networks import Generated, join
from runtime import devices
from runtime.distributed import Ranks
from runtime.seeding import Purpose, normal, uniform
from synthesis.conditions import Conditioning
from synthesis.sources import Sources
from synthesis.space import Space
from synthesis.vectors import VectorSources
from training.classification import Classifier
from training.distillation import Teacher
from training.optimizers import Updater
from training.regression_loss import Regression
from training.shown import Shown
from training.step_metrics import Metrics, alpha_metrics, discriminator_metrics, weighted_mean
from training.step_plan import StepPlan


@dataclass
class View:
    """A batch as input of the networks: normalised; the generator's sources with noise and masks, the rest clean. Where
    there is a teacher, `input_BDT` and `target_BDT` are its samples.

    conditions: of the generator; fake_conditions, real_conditions: of the discriminator, for generated samples and for
    reals; other_conditions: those of the reals with another sample's labels, where the objective compares them.
    """

    source_input_BDT: Tensor
    source_target_BDT: Tensor
    input_BDT: Tensor
    target_BDT: Tensor
    real_BDT: Tensor
    indices: list[int]
    conditions: Conditions
    fake_conditions: Conditions
    real_conditions: Conditions
    other_conditions: Conditions
    real_labels: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Trainer:
    """The two networks, their losses and their updates.

    Attributes:
        generator, discriminator: bare networks; `ranks.wrap` averages their gradients over ranks.
        space: with its statistics on the device.
        noisy: whether the curriculum ever adds noise.
        amp: autocast of the generator to bfloat16.
        decoded_losses: losses on decoded data, if any; they are computed every `decode_every` steps.
        observe: what the generator starts from, and what it should make of it; see `kinds.base.Kind.observe`.
        classifier: the auxiliary classifier, if there is one.
        teacher: makes the regression's targets, if a generator is distilled.
        own_reals: whether the discriminator's real is the sample's own target instead of another sample's.
        shown: makes the discriminator's input.
    """

    ranks: Ranks
    generator: nn.Module
    discriminator: nn.Module
    update_g: Updater
    update_d: Updater
    objective: Objective
    regression: Regression
    adversarial: AdversarialOptions
    mask_losses: MaskLossOptions
    space: Space
    sources: Sources | VectorSources
    conditioning: Conditioning
    seed: int
    noisy: bool = True
    amp: bool = False
    decoded_losses: DecodedLosses | None = None
    decode_every: int = 1
    observe: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    own_reals: bool = False
    classifier: Classifier | None = None
    teacher: Teacher | None = None

    def __post_init__(self) -> None:
        self.own_reals = self.own_reals or self.objective.own_reals
        self.shown = Shown(self.sources, self.seed, self.objective.renoise, takes_pairs(self.discriminator))
        self.wrapped_generator = self.ranks.wrap(self.generator)
        self.wrapped_discriminator = self.ranks.wrap(self.discriminator)

    def step(self, batch: Batch, plan: StepPlan) -> Metrics:
        """Both updates, those of them that the plan names; they use the same generator output."""
        if plan.discriminator_joins:
            join(self.discriminator, self.generator)
        view = self.view(batch, plan)
        made = self.generate(view, plan)
        metrics = self.latent_metrics(view, made)
        if self.noisy:
            metrics |= alpha_metrics(plan.alpha_B, plan.alpha)
        if plan.train_d:
            metrics |= self.discriminator_step(view, made.output_BDT.detach(), plan)
        if plan.train_g:
            metrics |= self.generator_step(view, made, plan)
        if self.classifier is not None:
            metrics |= self.classifier.step(view.real_BDT, view.real_labels)
        return metrics

    def view(self, batch: Batch, plan: StepPlan) -> View:
        """Normalises the batch on the device and adds the step's noise and masks to the generator's sources."""
        (start_input, input_BDT), (start_target, target_BDT) = self.observed(batch.input_BDT, batch.target_BDT)
        clean = input_BDT, target_BDT, target_BDT if self.own_reals else self.clean(batch.real_BDT)
        alpha = plan.alpha_B if self.noisy else 0.0
        sources = self.sources.mixed(start_input, start_target, alpha, batch.indices, self.seed)
        labels, other = self.labels(batch.labels, batch.indices), self.labels(batch.real_labels, batch.indices)
        if self.teacher is not None and plan.train_g:
            clean = *2 * (self.teacher(sources, alpha, labels),), clean[2]
        real_labels = labels if self.own_reals else other
        level = self.shown.level(alpha, batch.indices, self.ranks.device)
        conditions = [self.conditioning(alpha, labels, clean[0])]
        conditions += [self.conditioning(level, some, clean[0]) for some in (labels, real_labels)]
        conditions += [self.conditioning(level, other, clean[0]) if self.objective.contrastive > 0 else {}]
        return View(*sources, *clean, batch.indices, *conditions, real_labels)

    def labels(self, labels: dict[str, Tensor], indices: list[int]) -> dict[str, Tensor]:
        """On the device, some of them dropped."""
        device = self.ranks.device
        return self.some_dropped({name: x.to(device, non_blocking=True) for name, x in labels.items()}, indices)

    def some_dropped(self, labels: dict[str, Tensor], indices: list[int]) -> dict[str, Tensor]:
        """Labels [B] by name: for a share of the samples all of them, and for as large a share each by itself, made
        unknown, so that generation may name some, all or none (Ho & Salimans 2022, sec. 3)."""
        share = self.conditioning.label_dropout
        if share == 0 or not labels:
            return labels
        uniform_BK = uniform(self.seed, Purpose.LABELS, indices, (len(labels) + 1,), self.ranks.device)
        dropped_BK = (uniform_BK[:, :1] < share) | (uniform_BK[:, 1:] < share)
        return {
            name: value.float().masked_fill(dropped_BK[:, k], torch.nan)
            for k, (name, value) in enumerate(labels.items())
        }

    def normalise(self, samples_BDT: Tensor) -> Tensor:
        return self.space.normalise(samples_BDT.to(self.ranks.device, non_blocking=True))

    def observed(self, input_BDT: Tensor, target_BDT: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(what the generator starts from, clean sample) of an input and of its target, as they are stored."""
        if self.observe is None:
            return tuple((x_BDT, x_BDT) for x_BDT in map(self.normalise, (input_BDT, target_BDT)))
        both = self.observe(self.normalise(target_BDT))
        return both, both

    def clean(self, samples_BDT: Tensor) -> Tensor:
        """Clean samples, as the generator makes them and the discriminator gets them."""
        x_BDT = self.normalise(samples_BDT)
        return x_BDT if self.observe is None else self.observe(x_BDT)[1]

    def generate(self, view: View, plan: StepPlan) -> Generated:
        """The generator's output for the step's sources, in float32; with a graph if the generator is trained."""
        more = conditions_for(self.generator, view.conditions)
        with self.autocast(), torch.set_grad_enabled(plan.train_g):
            made: Generated = self.wrapped_generator(view.source_input_BDT, view.source_target_BDT, **more)
        return made.float32()

    def latent_metrics(self, view: View, made: Generated) -> Metrics:
        """Mean and standard deviation of generated and of real samples."""
        fake_BDT, real_BDT = made.output_BDT.detach(), view.real_BDT
        return {
            "latents/fake_mean": fake_BDT.mean(),
            "latents/fake_std": sample_std(fake_BDT).mean(),
            "latents/real_mean": real_BDT.mean(),
            "latents/real_std": sample_std(real_BDT).mean(),
        }

    def autocast(self):
        return devices.autocast(self.ranks.device, self.amp)

    # --- the discriminator -----------------------------------------------------------------------------------------

    def discriminator_step(self, view: View, fake_BDT: Tensor, plan: StepPlan) -> Metrics:
        """One update of the discriminator on clean reals and detached fakes."""
        o = self.adversarial
        real_BDT = self.shown(view.real_BDT, view.indices, Purpose.INSTANCE_REAL, plan.instance_noise)
        fake_BDT = self.shown(fake_BDT, view.indices, Purpose.INSTANCE_FAKE, plan.instance_noise)
        penalised = plan.penalty_factor * (o.r1_weight + o.r2_weight) > 0
        if penalised:
            real_B, fake_B, r1_B, r2_B = self._penalised_logits(view, real_BDT, fake_BDT)
        else:
            joined_BDT = torch.cat([real_BDT, fake_BDT])
            real_B, fake_B = self.wrapped_discriminator(joined_BDT, **self._conditions(view)).chunk(2)
        loss = weighted_mean(self.objective.discriminator(real_B, fake_B), plan.gan_fade_B)
        metrics = {"loss/d": loss, "weight/gan_fade": plan.gan_fade_B.mean()}
        metrics |= discriminator_metrics(real_B, fake_B, plan.gan_fade_B, self.objective)
        if penalised:
            metrics |= {"loss/r1": r1_B.mean(), "loss/r2": r2_B.mean()}
            loss = loss + 0.5 * plan.penalty_factor * (o.r1_weight * r1_B.mean() + o.r2_weight * r2_B.mean())
        for own in self.objective.regularisers:
            if own.weight > 0:
                critic = self._critic(view)
                value_B = own.measure(critic, real_BDT, fake_BDT, real_B, fake_B, lambda: self._uniform(view))
                metrics[f"loss/{own.name}"] = value_B.mean()
                loss = loss + own.weight * metrics[f"loss/{own.name}"]
        if self.labels_are_compared(view):
            more = conditions_for(self.discriminator, view.other_conditions)
            wrong_B = self.wrapped_discriminator(real_BDT, **more)
            metrics["loss/contrastive"] = contrastive(real_B, wrong_B).mean()
            loss = loss + self.objective.contrastive * metrics["loss/contrastive"]
        metrics["loss/d_total"] = loss
        metrics["grad_norm/d"] = self.update_d(loss, plan.lr_d)
        return {name: value.detach() for name, value in metrics.items()}

    def _penalised_logits(self, view: View, real_BDT: Tensor, fake_BDT: Tensor) -> tuple[Tensor, ...]:
        """Logits of reals and fakes with R1 and R2 of each, [B] four times, by finite differences."""
        noise_BDT = normal(self.seed, Purpose.PENALTY, view.indices, real_BDT.shape[1:], real_BDT.device)
        # Reals and fakes are perturbed in the same directions, drawn once.
        joined_BDT = penalties.join_perturbed(real_BDT, fake_BDT, torch.cat([noise_BDT, noise_BDT]))
        logits = self.wrapped_discriminator(joined_BDT, copies=2, **self._conditions(view, copies=2))
        return penalties.split_penalties(logits, real_BDT.shape[-1] / self.space.rate)

    def _conditions(self, view: View, copies: int = 1) -> dict[str, Any]:
        """Keyword arguments for a batch of reals and fakes, repeated `copies` times."""
        joined = {name: torch.cat([view.real_conditions[name], value]) for name, value in view.fake_conditions.items()}
        return conditions_for(self.discriminator, repeated(joined, copies))

    def _critic(self, view: View):
        """The discriminator as a function of samples alone, under the conditions of the fakes."""
        more = conditions_for(self.discriminator, view.fake_conditions)
        return lambda x_BDT: self.wrapped_discriminator(x_BDT, **more)

    def _uniform(self, view: View) -> Tensor:
        return uniform(self.seed, Purpose.INTERPOLATE, view.indices, (), view.real_BDT.device)

    def labels_are_compared(self, view: View) -> bool:
        """Whether the discriminator learns which labels are a real's own."""
        labelled = self.conditioning.known_labels and takes_conditions(self.discriminator)
        return self.objective.contrastive > 0 and bool(labelled)

    # --- the generator ---------------------------------------------------------------------------------------------

    def generator_step(self, view: View, made: Generated, plan: StepPlan) -> Metrics:
        """One update of the generator (and its agent) against clean targets and the discriminator's logits."""
        loss, metrics = self.generator_loss(view, made, plan)
        metrics["grad_norm/g"] = self.update_g(loss, plan.lr_g)
        return {name: value.detach() for name, value in metrics.items()}

    def generator_loss(self, view: View, made: Generated, plan: StepPlan) -> tuple[Tensor, Metrics]:
        """The generator's total loss and its parts."""
        regression_B, metrics = self.regression_loss(view, made.output_BDT, plan)
        loss = (plan.recon_weight_B * regression_B).mean()
        metrics["loss/recon"] = regression_B.mean()
        metrics["weight/recon"] = plan.recon_weight_B.mean()
        if plan.gan_weight > 0:
            adversarial_loss, more = self.adversarial_loss(view, made.output_BDT, plan)
            metrics |= more
            loss = loss + plan.gan_weight * adversarial_loss
        if made.mask_input_BDT is not None:
            metrics |= masks.mask_metrics(made.mask_input_BDT, made.mask_target_BDT)
            weights = self.mask_losses
            loss = loss + weights.mask_reg_weight * metrics["loss/mask_reg"]
            loss = loss + weights.balance_loss_weight * metrics["loss/balance"]
        if made.view_weights_BV is not None:
            weights_V = made.view_weights_BV.mean(0)
            metrics |= {f"view/{name}": weight for name, weight in zip(VIEWS, weights_V, strict=True)}
        metrics["loss/g_total"] = loss
        return loss, metrics

    def regression_loss(self, view: View, output_BDT: Tensor, plan: StepPlan) -> tuple[Tensor, Metrics]:
        """Weighted regression to clean input and target, per sample, in latents and (on some steps) in decoded data."""
        loss_B, metrics = self.regression(output_BDT, view.input_BDT, view.target_BDT)
        if plan.decode:
            samples = map(self.space.denormalise, (output_BDT, view.input_BDT, view.target_BDT))
            decoded_B, more = self.decoded_losses(*samples)
            metrics |= {name: value_B.mean() for name, value_B in more.items()}
            # Computed on every k-th step only, therefore with k times the weight.
            loss_B = loss_B + self.decode_every * decoded_B
        return loss_B, metrics

    def adversarial_loss(self, view: View, output_BDT: Tensor, plan: StepPlan) -> tuple[Tensor, Metrics]:
        """The generator's adversarial loss. The discriminator is frozen and used without its DDP wrapper, so that
        the wrapper's gradient reducer is not triggered."""
        objective, fade_B, discriminator = self.objective, plan.gan_fade_B, self.discriminator
        metrics = {"weight/gan_fade": fade_B.mean()}  # also on steps without a discriminator update
        shown = self.shown(output_BDT, view.indices, Purpose.INSTANCE_FAKE, plan.instance_noise)
        real_B = real_features = None
        matching = self.adversarial.feature_matching_weight
        discriminator.requires_grad_(False)
        try:
            if objective.needs_real_in_generator or matching > 0:
                with torch.no_grad():
                    real = self.shown(view.real_BDT, view.indices, Purpose.INSTANCE_REAL, plan.instance_noise)
                    more = conditions_for(discriminator, view.real_conditions)
                    real_B, real_features = discriminator(real, return_features=True, **more)
            more = conditions_for(discriminator, view.fake_conditions)
            fake_B, fake_features = discriminator(shown, return_features=True, **more)
        finally:
            discriminator.requires_grad_(True)
        loss = metrics["loss/g_adv"] = weighted_mean(objective.generator(real_B, fake_B), fade_B)
        if matching > 0:
            metrics["loss/features"] = weighted_mean(features.feature_matching(real_features, fake_features), fade_B)
            loss = loss + matching * metrics["loss/features"]
        return loss, metrics

    # --- state -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Both networks, both optimizers, and how many updates were skipped, as tensors and plain types."""
        g, d = self.update_g, self.update_d
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer_g": g.optimizer_state(),
            "optimizer_d": d.optimizer_state(),
            "skipped": torch.stack([g.bad, d.bad, g.bad_in_row, d.bad_in_row]),
        } | {name: owner.state_dict() for name, owner in self._more()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises KeyError, RuntimeError or ValueError if the weights have other shapes."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        (bad_g, bad_d), (row_g, row_d) = state["skipped"].view(2, 2)
        self.update_g.load(state["optimizer_g"], bad_g, row_g)
        self.update_d.load(state["optimizer_d"], bad_d, row_d)
        for name, owner in self._more():
            owner.load_state_dict(state[name])

    def _more(self) -> list[tuple[str, Any]]:
        """What only some runs have."""
        more = {"classifier": self.classifier, "teacher": self.teacher}
        return [(name, owner) for name, owner in more.items() if owner is not None]
