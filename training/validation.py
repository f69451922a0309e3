"""Validation on clean targets at three noise levels, with the weight average, shared out among the ranks."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from curriculum.pure_gan import ease_alpha
from data.cache import LatentPairs, LatentReadError
from losses.reconstruction import RECONSTRUCTION
from runtime.seeding import Purpose, mix_seed, uniform
from training.diversity import DiversityGauge, clip_statistics
from training.passes import in_passes
from training.steps import Game, masked_sources, noised_sources


@torch.no_grad()
def validate(
    game: Game,
    averaged: torch.nn.Module,
    pairs: LatentPairs,
    frames: int,
    alphas: dict[str, float],
    gauge: DiversityGauge,
    with_discriminator: bool = True,
    go_on: Callable[[], bool] = lambda: True,
    bad: dict[str, str] | None = None,
) -> dict[str, float] | None:
    """Weighted regression loss to clean input and target at each named alpha, the mean over all validation pairs; for
    the alpha named "current" with `easy_share` of the pairs eased, as in training, so that a run which knows every
    mixture is judged by all of them. Also the discriminator's verdict and the diversity of what generation makes from
    the current alpha, in all its passes.

    The noise of a pair is the same at every validation, so that losses may be compared between epochs. `frames`
    from the clips' middle are used, the length of a training crop. `go_on` is asked before every batch, on all ranks
    together. Pairs that cannot be read are left out and entered in `bad` (name -> why).

    Returns:
        None if `go_on` said no, else
        {"val/<name>": loss} for each alpha, "val/d_loss", "val/d_accuracy" (of pairs, where the objective compares
        pairs) unless `with_discriminator` is False, and the figures of `DiversityGauge` where there are enough clips.
    """
    c = game.config
    mine = list(range(game.ranks.rank, len(pairs), game.ranks.world))
    sums = torch.zeros(len(alphas) + 3, dtype=torch.float64)
    statistics_NF = torch.zeros(gauge.shown, 4 * len(pairs.mean) + 1, dtype=torch.float64)  # last: there is a clip
    seed = mix_seed(c.seed, Purpose.VALIDATION)
    for start in range(0, -(-len(pairs) // game.ranks.world), c.batch_size):  # as often on every rank
        if not go_on():
            return None
        chosen = readable(pairs, mine[start : start + c.batch_size], {} if bad is None else bad)
        if not chosen:
            continue
        clean = [game.normalise(x) for x in middle_of(pairs, chosen, frames, c.unity_test)]
        for k, (name, alpha) in enumerate(alphas.items()):
            alpha_B = eased(c, alpha, chosen, seed, clean[0].device) if name == "current" else alpha
            sums[k] += regression(game, averaged, *clean, alpha_B, chosen, seed).double().sum().cpu()
        made_BDT = generated(game, averaged, *clean, alphas["current"], chosen, seed)
        if with_discriminator:
            sums[-3:-1] += discriminator_verdict(game, clean[1], made_BDT)
        for i, row_F in zip(chosen, clip_statistics(made_BDT).double().cpu(), strict=True):
            if i < gauge.shown:
                statistics_NF[i] = torch.cat([row_F, torch.ones_like(row_F[:1])])
        sums[-1] += len(chosen)
    means = (sums := game.ranks.sum(sums)) / sums[-1]
    figures = {f"val/{name}": float(means[k]) for k, name in enumerate(alphas)}
    if with_discriminator:
        figures |= {"val/d_loss": float(means[-3]), "val/d_accuracy": float(means[-2])}
    return figures | diversity_figures(game, gauge, statistics_NF)


def eased(config, alpha: float, chosen: list[int], seed: int, device: torch.device) -> float | Tensor:
    """The alphas that training would draw for these pairs where the schedule stands at `alpha`."""
    if config.easy_share == 0:
        return alpha
    uniform_B2 = uniform(seed, Purpose.EASY, chosen, (2,), device)
    return ease_alpha(torch.full((len(chosen),), alpha, device=device), uniform_B2, config.easy_share)


def regression(
    game: Game,
    averaged: torch.nn.Module,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float | Tensor,
    chosen: list[int],
    seed: int,
) -> Tensor:
    """The weighted regression loss [B] of one pass from a share `alpha` of noise."""
    measure = RECONSTRUCTION[game.config.loss_reconstruction]
    output_BDT = one_pass(game, averaged, *mixed(game.config, input_BDT, target_BDT, alpha, chosen, seed))
    input_weight, target_weight = regression_weights(game.config)
    return input_weight * measure(output_BDT, input_BDT) + target_weight * measure(output_BDT, target_BDT)


def generated(
    game: Game,
    averaged: torch.nn.Module,
    input_BDT: Tensor,
    target_BDT: Tensor,
    alpha: float,
    chosen: list[int],
    seed: int,
) -> Tensor:
    """[B, D, T] as generation makes them from a share `alpha` of noise: in all passes."""
    sources = mixed(game.config, input_BDT, target_BDT, alpha, chosen, seed)
    return in_passes(game.config, partial(one_pass, game, averaged), *sources, alpha, within=game.within)


def mixed(
    config, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor, chosen: list[int], seed: int
) -> tuple[Tensor, Tensor]:
    """Both sources with noise and masks, as in training."""
    sources = noised_sources(config, input_BDT, target_BDT, alpha, chosen, seed)
    return masked_sources(config, *sources, chosen, seed)


def one_pass(game: Game, averaged: torch.nn.Module, input_BDT: Tensor, target_BDT: Tensor) -> Tensor:
    with game.autocast():
        return averaged(input_BDT, target_BDT).output_BDT.float()


def discriminator_verdict(game: Game, real_BDT: Tensor, fake_BDT: Tensor) -> Tensor:
    """[loss, accuracy] of the discriminator on held-out reals and fakes, summed over the batch; without dropout."""
    was_training = game.discriminator.training
    game.discriminator.eval()
    try:
        real_B, fake_B = game.discriminator(torch.cat([real_BDT, fake_BDT])).chunk(2)
    finally:
        game.discriminator.train(was_training)
    loss_B = game.objective.discriminator(real_B, fake_B)
    if game.objective.compares_pairs:
        right_B = (real_B > fake_B).double()
    else:
        right_B = 0.5 * ((real_B > game.objective.boundary).double() + (fake_B <= game.objective.boundary).double())
    return torch.stack([loss_B.double().sum(), right_B.sum()]).cpu()


def diversity_figures(game: Game, gauge: DiversityGauge, statistics_NF: Tensor) -> dict[str, float]:
    """The gauge's figures, read by rank 0 from all ranks' clips."""
    if not gauge.shown:
        return {}
    joined_NF = game.ranks.sum(statistics_NF).numpy()
    made_NF = joined_NF[joined_NF[:, -1] > 0, :-1]
    usable = game.ranks.is_main and len(made_NF) > 1 and bool(np.isfinite(made_NF).all())
    return game.ranks.from_main(gauge(made_NF) if usable else {})


def regression_weights(config) -> tuple[float, float]:
    """The configured weights; equal ones where a run trains without regression but wants to see the loss."""
    weights = config.loss_weight_input, config.loss_weight_target
    return weights if sum(weights) > 0 else (0.5, 0.5)


def readable(pairs: LatentPairs, chosen: list[int], bad: dict[str, str]) -> list[int]:
    """Those of the chosen pairs that can be read; the others are entered in `bad`."""
    good = []
    for i in chosen:
        try:
            pairs.input(i), pairs.target(i)
            good.append(i)
        except LatentReadError as error:
            bad[error.clip] = str(error)
    return good


def middle_of(pairs: LatentPairs, chosen: list[int], frames: int, unity_test: bool = False) -> tuple[Tensor, Tensor]:
    """Input and target `[B, D, frames]` of the chosen pairs, cut from the middle of the clips."""
    start = (pairs.frames - frames) // 2
    piece = slice(start, start + frames)
    inputs = [torch.from_numpy(pairs.input(i)[:, piece].astype("float32")) for i in chosen]
    targets = inputs if unity_test else [torch.from_numpy(pairs.target(i)[:, piece].astype("float32")) for i in chosen]
    return torch.stack(inputs), torch.stack(targets)
