"""How different the generated clips are from each other, and from the training clips, without decoding any.

A clip becomes a row of cheap statistics of its latents: level, spread and movement of every channel. Rows are measured
in standard deviations of training clips, and the distances are those of `monitoring.metrics`.
N clips, D channels, T frames, F = 4 D statistics.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from data.cache import LatentPairs, LatentReadError
from monitoring.metrics import diversity_ratio, nearest_train_ratio
from training.steps import Game

SHOWN = 64  # generated clips compared at a validation
KNOWN = 512  # training clips that the nearest one is looked for among
FEWEST = 4
SLOW_FRAMES = (8, 32)  # 0.1 s and 0.4 s


def clip_statistics(latents_BDT: Tensor) -> Tensor:
    """[B, 4 D]: mean and deviation over time, and the deviation of averages over 8 and 32 frames."""
    slow = [_slow_std(latents_BDT, frames) for frames in SLOW_FRAMES]
    return torch.cat([latents_BDT.mean(-1), latents_BDT.std(-1, correction=0), *slow], dim=1)


def _slow_std(latents_BDT: Tensor, frames: int) -> Tensor:
    frames = min(frames, latents_BDT.shape[-1])
    return avg_pool1d(latents_BDT, frames, ceil_mode=True).std(-1, correction=0)


class DiversityGauge:
    """Judges generated clips against held-out and training targets, which are read once, when first needed."""

    def __init__(self, game: Game, train: LatentPairs, held_out: LatentPairs, frames: int) -> None:
        self._game, self._train, self._held_out, self._frames = game, train, held_out, frames
        self._real: tuple[np.ndarray, np.ndarray] | None = None
        self._mean_F = self._std_F = np.zeros(1)

    @property
    def shown(self) -> int:
        """How many of the first validation pairs are compared; 0 where there are too few."""
        count = min(len(self._held_out), SHOWN)
        return count if count >= FEWEST else 0

    def __call__(self, statistics_NF: np.ndarray) -> dict[str, float]:
        """From `clip_statistics` of clips generated out of the first `shown` validation pairs; empty where fewer than
        two of those, or of the training clips, can be read.

        diversity/ratio: mean distance of two generated clips over that of two held-out ones; 0: one clip repeated.
        diversity/nearest_train: median distance to the nearest training clip over that of held-out clips; 0: copies.
        """
        held_out_NF, train_KF = self._references()
        if min(len(held_out_NF), len(train_KF)) < 2:
            return {}
        generated_NF = self._scaled(statistics_NF)
        return {
            "diversity/ratio": diversity_ratio(generated_NF, held_out_NF),
            "diversity/nearest_train": nearest_train_ratio(generated_NF, held_out_NF, train_KF),
        }

    def _references(self) -> tuple[np.ndarray, np.ndarray]:
        if self._real is None:
            count = min(len(self._train), KNOWN)
            train = self._statistics(self._train, np.linspace(0, len(self._train) - 1, count).astype(int))
            held_out = self._statistics(self._held_out, range(self.shown))
            if len(train):
                self._mean_F, self._std_F = train.mean(0), train.std(0) + 1e-6
            self._real = self._scaled(held_out), self._scaled(train)
        return self._real

    def _scaled(self, statistics_NF: np.ndarray) -> np.ndarray:
        return (statistics_NF - self._mean_F) / self._std_F

    def _statistics(self, pairs: LatentPairs, chosen) -> np.ndarray:
        """Targets of the chosen pairs, cut from the middle as validation cuts them."""
        start = (pairs.frames - self._frames) // 2
        rows = []
        for i in chosen:
            try:
                clip_DT = pairs.target(int(i))
            except LatentReadError:  # told where the clip is trained or validated on
                continue
            clip_1DT = torch.from_numpy(clip_DT[None, :, start : start + self._frames].astype("float32"))
            rows.append(clip_statistics(self._game.normalise(clip_1DT)).double().cpu().numpy()[0])
        return np.stack(rows) if rows else np.zeros((0, 4 * len(pairs.mean)))
