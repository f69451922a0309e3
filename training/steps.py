"""The two updates of adversarial training, on clean reals and clean targets.

The generator runs once per step: the discriminator learns from its detached output, then judges the same output for
the generator's own update. Noise enters the generator's sources here and nowhere else.

Legend: B samples of this rank, D latent channels, T frames; sources are normalised latents.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from audio_codecs.base import Codec
from config import RunConfig
from curriculum.pure_gan import mix_noise, sample_std
from losses import adversarial, features, masks, penalties, reconstruction
from models.agents import VIEWS
from models.masks import fixed_masks, uniforms_needed
from runtime.distributed import Ranks
from runtime.seeding import Purpose, normal, uniform
from training.networks import Generated
from training.noise import SOURCES, source_noise
from training.optimizers import Updater
from training.plan import Plan


@dataclass
class View:
    """A batch as the networks see it: normalised; sources noised and masked for the generator, the rest clean."""

    source_input_BDT: Tensor
    source_target_BDT: Tensor
    input_BDT: Tensor
    target_BDT: Tensor
    real_BDT: Tensor
    indices: list[int]


@dataclass
class Game:
    """The two players, their updates, and what they need to know."""

    config: RunConfig
    ranks: Ranks
    generator: nn.Module  # bare
    discriminator: nn.Module  # bare
    wrapped_generator: Callable  # averages gradients over ranks
    wrapped_discriminator: Callable
    update_g: Updater
    update_d: Updater
    mean_D1: Tensor
    std_D1: Tensor
    within: Callable[[Tensor], Tensor] = lambda latents_BDT: latents_BDT  # the range of real ones
    codec: Codec | None = None
    measure_audio: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]] | None = None
    objective: adversarial.Objective = field(init=False)

    def __post_init__(self) -> None:
        self.objective = adversarial.choose_objective(self.config.gan_loss, self.config.label_smoothing)

    def normalise(self, latents_BDT: Tensor) -> Tensor:
        return (latents_BDT.to(self.ranks.device, non_blocking=True) - self.mean_D1) / self.std_D1

    def autocast(self):
        if self.config.amp == "off":
            return nullcontext()
        return torch.autocast(self.ranks.device.type, dtype=torch.bfloat16)

    def _noise(self, purpose: Purpose, indices: list[int], like_BDT: Tensor) -> Tensor:
        return normal(self.config.seed, purpose, indices, like_BDT.shape[1:], like_BDT.device)


def noised_sources(
    config: RunConfig, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor, indices: list[int], seed: int
) -> tuple[Tensor, Tensor]:
    """Both sources as the curriculum mixes them: one function for training, validation and generation."""
    preserve = config.noise_mix == "variance_preserving"
    if not isinstance(alpha, Tensor) and alpha == 0:
        return input_BDT, target_BDT
    noise_i, noise_t = (
        source_noise(config, seed, purpose, indices, input_BDT.shape[1:], input_BDT.device) for purpose in SOURCES
    )
    return mix_noise(input_BDT, alpha, noise_i, preserve), mix_noise(target_BDT, alpha, noise_t, preserve)


def masked_sources(
    config: RunConfig, input_BDT: Tensor, target_BDT: Tensor, indices: list[int], seed: int
) -> tuple[Tensor, Tensor]:
    """Sources under the fixed, complementary masks of `--mask_type`."""
    if config.mask_type == "none":
        return input_BDT, target_BDT
    needed = uniforms_needed(config.mask_type, input_BDT.shape[1])
    masked = fixed_masks(
        config.mask_type,
        input_BDT,
        target_BDT,
        uniform_BK=uniform(seed, Purpose.MASK, indices, (needed,), input_BDT.device),
        temporal_segment=config.mask_temporal_segment,
        freq_split=config.mask_freq_split,
        channel_keep=config.mask_channel_keep,
        energy_threshold=config.mask_energy_threshold,
    )
    return masked.masked_input, masked.masked_target


def look(game: Game, batch, plan: Plan) -> View:
    """The batch, normalised on the device, with the step's noise and masks on the generator's sources."""
    config = game.config
    clean = [game.normalise(x) for x in (batch.input_BDT, batch.target_BDT, batch.real_BDT)]
    alpha = plan.alpha_B if config.pure_gan_mode > 0 else 0.0
    sources = noised_sources(config, clean[0], clean[1], alpha, batch.indices, config.seed)
    sources = masked_sources(config, *sources, batch.indices, config.seed)
    return View(*sources, *clean, batch.indices)


def train_step(game: Game, batch, plan: Plan) -> dict[str, Tensor]:
    """One step of both players. Returns named scalars on the device, of this rank's samples."""
    view = look(game, batch, plan)
    with game.autocast(), torch.set_grad_enabled(plan.train_g):
        made: Generated = game.wrapped_generator(view.source_input_BDT, view.source_target_BDT)
    made = Generated(*(None if x is None else x.float() for x in made))
    figures = {"latents/fake_mean": made.output_BDT.mean(), "latents/fake_std": sample_std(made.output_BDT).mean()}
    figures |= {"latents/real_mean": view.real_BDT.mean(), "latents/real_std": sample_std(view.real_BDT).mean()}
    if plan.train_d:
        figures |= discriminator_step(game, view, made.output_BDT.detach(), plan)
    if plan.train_g:
        figures |= generator_step(game, view, made, plan)
    return {name: value.detach() for name, value in figures.items()}


