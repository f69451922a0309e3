"""The endless stream of training samples, whose whole state is one integer.

Global sample index i belongs to epoch `i // n + 1` and is the `i % n`-th of that epoch's seeded order. What a sample
holds (pair, partner, crop) depends on (seed, i) alone: each rank takes a consecutive part of a batch, and a run that is
resumed, with any number of ranks, continues at the next index, so no sample is repeated or left out.

Legend: B samples of this rank, D channels, T positions (audio: frames); samples may have more axes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data.pairs import Pairs, ReadError
from runtime.seeding import Purpose, mix_seed

_TRIES = 64  # samples tried in place of one that cannot be read


@dataclass
class Batch:
    """One rank's share of a global batch; samples as the kind of data provides them, clean, float32.

    `real_BDT` holds the target of the next item in the global batch, so that the discriminator's reals do not depend
    on how the batch is divided among ranks. `labels` and `real_labels` are [B] by name. `bad` holds samples that could
    not be read and were replaced (name -> why); `lost` is true if no replacement could be read either; the batch is
    then unusable.
    """

    input_BDT: Tensor
    target_BDT: Tensor
    real_BDT: Tensor
    indices: list[int]
    labels: dict[str, Tensor] = field(default_factory=dict)
    real_labels: dict[str, Tensor] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    lost: bool = False

    def pin_memory(self) -> "Batch":
        pinned = {name: getattr(self, name).pin_memory() for name in ("input_BDT", "target_BDT", "real_BDT")}
        labels = {
            kind: {name: value.pin_memory() for name, value in getattr(self, kind).items()}
            for kind in ("labels", "real_labels")
        }
        return replace(self, **pinned, **labels)


class Sample(NamedTuple):
    """One sample as it is read: clean input and target, the labels of the pair that gave each."""

    input: np.ndarray
    target: np.ndarray
    labels: Mapping[str, float]
    target_labels: Mapping[str, float]


@lru_cache(maxsize=4)
def _order(seed: int, purpose: Purpose, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng(mix_seed(seed, purpose, epoch)).permutation(n)


class SampleStream(torch.utils.data.Dataset):
    """Samples by global index: `stream[i] -> (input, target)`, float32.

    Args:
        shuffle_targets: pair each input with the target of another pair, newly drawn each epoch.
        unity_test: the target is the input.
    """

    def __init__(self, pairs: Pairs, seed: int, *, shuffle_targets: bool = False, unity_test: bool = False) -> None:
        self.pairs, self.seed = pairs, seed
        self.shuffle_targets, self.unity_test = shuffle_targets, unity_test

    def __len__(self) -> int:
        return len(self.pairs)

    def epoch_of(self, index: int) -> int:
        """The epoch, from 1, that a global sample index belongs to."""
        return index // len(self.pairs) + 1

    def pair_of(self, index: int, shift: int = 0) -> tuple[int, int]:
        """Which pair gives the input and which the target; `shift` places further on in the same epoch's order."""
        n, epoch = len(self.pairs), self.epoch_of(index)
        place = (index + shift) % n
        source = int(_order(self.seed, Purpose.ORDER, epoch, n)[place])
        partner = int(_order(self.seed, Purpose.PARTNER, epoch, n)[place]) if self.shuffle_targets else source
        return source, partner

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        sample = self.read(index, {})
        return sample.input.astype(np.float32), sample.target.astype(np.float32)

    def read(self, index: int, bad: dict[str, str]) -> Sample:
        """Sample `index`, in the precision it is stored in. A sample that
        cannot be read is replaced by the epoch's next one, identically on all ranks and in every resumed run; it is
        added to `bad` (name -> why).

        Raises:
            ReadError: the samples that would replace it cannot be read either.
        """
        for shift in range(min(_TRIES, len(self.pairs))):
            try:
                return self._piece(index, *self.pair_of(index, shift))
            except ReadError as error:
                bad[error.sample] = str(error)
        raise ReadError(next(reversed(bad.values())), next(reversed(bad)))

    def _piece(self, index: int, source: int, partner: int) -> Sample:
        pairs, draw = self.pairs, mix_seed(self.seed, Purpose.CROP, index)
        piece, labels = pairs.cut(pairs.input(source), draw).copy(), pairs.labels(source)
        if self.unity_test:
            return Sample(piece, piece, labels, labels)
        others = labels if partner == source else pairs.labels(partner)
        return Sample(piece, pairs.cut(pairs.target(partner), draw).copy(), labels, others)


class Shares(torch.utils.data.Dataset):
    """Whole batches, selected by their indices (see `rank_indices`)."""

    def __init__(self, stream: SampleStream) -> None:
        self.stream = stream

    def __getitem__(self, indices: list[int]) -> Batch:
        samples, bad, lost = [], {}, False
        for index in indices:
            try:
                samples.append(self.stream.read(index, bad))
            except ReadError:
                lost = True
                empty, labels = np.zeros(self.stream.pairs.shape, np.float16), self.stream.pairs.labels(0)
                samples.append(Sample(empty, empty, labels, labels))
        # numpy takes six times as long as torch to convert float16
        target = torch.from_numpy(np.stack([sample.target for sample in samples])).float()
        source = torch.from_numpy(np.stack([sample.input for sample in samples[:-1]])).float()
        return Batch(
            source,
            target[:-1],
            target[1:],
            indices[:-1],
            _joined([sample.labels for sample in samples[:-1]]),
            _joined([sample.target_labels for sample in samples[1:]]),
            bad,
            lost,
        )


def _joined(rows: list[Mapping[str, float]]) -> dict[str, Tensor]:
    """Labels [B] by name."""
    return {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}


def rank_indices(start: int, per_rank: int, rank: int, world: int) -> list[int]:
    """One rank's share of the global batch at `start`, and one more: the item whose target is the last one's real."""
    total = per_rank * world
    return [start + (rank * per_rank + j) % total for j in range(per_rank + 1)]
