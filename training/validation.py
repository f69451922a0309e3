"""Validation on clean targets at three noise levels, with the EMA weights, distributed over the ranks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from curriculum.alpha import ease_alpha
from data.pairs import Pairs, ReadError
from kinds.base import Kind
from models.conditions import conditions_for, takes_conditions
from runtime.seeding import Purpose, mix_seed, uniform
from synthesis.sampler import sample
from training.classification import ClassCounts
from training.diversity import DiversityGauge
from training.generator_loss import GeneratorLoss
from training.selection import CURRENT, DISTANCE
from training.trainer import Trainer


@dataclass
class Validation:
    """One validation of the EMA weights.

    Args:
        averaged: the generator with EMA weights.
        unity_test: the target is the input.
        easy_share: share of the pairs whose alpha is drawn below the schedule's, as in training.
        steps: sampling steps of generation.
        batch_size: per rank.
        kind: for the measures of its own that it may have.
        generator_loss: the generator's total loss; None if nothing goes by it.
    """

    trainer: Trainer
    averaged: nn.Module
    pairs: Pairs
    gauge: DiversityGauge
    unity_test: bool = False
    easy_share: float = 0.0
    steps: int = 1
    batch_size: int = 8
    kind: Kind | None = None
    generator_loss: GeneratorLoss | None = None

    def __post_init__(self) -> None:
        self._seed = mix_seed(self.trainer.seed, Purpose.VALIDATION)

    @property
    def unpaired(self) -> bool:
        """Whether no generated sample has a sample that it should be like, so that only sets can be compared."""
        weights = self.trainer.regression.options.weights
        return self.trainer.sources.only_noise and sum(weights) == 0

    @torch.no_grad()
    def __call__(
        self,
        alphas: dict[str, float],
        with_discriminator: bool = True,
        go_on: Callable[[], bool] = lambda: True,
        bad: dict[str, str] | None = None,
    ) -> dict[str, float] | None:
        """Weighted regression loss to clean input and target at each named alpha, the mean over all validation pairs;
        for the alpha named "current" `easy_share` of the pairs get a lower alpha, as in training, so that all noise
        levels are measured. Also the discriminator's accuracy, and the diversity of samples generated from the current
        alpha with all sampling steps.

        The noise of a pair is the same at every validation, so that losses can be compared between epochs. Samples are
        cut from the middle. `go_on` is called before every batch, on all ranks together. Pairs that cannot be read are
        left out and added to `bad` (name -> why).

        Returns:
            None if `go_on` returned False, else
            {"val/<name>": loss} for each alpha (if generated samples have no targets, "val/distance" instead), the
            kind's own measures, "val/d_loss", "val/d_accuracy" (of pairs, where the objective compares pairs) unless
            `with_discriminator` is False, "val/g_loss" where it is asked for, and where there are enough samples
            "val/distance" (`DiversityGauge.distance` of generated samples) and the metrics of `DiversityGauge`.
        """
        ranks, count = self.trainer.ranks, len(self.pairs)
        mine = list(range(ranks.rank, count, ranks.world))
        sums = torch.zeros(len(alphas) + 4, dtype=torch.float64)
        measured = getattr(self.kind, "measured", ())
        measures = torch.zeros(len(measured), dtype=torch.float64)
        classes = self.class_counts()
        statistics_NF = torch.zeros(self.gauge.compared, self.gauge.width + 1, dtype=torch.float64)  # last: present
        for start in range(0, -(-count // ranks.world), self.batch_size):  # as often on every rank
            if not go_on():
                return None
            chosen = self.readable(mine[start : start + self.batch_size], {} if bad is None else bad)
            if not chosen:
                continue
            starts, clean = zip(*self.trainer.observed(*self.samples(chosen)), strict=True)
            labels = self.labels(chosen)
            for k, (name, alpha) in enumerate(alphas.items()):
                alpha_B = self.eased(alpha, chosen, clean[0].device) if name == "current" else alpha
                sums[k] += self.loss(starts, *clean, alpha_B, chosen, labels).double().sum().cpu()
                if self.generator_loss is not None and name == "current":
                    total = self.generator_loss(starts, clean, alpha_B, chosen, labels, self._seed)
                    sums[-4] += len(chosen) * total.double().cpu()
            made_BDT = self.generated(starts, alphas["current"], chosen, labels)
            if measured:
                measures += self.kind.measures(made_BDT, clean[1], starts[1]).double().sum(0).cpu()
            if classes is not None:
                classes.add(clean[1], made_BDT, labels)
            if with_discriminator:
                sums[-3:-1] += self.discriminator_sums(clean[1], made_BDT, alphas["current"], labels)
            for i, row_F in zip(chosen, self.gauge.features(made_BDT).double().cpu(), strict=True):
                if i < self.gauge.compared:
                    statistics_NF[i] = torch.cat([row_F, torch.ones_like(row_F[:1])])
            sums[-1] += len(chosen)
        means = (sums := ranks.sum(sums)) / sums[-1]
        metrics = {f"val/{name}": float(means[k]) for k, name in enumerate(alphas)}
        if measured:
            values = ranks.sum(measures) / sums[-1]
            metrics |= {f"val/{name}": float(value) for name, value in zip(measured, values, strict=True)}
        if classes is not None:
            metrics |= classes.metrics(ranks)
        if self.generator_loss is not None:
            metrics["val/g_loss"] = float(means[-4])
        if with_discriminator:
            metrics |= {"val/d_loss": float(means[-3]), "val/d_accuracy": float(means[-2])}
        return metrics | self.diversity_metrics(statistics_NF)

    def class_counts(self) -> ClassCounts | None:
        """Empty counts of the auxiliary classifier, if there is one."""
        classifier, conditioning = self.trainer.classifier, self.trainer.conditioning
        asked = takes_conditions(self.averaged) and conditioning.chosen is not None
        return None if classifier is None else ClassCounts(classifier, asked)

    def eased(self, alpha: float, chosen: list[int], device: torch.device) -> float | Tensor:
        """The alphas that training would draw for these pairs if the schedule is at `alpha`."""
        if self.easy_share == 0:
            return alpha
        uniform_B2 = uniform(self._seed, Purpose.EASY, chosen, (2,), device)
        return ease_alpha(torch.full((len(chosen),), alpha, device=device), uniform_B2, self.easy_share)

    def loss(
        self,
        starts: tuple[Tensor, Tensor],
        input_BDT: Tensor,
        target_BDT: Tensor,
        alpha: float | Tensor,
        chosen: list[int],
        labels: dict[str, Tensor],
    ) -> Tensor:
        """The weighted regression loss [B] of one sampling step from noise level `alpha`."""
        sources = self.trainer.sources.mixed(*starts, alpha, chosen, self._seed)
        output_BDT = self.one_step(*sources, alpha, labels)
        return self.trainer.regression.validation_loss(output_BDT, input_BDT, target_BDT)

    def generated(
        self, starts: tuple[Tensor, Tensor], alpha: float, chosen: list[int], labels: dict[str, Tensor]
    ) -> Tensor:
        """Samples [B, D, T] generated from noise level `alpha` with all sampling steps."""
        sources = self.trainer.sources.mixed(*starts, alpha, chosen, self._seed)
        make = lambda source, target, level: self.one_step(source, target, level, labels)  # noqa: E731
        return sample(make, *sources, alpha, self.steps, self.trainer.sources.channels, self.trainer.space.within)

    def one_step(
        self, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor, labels: dict[str, Tensor]
    ) -> Tensor:
        more = conditions_for(self.averaged, self.trainer.conditioning(alpha, labels, input_BDT))
        with self.trainer.autocast():
            return self.averaged(input_BDT, target_BDT, **more).output_BDT.float()

    def discriminator_sums(self, real_BDT: Tensor, fake_BDT: Tensor, alpha: float, labels: dict[str, Tensor]) -> Tensor:
        """[loss, accuracy] of the discriminator on held-out reals and fakes, summed over the batch; without dropout."""
        discriminator, objective = self.trainer.discriminator, self.trainer.objective
        joined_BDT = torch.cat([real_BDT, fake_BDT])
        twice = {name: torch.cat([value, value]) for name, value in labels.items()}
        more = conditions_for(discriminator, self.trainer.conditioning(alpha, twice, joined_BDT))
        was_training = discriminator.training
        discriminator.eval()
        try:
            real_B, fake_B = discriminator(joined_BDT, **more).chunk(2)
        finally:
            discriminator.train(was_training)
        loss_B = objective.discriminator(real_B, fake_B)
        if objective.compares_pairs:
            right_B = (real_B > fake_B).double()
        else:
            right_B = 0.5 * ((real_B > objective.boundary).double() + (fake_B <= objective.boundary).double())
        return torch.stack([loss_B.double().sum(), right_B.sum()]).cpu()

    def diversity_metrics(self, statistics_NF: Tensor) -> dict[str, float]:
        """Diversity metrics, computed by rank 0 from the samples of all ranks."""
        ranks = self.trainer.ranks
        if not self.gauge.compared:
            return {}
        joined_NF = ranks.sum(statistics_NF).numpy()
        made_NF = joined_NF[joined_NF[:, -1] > 0, :-1]
        usable = ranks.is_main and len(made_NF) > 1 and bool(np.isfinite(made_NF).all())
        return ranks.from_main(self._compared(made_NF) if usable else {})

    def _compared(self, made_NF: np.ndarray) -> dict[str, float]:
        metrics = self.gauge(made_NF)
        if (distance := self.gauge.distance(made_NF)) is not None:
            metrics |= {DISTANCE: distance} | ({CURRENT: distance} if self.unpaired else {})
        return metrics

    def readable(self, chosen: list[int], bad: dict[str, str]) -> list[int]:
        """Those of the chosen pairs that can be read; the others are added to `bad`."""
        good = []
        for i in chosen:
            try:
                self.pairs.input(i), self.pairs.target(i)
                good.append(i)
            except ReadError as error:
                bad[error.sample] = str(error)
        return good

    def samples(self, chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Input and target [B, D, T] of the chosen pairs, cut from their middle."""
        inputs = [torch.from_numpy(self.pairs.cut(self.pairs.input(i)).astype("float32")) for i in chosen]
        if self.unity_test:
            return torch.stack(inputs), torch.stack(inputs)
        targets = [torch.from_numpy(self.pairs.cut(self.pairs.target(i)).astype("float32")) for i in chosen]
        return torch.stack(inputs), torch.stack(targets)

    def labels(self, chosen: list[int]) -> dict[str, Tensor]:
        """Labels [B] of the chosen pairs, by name."""
        rows = [self.pairs.labels(i) for i in chosen]
        return {name: torch.tensor([row[name] for row in rows], device=self.trainer.ranks.device) for name in rows[0]}
