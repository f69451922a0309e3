"""Validation on clean targets at three noise levels, with the weight average, shared out among the ranks."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from data.cache import LatentPairs, LatentReadError
from losses.reconstruction import RECONSTRUCTION
from runtime.seeding import Purpose, mix_seed
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
    """Weighted regression loss to clean input and target at each named alpha, the mean over all validation pairs; at
    the alpha named "current" also the discriminator's verdict and the diversity of what generation makes from there,
    in all its passes.

    The noise of a pair is the same at every validation, so that losses may be compared between epochs. `frames`
    from the clips' middle are used, the length of a training crop. `go_on` is asked before every batch, on all ranks
    together. Pairs that cannot be read are left out and entered in `bad` (name -> why).

    Returns:
        None if `go_on` said no, else
        {"val/<name>": loss} for each alpha, "val/d_loss", "val/d_accuracy" (of pairs, where the objective compares
        pairs) unless `with_discriminator` is False, and the figures of `DiversityGauge` where there are enough clips.
    """
    c = game.config
    names, levels = list(alphas), list(alphas.values())
    mine = list(range(game.ranks.rank, len(pairs), game.ranks.world))
    sums = torch.zeros(len(levels) + 3, dtype=torch.float64)
    statistics_NF = torch.zeros(gauge.shown, 4 * len(pairs.mean) + 1, dtype=torch.float64)  # last: there is a clip
    seed = mix_seed(c.seed, Purpose.VALIDATION)
    measure = RECONSTRUCTION[c.loss_reconstruction]
    for start in range(0, -(-len(pairs) // game.ranks.world), c.batch_size):  # as often on every rank
        if not go_on():
            return None
        chosen = readable(pairs, mine[start : start + c.batch_size], {} if bad is None else bad)
        if not chosen:
            continue
        input_BDT, target_BDT = (game.normalise(x) for x in middle_of(pairs, chosen, frames, c.unity_test))
        for k, alpha in enumerate(levels):
            sources = noised_sources(c, input_BDT, target_BDT, alpha, chosen, seed)
            sources = masked_sources(c, *sources, chosen, seed)
            with game.autocast():
                output_BDT = averaged(*sources).output_BDT.float()
            input_weight, target_weight = regression_weights(c)
            loss_B = input_weight * measure(output_BDT, input_BDT) + target_weight * measure(output_BDT, target_BDT)
            sums[k] += loss_B.double().sum().cpu()
            if names[k] != "current":
                continue
            if c.passes > 1:
                output_BDT = in_passes(c, lambda a, b: averaged(a, b).output_BDT.float(), *sources, alpha)
            if with_discriminator:
                sums[-3:-1] += discriminator_verdict(game, target_BDT, output_BDT)
            rows_BF = clip_statistics(output_BDT).double().cpu()
            for i, row_F in zip(chosen, rows_BF, strict=True):
                if i < gauge.shown:
                    statistics_NF[i] = torch.cat([row_F, torch.ones_like(row_F[:1])])
        sums[-1] += len(chosen)
    means = (sums := game.ranks.sum(sums)) / sums[-1]
    figures = {f"val/{name}": float(means[k]) for k, name in enumerate(names)}
    if with_discriminator:
        figures |= {"val/d_loss": float(means[-3]), "val/d_accuracy": float(means[-2])}
    return figures | diversity_figures(game, gauge, statistics_NF)


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
