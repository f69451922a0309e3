"""A minimal hand-written training loop: the same networks, losses, penalties, optimizers, clipping, noise and EMA as a
run; data in memory, no logging, checkpoints, schedules or handling of non-finite values.

B samples, D latent channels, T frames.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from config import RunConfig
from losses import penalties
from models.conditions import takes_conditions
from training.builder import build_networks
from training.optimizers import build_optimizer

BETA = 0.998
LEVEL = 0.5  # of the noise


def clips_in_memory(run) -> Tensor:
    """All training pairs of a run's dataset, normalised, cut to its crop: `[pairs, 2, D, T]` on its device."""
    pairs, frames = run.stream.pairs, run.stream.pairs.shape[-1]
    raw = [[torch.from_numpy(x[:, :frames].astype("float32")) for x in (pairs.input(i), pairs.target(i))]
           for i in range(len(pairs))]  # fmt: skip
    return torch.stack([torch.stack([run.trainer.normalise(x[None])[0] for x in pair]) for pair in raw])


def _own_optimizer(config: RunConfig, network, lr: float) -> torch.optim.Optimizer:
    return build_optimizer(config.chosen("optimizer"), config.optimizer, network, lr)


class HandLoop:
    """`step()` trains both networks once, on `batch` clips at noise level 0.5.

    `prepare`, `backward` and `clip` are the hooks for a trainer library; by default they are torch's own.
    """

    def __init__(
        self,
        config: RunConfig,
        clips: Tensor,
        batch: int,
        prepare: Callable = lambda network, optimizer: (network, optimizer),
        backward: Callable[[Tensor], None] = lambda loss: loss.backward(),
        clip: Callable = torch.nn.utils.clip_grad_norm_,
        optimizer: Callable | None = None,
        rate: float = 75.0,
    ) -> None:
        optimizer = optimizer or _own_optimizer
        self.config, self.clips, self.batch, self.at = config, clips, batch, 0
        self.rate = rate
        self.backward, self.clip = backward, clip
        self.objective = config.chosen("gan_loss").build()
        self.measure = config.chosen("loss_reconstruction").part.load()
        generator, critic = (network.to(clips.device) for network in build_networks(config))
        self.conditioned = {"generator": takes_conditions(generator), "critic": takes_conditions(critic)}
        self.average = copy.deepcopy(generator).requires_grad_(False)
        self.averaged, self.live = list(self.average.parameters()), list(generator.parameters())
        o = config.optimizer
        self.generator, self.optimizer_g = prepare(generator, optimizer(config, generator, o.lr))
        self.critic, self.optimizer_d = prepare(critic, optimizer(config, critic, o.discriminator_lr))

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        """Input, target and real `[B, D, T]`; the real is the next clip's target."""
        chosen = (torch.arange(self.batch, device=self.clips.device) + self.at) % len(self.clips)
        self.at += self.batch
        pair = self.clips[chosen]
        return pair[:, 0], pair[:, 1], pair[:, 1].roll(-1, 0)

    def step(self) -> None:
        source, target, real = self.data()
        level = self.level("generator", len(source))
        fake = self.generator(self.noised(source), self.noised(target), **level).output_BDT
        self.critic_update(real, fake.detach())
        self.generator_update(source, target, real, fake)
        torch._foreach_lerp_(self.averaged, self.live, 1 - BETA)

    def level(self, network: str, count: int) -> dict:
        """The noise level as a condition, for a network that takes it."""
        alpha_B = torch.full((count,), LEVEL, device=self.clips.device)
        return {"conditions": {"alpha": alpha_B}} if self.conditioned[network] else {}

    def criticised(self, x_BDT: Tensor, **more) -> Tensor:
        return self.critic(x_BDT, **more, **self.level("critic", len(x_BDT)))

    def noised(self, x_BDT: Tensor) -> Tensor:
        return (1 - LEVEL) * x_BDT + LEVEL * x_BDT.std(dim=(1, 2), keepdim=True) * torch.randn_like(x_BDT)

    def critic_update(self, real: Tensor, fake: Tensor) -> None:
        o = self.config.adversarial
        if o.r1_weight + o.r2_weight > 0:
            noise = torch.randn_like(real).repeat(2, 1, 1)
            joined = penalties.join_perturbed(real, fake, noise)
            real_B, fake_B, r1_B, r2_B = penalties.split_penalties(
                self.criticised(joined, copies=2), real.shape[-1] / self.rate
            )
            loss = 0.5 * o.r1_weight * r1_B.mean() + 0.5 * o.r2_weight * r2_B.mean()
        else:
            real_B, fake_B = self.criticised(torch.cat([real, fake])).chunk(2)
            loss = 0.0
        loss = loss + self.objective.discriminator(real_B, fake_B).mean()
        for own in self.objective.regularisers:
            if own.weight > 0:
                loss = loss + own.weight * own.measure(self.criticised, real, fake, real_B, fake_B, None).mean()
        self.update(loss, self.critic, self.optimizer_d, self.config.optimizer.disc_grad_clip)

    def generator_update(self, source: Tensor, target: Tensor, real: Tensor, fake: Tensor) -> None:
        weights, measure = self.config.regression.weights, self.measure
        loss_B = weights[0] * measure(fake, source) + weights[1] * measure(fake, target)
        self.critic.requires_grad_(False)
        real_B = None
        if self.objective.needs_real_in_generator:
            with torch.no_grad():
                real_B = self.criticised(real)
        adversarial = self.objective.generator(real_B, self.criticised(fake)).mean()
        loss = loss_B.mean() + self.config.adversarial.gan_weight * adversarial
        self.critic.requires_grad_(True)
        self.update(loss, self.generator, self.optimizer_g, self.config.optimizer.grad_clip)

    def update(self, loss: Tensor, network, optimizer, max_norm: float) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.backward(loss)
        if max_norm > 0:
            self.clip(network.parameters(), max_norm)
        optimizer.step()
