"""What one step does: every schedule read at one global sample index. Pure functions of counters.

Schedules given in steps are counted in samples (steps x global batch), so that they mean the same when the number of
devices changes.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from config import RunConfig
from curriculum.pure_gan import alpha_at, ease_alpha, faded, jitter_alpha, phase_at, recon_weight
from curriculum.schedules import adversarial_ramp, instance_noise, is_pretraining, rate_factor
from runtime.seeding import Purpose, uniform
from training.reactions import Reactions


@dataclass(frozen=True)
class Plan:
    """Everything that changes over a run, for the step that begins at `samples_seen`.

    game_share_B: what each sample counts in the losses of both players, [0, 1].
    penalty_factor: on R1 and R2; 0 on steps that leave them out.
    """

    step: int
    samples_seen: int
    epoch: int
    alpha: float
    phase: str
    alpha_B: Tensor
    recon_weight_B: Tensor
    game_share_B: Tensor
    gan_weight: float
    lr_g: float
    lr_d: float
    instance_noise: float
    pretraining: bool
    train_g: bool
    train_d: bool
    decode: bool
    penalty_factor: float = 1.0


@dataclass(frozen=True)
class Scheduler:
    """Reads all schedules of a run.

    Args:
        pairs: training pairs, the length of an epoch.
        global_batch: samples per step over all ranks.

    Attributes:
        reactions: what validation has changed about them so far.
    """

    config: RunConfig
    pairs: int
    global_batch: int
    reactions: Reactions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reactions", Reactions(self.config))

    def alpha(self, epoch: int) -> float:
        """Alpha of an epoch; an adaptive curriculum knows its present one only, and gives that."""
        c = self.config
        if c.adaptive_alpha:
            return self.reactions.adaptive.alpha
        return alpha_at(epoch, c.pure_gan_mode, c.gan_curriculum_start_epoch, c.gan_noise_ceiling)

    def phase(self, alpha: float) -> str:
        return phase_at(alpha, self.config.gan_noise_ceiling, self.config.pure_gan_mode)

    @property
    def total_samples(self) -> int:
        return self.config.epochs * self.pairs

    def in_samples(self, steps: int) -> int:
        return steps * self.global_batch

    def plan(self, step: int, samples_seen: int, indices: list[int], device: torch.device) -> Plan:
        """The plan of the step that begins at `samples_seen`, for the samples of this rank."""
        c = self.config
        epoch = samples_seen // self.pairs + 1
        alpha = self.alpha(epoch)
        alpha_B = self._alpha_per_sample(indices, device)
        pretrain = self.in_samples(c.g_pretrain_steps)
        pretraining = is_pretraining(samples_seen, pretrain)
        ramp = adversarial_ramp(samples_seen, self.in_samples(c.adv_ramp_steps), c.adv_ramp_shape, pretrain)
        return Plan(
            step=step,
            samples_seen=samples_seen,
            epoch=epoch,
            alpha=alpha,
            phase=self.phase(alpha),
            alpha_B=alpha_B,
            recon_weight_B=recon_weight(alpha_B, c.recon_fade, c.recon_floor),
            game_share_B=faded(alpha_B, c.gan_fade),
            gan_weight=c.gan_weight * ramp,
            lr_g=c.lr * self._rate_factor("g", samples_seen, 0, c.g_warmup_steps),
            lr_d=c.disc_lr_value * self._rate_factor("d", samples_seen, pretrain, c.d_warmup_steps),
            instance_noise=instance_noise(samples_seen / self.pairs, c.instance_noise_std, c.instance_noise_decay),
            pretraining=pretraining,
            train_g=pretraining or (step + 1) % c.n_critic == 0,
            train_d=not pretraining and c.gan_weight > 0 and (step + 1) % c.disc_update_freq == 0,
            # Lazy regularisation (Karras et al. 2020, sec. 3.1): rarer penalties are heavier, their mean is the same.
            penalty_factor=float(c.penalty_every) if (step + 1) // c.disc_update_freq % c.penalty_every == 0 else 0.0,
            decode=c.needs_audio and (step if pretraining else step // c.n_critic) % c.decode_every == 0,
        )

    def _rate_factor(self, network: str, samples_seen: int, begin: int, warmup_steps: int) -> float:
        """Warm-up, decay and plateaus of a network that begins to learn at sample `begin`."""
        c = self.config
        return self.reactions.rate_multiplier(network) * rate_factor(
            max(0, samples_seen - begin),
            max(1, self.total_samples - begin),
            warmup_length=self.in_samples(warmup_steps),
            warmup_shape=c.warmup_shape,
            kind="cosine" if c.lr_schedule == "cosine" else "constant",
            minimum=c.lr_min_ratio,
            stride=self.global_batch,
        )

    def _alpha_per_sample(self, indices: list[int], device: torch.device) -> Tensor:
        """Each sample has its own epoch's alpha: a batch that crosses an epoch's end holds two."""
        c = self.config
        alphas = [self.alpha(i // self.pairs + 1) for i in indices]
        alpha_B = torch.tensor(alphas, device=device)
        if c.alpha_jitter > 0:
            u_B = uniform(c.seed, Purpose.ALPHA, indices, (), device)
            pairs = zip(alphas, u_B, strict=True)
            alpha_B = torch.stack([jitter_alpha(alpha, u, c.alpha_jitter, c.gan_noise_ceiling) for alpha, u in pairs])
        if c.easy_share > 0:
            alpha_B = ease_alpha(alpha_B, uniform(c.seed, Purpose.EASY, indices, (2,), device), c.easy_share)
        return alpha_B
