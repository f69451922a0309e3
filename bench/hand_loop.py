"""A bare loop as one would write it by hand: the same networks, losses, penalties, optimizers, clipping, noise and
weight average as a run; data in memory, no log, no checkpoint, no schedule, no guard against bad values.

B samples, D latent channels, T frames.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from config import RunConfig
from losses import adversarial, penalties, reconstruction
from training.networks import build_critic, build_guided_generator
from training.optimizers import build_optimizer

BETA = 0.998


def clips_in_memory(run) -> Tensor:
    """All training pairs of a run's dataset, normalised, cut to its crop: `[pairs, 2, D, T]` on its device."""
    pairs, frames = run.stream.pairs, run.stream.frames
    raw = [[torch.from_numpy(x[:, :frames].astype("float32")) for x in (pairs.input(i), pairs.target(i))]
           for i in range(len(pairs))]  # fmt: skip
    clips = torch.stack([torch.stack(pair) for pair in raw]).to(run.ranks.device)
    return (clips - run.game.mean_D1) / run.game.std_D1


class HandLoop:
    """`step()` trains both networks once, on `batch` clips at half noise.

    `prepare`, `backward` and `clip` are where a trainer library takes hold; by default they are torch's own.
    """

    def __init__(
        self,
        config: RunConfig,
        clips: Tensor,
        batch: int,
        prepare: Callable = lambda network, optimizer: (network, optimizer),
        backward: Callable[[Tensor], None] = lambda loss: loss.backward(),
        clip: Callable = torch.nn.utils.clip_grad_norm_,
        optimizer: Callable = build_optimizer,
    ) -> None:
        self.c, self.clips, self.batch, self.at = config, clips, batch, 0
        self.backward, self.clip = backward, clip
        self.objective = adversarial.choose_objective(config.gan_loss, config.label_smoothing)
        generator, critic = build_guided_generator(config).to(clips.device), build_critic(config).to(clips.device)
        self.average = build_guided_generator(config).to(clips.device).requires_grad_(False)
        self.averaged, self.live = list(self.average.parameters()), list(generator.parameters())
        self.generator, self.optimizer_g = prepare(generator, optimizer(config, generator, config.lr))
        self.critic, self.optimizer_d = prepare(critic, optimizer(config, critic, config.disc_lr_value))

    def data(self) -> tuple[Tensor, Tensor, Tensor]:
        """Input, target and real `[B, D, T]`; the real is the next clip's target."""
        chosen = (torch.arange(self.batch, device=self.clips.device) + self.at) % len(self.clips)
        self.at += self.batch
        pair = self.clips[chosen]
        return pair[:, 0], pair[:, 1], pair[:, 1].roll(-1, 0)

    def step(self) -> None:
        source, target, real = self.data()
        fake = self.generator(self.noised(source), self.noised(target)).output_BDT
        self.critic_update(real, fake.detach())
        self.generator_update(source, target, real, fake)
        torch._foreach_lerp_(self.averaged, self.live, 1 - BETA)

    def noised(self, x_BDT: Tensor) -> Tensor:
        return 0.5 * x_BDT + 0.5 * x_BDT.std(dim=(1, 2), keepdim=True) * torch.randn_like(x_BDT)

    def critic_update(self, real: Tensor, fake: Tensor) -> None:
        c = self.c
        if c.r1_weight + c.r2_weight > 0:
            noise = torch.randn_like(real).repeat(2, 1, 1)
            joined = penalties.join_perturbed(real, fake, noise, c.penalty_sigma)
            real_B, fake_B, r1_B, r2_B = penalties.split_penalties(
                self.critic(joined, copies=2), c.penalty_sigma, real.shape[-1]
            )
            loss = 0.5 * c.r1_weight * r1_B.mean() + 0.5 * c.r2_weight * r2_B.mean()
        else:
            real_B, fake_B = self.critic(torch.cat([real, fake])).chunk(2)
            loss = 0.0
        loss = loss + self.objective.discriminator(real_B, fake_B).mean()
        if c.centring_weight > 0:
            loss = loss + c.centring_weight * adversarial.centring(real_B, fake_B).mean()
        self.update(loss, self.critic, self.optimizer_d, c.disc_grad_clip)

    def generator_update(self, source: Tensor, target: Tensor, real: Tensor, fake: Tensor) -> None:
        c = self.c
        measure = reconstruction.RECONSTRUCTION[c.loss_reconstruction]
        loss_B = c.loss_weight_input * measure(fake, source) + c.loss_weight_target * measure(fake, target)
        self.critic.requires_grad_(False)
        real_B = None
        if self.objective.needs_real_in_generator:
            with torch.no_grad():
                real_B = self.critic(real)
        loss = loss_B.mean() + c.gan_weight * self.objective.generator(real_B, self.critic(fake)).mean()
        self.critic.requires_grad_(True)
        self.update(loss, self.generator, self.optimizer_g, c.grad_clip)

    def update(self, loss: Tensor, network, optimizer, max_norm: float) -> None:
        optimizer.zero_grad(set_to_none=True)
        self.backward(loss)
        if max_norm > 0:
            self.clip(network.parameters(), max_norm)
        optimizer.step()
