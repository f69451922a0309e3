"""The part of evaluate.py for pictures: distances of generated pictures from real ones beside a ladder.

Shapes: N pictures, H rows, W columns, C channels; F features.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from errors import UserError
from evaluation.ladder import misordered
from evaluation.scorer import Described, Scorer
from kinds.images.features import picture_features
from kinds.images.pairs import ImagePairs, to_sample
from kinds.images.render import check, pictures_from_noise
from kinds.images.rungs import ORDER, RUNGS, make_rung
from synthesis.draws import plain
from synthesis.loading import LoadedGenerator

FEWEST = 16


@dataclass(frozen=True)
class Measured:
    """{set: {metric: {"value", "low", "high"}}}, the metrics that do not rank the ladder correctly and why, remarks."""

    sets: dict[str, dict]
    broken: dict[str, list[str]]
    remarks: list[str]
    count: int
    rungs: tuple[str, ...] = RUNGS


def measure(
    generators: dict[str, LoadedGenerator], train_dir: Path, val_dir: Path, num: int, rounds: int = 100, seed: int = 0
) -> Measured:
    """Pictures of each generator, and the rungs, against held-out pictures, all sets of one size.

    Raises:
        UserError: a dataset is not there, has too few pictures, or pictures of another size than a generator's.
    """
    train, held_out = ImagePairs(train_dir), ImagePairs(val_dir)
    count = min(num, len(train), len(held_out))
    if count < FEWEST:
        raise UserError(f"too few images to compare ({count}): give at least {FEWEST} for training and validation each")
    for name, loaded in generators.items():
        check(loaded)
        if tuple(loaded.space.shape) != train.shape:
            raise UserError(f"{name} makes images of {loaded.space.shape}, {train_dir} holds {train.shape}")
    rng = np.random.default_rng(seed)
    reference = held_out.pictures(np.sort(rng.permutation(len(held_out))[:count]))
    known = train.pictures(rng.permutation(len(train))[: 4 * count])  # in which copies are searched
    start = known[:count]
    scorer = Scorer(_features(reference), _features(known))
    made = {name: pictures_from_noise(loaded, plain(seed, count)) for name, loaded in generators.items()}
    if train.shape[0] == 1:
        made = {name: pictures[..., :1] for name, pictures in made.items()}
    rungs = {rung: make_rung(rung, start, seed) for rung in RUNGS}
    sets = {name: scorer.score(_described(pictures), rounds, seed) for name, pictures in (made | rungs).items()}
    for values in sets.values():  # of sounds
        values.pop("silent"), values.pop("clipped")
    values = {rung: {metric: entry["value"] for metric, entry in sets[rung].items()} for rung in RUNGS}
    remarks = [f"{count} images per set instead of {num}: there are no more"] if count < num else []
    return Measured(sets, misordered(values, ORDER), remarks, count)


def _features(pictures_NHWC: np.ndarray) -> np.ndarray:
    samples_BCHW = torch.from_numpy(np.stack([to_sample(picture) for picture in pictures_NHWC]))
    return picture_features(samples_BCHW).double().numpy()


def _described(pictures_NHWC: np.ndarray) -> Described:
    none_N = np.zeros(len(pictures_NHWC), bool)
    return Described(_features(pictures_NHWC), none_N, none_N)
