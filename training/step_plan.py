"""The plan of one step: the value of every schedule at one global sample index.

Schedules given in steps are counted in samples (steps x global batch), so that they mean the same when the number of
devices changes.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from config import RunConfig
from curriculum.alpha import ease_alpha, phase_at
from curriculum.schedules import adversarial_ramp, instance_noise, is_pretraining, share_of, warmup
from runtime.seeding import Purpose, uniform


@dataclass(frozen=True)
class StepPlan:
    """All scheduled values for the step that begins at `samples_seen`.

    alpha, phase: of the schedule; alpha_B: noise level of each sample.
    recon_weight_B, gan_fade_B: weight of each sample in the regression and the adversarial losses, [0, 1].
    penalty_factor: factor on R1 and R2; 0 on steps without them.
    decode: whether losses on decoded data are computed.
    discriminator_joins: the first step in which the discriminator takes part, if it joins later than the generator.
    """

    step: int
    samples_seen: int
    epoch: int
    alpha: float
    phase: str
    alpha_B: Tensor
    recon_weight_B: Tensor
    gan_fade_B: Tensor
    gan_weight: float
    lr_g: float
    lr_d: float
    instance_noise: float
    pretraining: bool
    train_g: bool
    train_d: bool
    decode: bool
    penalty_factor: float = 1.0
    discriminator_joins: bool = False


class Work(NamedTuple):
    """What a step computes; steps of equal work take equal time.

    penalised: with R1 and R2; adversarial: with the generator's adversarial loss; decode: with losses on decoded data.
    """

    train_g: bool
    train_d: bool
    penalised: bool
    adversarial: bool
    decode: bool


class Schedules:
    """All schedules of a run. They depend on counters, except the adaptive curriculum and the learning-rate schedule
    `plateau`, which depend on past validations and whose state is saved in checkpoints.

    Args:
        pairs: training pairs, the length of an epoch.
        global_batch: samples per step over all ranks.
    """

    def __init__(self, config: RunConfig, pairs: int, global_batch: int) -> None:
        self._config, self._pairs, self.global_batch = config, pairs, global_batch
        self.curriculum = config.chosen("adaptive_alpha").build(config.curriculum)
        self.rates = {network: config.chosen("lr_schedule").build(network) for network in ("g", "d")}
        self._recon_fade, self._gan_fade, self._warmup_shape = (
            config.chosen(name).part.load() for name in ("recon_fade", "gan_fade", "warmup_shape")
        )
        kind = config.chosen("kind").options
        self._decode_every = kind.decode_every if kind.decodes(config.regression.weights) else 0

    @property
    def total_samples(self) -> int:
        return self._config.training.epochs * self._pairs

    def remarks(self) -> list[str]:
        """What a user should know before a run begins: schedules for which it is too short."""
        c, joins, remarks = self._config, self._config.weights.g_pretrain_steps, []
        if c.adversarial.gan_weight > 0 and self._in_samples(joins) >= self.total_samples:
            remarks.append(
                f"the discriminator never joins: --g_pretrain_steps is {joins}, and the whole run has "
                f"{-(-self.total_samples // self.global_batch)} steps; raise --epochs, or lower --g_pretrain_steps"
            )
        ceiling, last = c.curriculum.gan_noise_ceiling, self.alpha(c.training.epochs)
        if self.curriculum.known_ahead and c.curriculum.pure_gan_mode > 0 and last < ceiling - 1e-6:
            remarks.append(
                f"alpha ends at {last:.2f}, not at {ceiling:g}: the generator never learns to begin from noise; raise "
                "--pure_gan_mode or --epochs"
            )
        return remarks

    def alpha(self, epoch: int) -> float:
        """Alpha of an epoch; an adaptive curriculum only knows, and returns, the current one."""
        return self.curriculum.alpha(epoch)

    def phase(self, alpha: float) -> str:
        c = self._config.curriculum
        return phase_at(alpha, c.gan_noise_ceiling, c.pure_gan_mode)

    def levels(self, epoch: int) -> dict[str, float]:
        """The noise levels of the validation after `epoch`, by name."""
        c = self._config.curriculum
        if "noise_size" in self._config.chosen("generator").part.facts:
            return {"current": 0.0}  # from noise alone: there are no levels
        ceiling = {"ceiling": c.gan_noise_ceiling} if c.pure_gan_mode > 0 else {}
        return {"clean": 0.0, "current": self.alpha(epoch)} | ceiling

    def plan(self, step: int, samples_seen: int, indices: list[int], device: torch.device) -> StepPlan:
        """The plan of the step that begins at `samples_seen`, for the samples of this rank."""
        epoch = samples_seen // self._pairs + 1
        alpha = self.alpha(epoch)
        pretraining, ramp = self._adversary(samples_seen)
        alpha_B = self._alpha_per_sample(indices, device, pretraining)
        work = self.work(step, samples_seen)
        return StepPlan(
            step=step,
            samples_seen=samples_seen,
            epoch=epoch,
            alpha=alpha,
            phase=self.phase(alpha),
            alpha_B=alpha_B,
            recon_weight_B=self._recon_weight(alpha_B, samples_seen),
            gan_fade_B=self._gan_fade(alpha_B),
            gan_weight=self._config.adversarial.gan_weight * ramp,
            lr_g=self._learning_rate("g", samples_seen),
            lr_d=self._learning_rate("d", samples_seen),
            instance_noise=self.instance_noise(samples_seen),
            pretraining=pretraining,
            train_g=work.train_g,
            train_d=work.train_d,
            # Lazy regularisation (Karras et al. 2020, sec. 3.1): rarer penalties with larger weight, the same mean.
            penalty_factor=float(self._config.adversarial.penalty_every) if work.penalised else 0.0,
            decode=work.decode,
            discriminator_joins=not pretraining and self._adversary(samples_seen - self.global_batch)[0],
        )

    def work(self, step: int, samples_seen: int) -> Work:
        """What the step that begins at `samples_seen` computes."""
        c, o = self._config.training, self._config.adversarial
        pretraining, ramp = self._adversary(samples_seen)
        generator_step = step if pretraining else step // c.n_critic
        train_g = pretraining or (step + 1) % c.n_critic == 0
        train_d = not pretraining and o.gan_weight > 0 and (step + 1) % c.disc_update_freq == 0
        return Work(
            train_g,
            train_d,
            penalised=train_d and (step + 1) // c.disc_update_freq % o.penalty_every == 0,
            adversarial=train_g and o.gan_weight * ramp > 0,
            decode=train_g and self._decode_every > 0 and generator_step % self._decode_every == 0,
        )

    def _adversary(self, samples_seen: int) -> tuple[bool, float]:
        """Whether the generator still trains alone, and the factor on `gan_weight`."""
        w = self._config.weights
        pretrain = self._in_samples(w.g_pretrain_steps)
        ramp = adversarial_ramp(samples_seen, self._in_samples(w.adv_ramp_steps), pretraining=pretrain)
        return is_pretraining(samples_seen, pretrain), ramp

    def instance_noise(self, samples_seen: int) -> float:
        """Standard deviation of the noise on the discriminator's inputs."""
        w = self._config.weights
        return instance_noise(samples_seen / self._pairs, w.instance_noise_std, w.instance_noise_decay)

    def held_out_plan(self, step: int, samples_seen: int, alpha_B: Tensor) -> StepPlan:
        """The plan of training at `samples_seen`, without losses on decoded data, for samples of these noise levels."""
        plan = self.plan(step, samples_seen, [samples_seen], alpha_B.device)
        weights = {"recon_weight_B": self._recon_weight(alpha_B, samples_seen), "gan_fade_B": self._gan_fade(alpha_B)}
        return replace(plan, alpha_B=alpha_B, decode=False, **weights)

    def adversarial_in_full(self, samples_seen: int) -> bool:
        """Whether the adversarial weight has risen to its value."""
        w = self._config.weights
        return samples_seen >= self._in_samples(w.g_pretrain_steps + w.adv_ramp_steps)

    def end_of_epoch(self, epoch: int, alpha: float, metrics: dict[str, float] | None) -> None:
        """Records the metrics of the validation after `epoch`, measured at `alpha`; None if there was none."""
        if metrics is not None:
            for rate in self.rates.values():
                rate.observe(alpha, metrics)
        self.curriculum.end_of_epoch(epoch, alpha, None if metrics is None else metrics["val/current"])

    def state_dict(self) -> dict[str, Any]:
        return {
            "adaptive": self.curriculum.state_dict(),
            "rates": {network: rate.state_dict() for network, rate in self.rates.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """If the learning-rate schedule was changed, only the common state is restored."""
        if not state:
            return
        self.curriculum.load_state_dict(state["adaptive"])
        for network, rate in self.rates.items():
            if state["rates"][network]:
                rate.load_state_dict(state["rates"][network])

    def _in_samples(self, steps: int) -> int:
        return steps * self.global_batch

    def _learning_rate(self, network: str, samples_seen: int) -> float:
        """Warm-up, then the schedule over the rest of the run; for the discriminator both begin when it joins."""
        c, o = self._config.rates, self._config.optimizer
        begin = self._in_samples(self._config.weights.g_pretrain_steps) if network == "d" else 0
        lr, steps = {"g": (o.lr, c.g_warmup_steps), "d": (o.discriminator_lr, c.d_warmup_steps)}[network]
        seen, length, rising = max(0, samples_seen - begin), max(1, self.total_samples - begin), self._in_samples(steps)
        rate = self.rates[network]
        if seen < rising:
            factor = warmup(seen, rising, self._warmup_shape, self.global_batch)
        else:
            factor = rate.decay(share_of(seen - rising, length - rising))
        return lr * (rate.multiplier * factor)

    def _recon_weight(self, alpha_B: Tensor, samples_seen: int) -> Tensor:
        """The fade, by as much as the adversarial loss has come in after the generator has trained alone: before, there
        is nothing else to learn from."""
        faded_B = self._recon_fade(alpha_B)
        ramp = self._adversary(samples_seen)[1] if self._config.weights.g_pretrain_steps else 1.0
        return faded_B if ramp == 1 else torch.lerp(torch.ones_like(faded_B), faded_B, ramp)

    def _easy_share(self, pretraining: bool) -> float:
        """The objective may have another one for the time after the discriminator has joined."""
        own = getattr(self._config.chosen("gan_loss").options, "adversarial_easy_share", None)
        return self._config.curriculum.easy_share if pretraining or own is None else own

    def _alpha_per_sample(self, indices: list[int], device: torch.device, pretraining: bool) -> Tensor:
        """Each sample has the alpha of its own epoch: a batch that crosses the end of an epoch has two."""
        # Made on the host and sent without waiting; `torch.tensor(..., device=...)` would wait for the device.
        alpha_B = torch.tensor([self.alpha(i // self._pairs + 1) for i in indices]).to(device, non_blocking=True)
        share = self._easy_share(pretraining)
        if share > 0:
            uniform_B2 = uniform(self._config.training.seed, Purpose.EASY, indices, (2,), device)
            alpha_B = ease_alpha(alpha_B, uniform_B2, share)
        return alpha_B
