"""Validation on clean targets at three noise levels, with the weight average, shared out among the ranks."""

import torch
from torch import Tensor

from data.cache import LatentPairs
from losses.reconstruction import RECONSTRUCTION
from runtime.seeding import Purpose, mix_seed
from training.steps import Game, masked_sources, noised_sources


@torch.no_grad()
def validate(
    game: Game, averaged: torch.nn.Module, pairs: LatentPairs, frames: int, alphas: dict[str, float]
) -> dict[str, float]:
    """Weighted regression loss to clean input and target at each named alpha, the mean over all validation pairs.

    The noise of a pair is the same at every validation, so that losses may be compared between epochs. `frames`
    from the clips' middle are used, the length of a training crop.

    Returns:
        {"val/<name>": loss} for each alpha.
    """
    c = game.config
    names, levels = list(alphas), list(alphas.values())
    mine = list(range(game.ranks.rank, len(pairs), game.ranks.world))
    sums = torch.zeros(len(levels) + 1, dtype=torch.float64)
    seed = mix_seed(c.seed, Purpose.VALIDATION)
    measure = RECONSTRUCTION[c.loss_reconstruction]
    for start in range(0, len(mine), c.batch_size):
        chosen = mine[start : start + c.batch_size]
        input_BDT, target_BDT = (game.normalise(x) for x in middle_of(pairs, chosen, frames, c.unity_test))
        for k, alpha in enumerate(levels):
            sources = noised_sources(c, input_BDT, target_BDT, alpha, chosen, seed)
            sources = masked_sources(c, *sources, chosen, seed)
            with game.autocast():
                output_BDT = averaged(*sources).output_BDT.float()
            input_weight, target_weight = regression_weights(c)
            loss_B = input_weight * measure(output_BDT, input_BDT) + target_weight * measure(output_BDT, target_BDT)
            sums[k] += loss_B.double().sum().cpu()
        sums[-1] += len(chosen)
    sums = game.ranks.sum(sums)
    return {f"val/{name}": float(sums[k] / sums[-1]) for k, name in enumerate(names)}


def regression_weights(config) -> tuple[float, float]:
    """The configured weights; equal ones where a run trains without regression but wants to see the loss."""
    weights = config.loss_weight_input, config.loss_weight_target
    return weights if sum(weights) > 0 else (0.5, 0.5)


def middle_of(pairs: LatentPairs, chosen: list[int], frames: int, unity_test: bool = False) -> tuple[Tensor, Tensor]:
    """Input and target `[B, D, frames]` of the chosen pairs, cut from the middle of the clips."""
    start = (pairs.frames - frames) // 2
    piece = slice(start, start + frames)
    inputs = [torch.from_numpy(pairs.input(i)[:, piece].astype("float32")) for i in chosen]
    targets = inputs if unity_test else [torch.from_numpy(pairs.target(i)[:, piece].astype("float32")) for i in chosen]
    return torch.stack(inputs), torch.stack(targets)
