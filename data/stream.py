"""The endless stream of training samples, of which one integer is the whole state.

Global sample index i belongs to epoch `i // n + 1` and is the `i % n`-th of that epoch's seeded order. What a sample
holds (pair, partner, crop) follows from (seed, i) alone: ranks share a batch by taking consecutive pieces of it, and a
resumed or resized run goes on at the next index, no sample twice or left out.

Legend: B samples of this rank, D latent channels, T frames.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from data.cache import LatentPairs, LatentReadError
from runtime.seeding import Purpose, mix_seed
from runtime.signals import ignore_signals

_TRIES = 64  # samples tried in place of one that cannot be read


@dataclass
class Batch:
    """One rank's share of a global batch; latents as the codec gave them, clean, float32.

    `real_BDT` are targets of other items: the next item's in the global batch, so that what the discriminator sees
    does not depend on how the batch is shared among ranks. `bad` says of clips that could not be read and were replaced
    (name -> why); `lost` is true where no replacement could be read either, and the batch is of no use.
    """

    input_BDT: Tensor
    target_BDT: Tensor
    real_BDT: Tensor
    indices: list[int]
    bad: dict[str, str] = field(default_factory=dict)
    lost: bool = False

    def pin_memory(self) -> "Batch":
        pinned = (x.pin_memory() for x in (self.input_BDT, self.target_BDT, self.real_BDT))
        return Batch(*pinned, self.indices, self.bad, self.lost)


@lru_cache(maxsize=4)
def _order(seed: int, purpose: Purpose, epoch: int, n: int) -> np.ndarray:
    return np.random.default_rng(mix_seed(seed, purpose, epoch)).permutation(n)


class SampleStream(torch.utils.data.Dataset):
    """Samples by global index: `stream[i] -> (input_DT, target_DT)`, float32.

    Args:
        crop_frames: frames of a random crop, the same piece of input and target; 0 or the clips' length = whole clips.
        shuffle_targets: pair each input with the target of another pair, anew each epoch.
        unity_test: the target is the input.
    """

    def __init__(
        self,
        pairs: LatentPairs,
        seed: int,
        crop_frames: int = 0,
        shuffle_targets: bool = False,
        unity_test: bool = False,
    ) -> None:
        self.pairs, self.seed = pairs, seed
        self.frames = min(crop_frames or pairs.frames, pairs.frames)
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
        input_DT, target_DT = self.read(index, {})
        return input_DT.astype(np.float32), target_DT.astype(np.float32)

    def read(self, index: int, bad: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Sample `index`, in the cache's own precision. In place of a clip that cannot be read comes the epoch's next
        one, on all ranks and in every resumed run the same; the clip is entered in `bad` (name -> why).

        Raises:
            LatentReadError: nor could those that would replace it.
        """
        for shift in range(min(_TRIES, len(self.pairs))):
            try:
                return self._piece(index, *self.pair_of(index, shift))
            except LatentReadError as error:
                bad[error.clip] = str(error)
        raise LatentReadError(next(reversed(bad.values())), next(reversed(bad)))

    def _piece(self, index: int, source: int, partner: int) -> tuple[np.ndarray, np.ndarray]:
        spare = self.pairs.frames - self.frames
        start = mix_seed(self.seed, Purpose.CROP, index) % (spare + 1)
        piece = slice(start, start + self.frames)
        input_DT = self.pairs.input(source)[:, piece].copy()
        if self.unity_test:
            return input_DT, input_DT
        return input_DT, self.pairs.target(partner)[:, piece].copy()


class _Shares(torch.utils.data.Dataset):
    """Whole batches, asked for by their indices (see `rank_indices`)."""

    def __init__(self, stream: SampleStream) -> None:
        self.stream = stream

    def __getitem__(self, indices: list[int]) -> Batch:
        samples, bad, lost = [], {}, False
        for index in indices:
            try:
                samples.append(self.stream.read(index, bad))
            except LatentReadError:
                lost = True
                samples.append((np.zeros((self.stream.pairs.channels, self.stream.frames), np.float16),) * 2)
        # numpy takes six times as long as torch to widen float16
        target = torch.from_numpy(np.stack([target for _, target in samples])).float()
        source = torch.from_numpy(np.stack([source for source, _ in samples[:-1]])).float()
        return Batch(source, target[:-1], target[1:], indices[:-1], bad, lost)


def rank_indices(start: int, per_rank: int, rank: int, world: int) -> list[int]:
    """One rank's share of the global batch at `start`, and one more: the item whose target is the last one's real."""
    total = per_rank * world
    return [start + (rank * per_rank + j) % total for j in range(per_rank + 1)]


def batches(
    stream: SampleStream, start: int, per_rank: int, rank: int = 0, world: int = 1, workers: int = 0, pin: bool = False
) -> Iterator[Batch]:
    """This rank's batches from global sample index `start` on, without end."""

    def shares() -> Iterator[list[int]]:
        position = start
        while True:
            yield rank_indices(position, per_rank, rank, world)
            position += per_rank * world

    loader = torch.utils.data.DataLoader(
        _Shares(stream),
        batch_size=None,
        sampler=shares(),
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=ignore_signals,
        prefetch_factor=4 if workers else None,
        persistent_workers=bool(workers),
        generator=torch.Generator(),  # never the global generator
    )
    return iter(loader)


def close(supply: Iterator[Batch]) -> None:
    """Ends the processes behind `batches`. They ignore SIGTERM, by which Python would end them at its own exit, so a
    supply that is left open would keep a process that failed from ever ending."""
    shut_down = getattr(supply, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()