def discriminator_step(game: Game, view: View, fake_BDT: Tensor, plan: Plan) -> dict[str, Tensor]:
    """One update of the discriminator on clean reals and detached fakes."""
    c, frames = game.config, fake_BDT.shape[-1]
    real_BDT = shown_to_discriminator(game, view.real_BDT, view.indices, Purpose.INSTANCE_REAL, plan)
    fake_BDT = shown_to_discriminator(game, fake_BDT, view.indices, Purpose.INSTANCE_FAKE, plan)
    penalised = plan.penalty_factor * (c.r1_weight + c.r2_weight) > 0
    r1_B = r2_B = None
    if penalised and c.penalty_form == "finite":
        noise_NDT = _penalty_noise(game, view.indices, real_BDT)
        joined_BDT = penalties.join_perturbed(real_BDT, fake_BDT, noise_NDT, c.penalty_sigma)
        logits = game.wrapped_discriminator(joined_BDT, copies=2)
        real_B, fake_B, r1_B, r2_B = penalties.split_penalties(logits, c.penalty_sigma, frames)
    else:
        joined_BDT = torch.cat([real_BDT, fake_BDT]).requires_grad_(penalised)
        logits = game.wrapped_discriminator(joined_BDT)
        real_B, fake_B = logits.chunk(2)
        if penalised:
            r1_B, r2_B = penalties.exact_penalty(logits, joined_BDT).chunk(2)
    share_B = plan.game_share_B
    loss = in_game(game.objective.discriminator(real_B, fake_B), share_B)
    figures = {"loss/d": loss, "weight/game": share_B.mean()}
    figures |= discriminator_figures(real_B, fake_B, share_B, game.objective.boundary)
    if penalised:
        figures |= {"loss/r1": r1_B.mean(), "loss/r2": r2_B.mean()}
        loss = loss + 0.5 * plan.penalty_factor * (c.r1_weight * r1_B.mean() + c.r2_weight * r2_B.mean())
    if c.gan_loss == "wgan-gp":
        uniform_B = uniform(c.seed, Purpose.INTERPOLATE, view.indices, (), real_BDT.device)
        gp = penalties.interpolate_penalty(game.wrapped_discriminator, real_BDT, fake_BDT, uniform_B).mean()
        figures["loss/gp"] = gp
        loss = loss + c.gp_weight * gp
    if c.centring_weight > 0:
        figures["loss/centring"] = adversarial.centring(real_B, fake_B).mean()
        loss = loss + c.centring_weight * figures["loss/centring"]
    figures["loss/d_total"] = loss
    figures["grad_norm/d"] = game.update_d(loss, plan.lr_d)
    return figures


def _penalty_noise(game: Game, indices: list[int], like_BDT: Tensor) -> Tensor:
    """[2 B, D, T]: reals and fakes are disturbed by the same directions, drawn once."""
    noise_BDT = game._noise(Purpose.PENALTY, indices, like_BDT)
    return torch.cat([noise_BDT, noise_BDT])


def shown_to_discriminator(game: Game, x_BDT: Tensor, indices: list[int], purpose: Purpose, plan: Plan) -> Tensor:
    """What the discriminator sees: the clip itself, under instance noise where asked for (the same level for all)."""
    if plan.instance_noise == 0:
        return x_BDT
    return x_BDT + plan.instance_noise * game._noise(purpose, indices, x_BDT)


def in_game(figure_B: Tensor, share_B: Tensor) -> Tensor:
    """The mean of a figure, every sample weighed by what it counts in the game; `told` divides by the mean weight."""
    return (share_B * figure_B).mean()


def told(figures: dict[str, float]) -> dict[str, float]:
    """The figures of `train_step`, averaged over all ranks, as they are told: those of the game are means over what
    counts in it. So they are the same for any number of ranks, and `loss/d` compares with its baseline."""
    weight = figures.get("weight/game")
    if not weight:
        return figures
    of_game = {name for name in figures if name.startswith("d/")} | {"loss/d", "loss/g_adv", "loss/features"}
    return {name: value / weight if name in of_game else value for name, value in figures.items()}


def discriminator_figures(real_B: Tensor, fake_B: Tensor, share_B: Tensor, boundary: float = 0.0) -> dict[str, Tensor]:
    """What the monitor wants to know of the logits: probabilities, shares that are called real, accuracy, the critic's
    gap; each `in_game`. A logit of `boundary` is undecided, a probability of a half."""
    real_sign, fake_sign = (in_game((x_B > boundary).float(), share_B) for x_B in (real_B, fake_B))
    return {
        "d/real_prob": in_game((real_B - boundary).sigmoid(), share_B),
        "d/fake_prob": in_game((fake_B - boundary).sigmoid(), share_B),
        "d/real_sign": real_sign,
        "d/fake_sign": fake_sign,
        "d/accuracy": 0.5 * (real_sign + share_B.mean() - fake_sign),
        "d/pair_accuracy": in_game((real_B > fake_B).float(), share_B),
        "d/gap": in_game(real_B - fake_B, share_B),
    }


def generator_step(game: Game, view: View, made: Generated, plan: Plan) -> dict[str, Tensor]:
    """One update of the generator (and its agent) against clean targets and the discriminator's judgement."""
    c = game.config
    regression_B, figures = regression(game, view, made.output_BDT, plan)
    loss = (plan.recon_weight_B * regression_B).mean()
    figures["loss/recon"] = regression_B.mean()
    figures["weight/recon"] = plan.recon_weight_B.mean()
    if plan.gan_weight > 0:
        adversarial_loss, more = judged(game, view, made.output_BDT, plan)
        figures |= more
        loss = loss + plan.gan_weight * adversarial_loss
    if made.mask_input_BDT is not None:
        masks_of = (made.mask_input_BDT, made.mask_target_BDT)
        figures["loss/mask_reg"] = masks.mask_regularisation(*masks_of).mean()
        figures["loss/balance"] = masks.mask_balance(*masks_of).mean()
        figures["mask/complementarity"] = masks.complementarity(*masks_of).mean()
        figures["mask/baseline"] = torch.full_like(loss, masks.COMPLEMENTARITY_BASELINE)
        loss = loss + c.mask_reg_weight * figures["loss/mask_reg"] + c.balance_loss_weight * figures["loss/balance"]
    if made.view_weights_BV is not None:
        figures |= {f"view/{view}": weight for view, weight in zip(VIEWS, made.view_weights_BV.mean(0), strict=True)}
    figures["loss/g_total"] = loss
    figures["grad_norm/g"] = game.update_g(loss, plan.lr_g)
    return figures


def regression(game: Game, view: View, output_BDT: Tensor, plan: Plan) -> tuple[Tensor, dict[str, Tensor]]:
    """Weighted regression to clean input and target, per sample, in latents and (on some steps) in audio."""
    c, figures = game.config, {}
    loss_B = output_BDT.new_zeros(len(output_BDT))
    if c.recon_domain == "latent":
        measure = reconstruction.RECONSTRUCTION[c.loss_reconstruction]
        input_B, target_B = measure(output_BDT, view.input_BDT), measure(output_BDT, view.target_BDT)
        figures |= {"loss/input": input_B.mean(), "loss/target": target_B.mean()}
        loss_B = loss_B + c.loss_weight_input * input_B + c.loss_weight_target * target_B
    if plan.decode:
        latents = (x * game.std_D1 + game.mean_D1 for x in (output_BDT, view.input_BDT, view.target_BDT))
        audio_B, more = game.measure_audio(*latents)
        figures |= {name: value_B.mean() for name, value_B in more.items()}
        # Measured on every k-th step only, so that step carries the weight of k.
        loss_B = loss_B + c.decode_every * audio_B
    return loss_B, figures


def judged(game: Game, view: View, output_BDT: Tensor, plan: Plan) -> tuple[Tensor, dict[str, Tensor]]:
    """The adversarial loss of the output, the discriminator frozen and bare so that its reducer is not touched."""
    c, objective, share_B = game.config, game.objective, plan.game_share_B
    figures = {"weight/game": share_B.mean()}  # also on steps that leave the discriminator as it is
    shown = shown_to_discriminator(game, output_BDT, view.indices, Purpose.INSTANCE_FAKE, plan)
    real_B = real_features = None
    wants_features = c.feature_matching_weight > 0
    game.discriminator.requires_grad_(False)
    try:
        if objective.needs_real_in_generator or wants_features:
            with torch.no_grad():
                real = shown_to_discriminator(game, view.real_BDT, view.indices, Purpose.INSTANCE_REAL, plan)
                real_B, real_features = game.discriminator(real, return_features=True)
        fake_B, fake_features = game.discriminator(shown, return_features=True)
    finally:
        game.discriminator.requires_grad_(True)
    loss = figures["loss/g_adv"] = in_game(objective.generator(real_B, fake_B), share_B)
    if wants_features:
        figures["loss/features"] = in_game(features.feature_matching(real_features, fake_features), share_B)
        loss = loss + c.feature_matching_weight * figures["loss/features"]
    return loss, figures
