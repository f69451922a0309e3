"""The stream of samples: one integer is its whole state, and ranks share it without a trace."""

from itertools import islice

import numpy as np
import pytest
import torch
from fake_latents import FakePairs
from hypothesis import given, settings
from hypothesis import strategies as st

from data.stream import Batch, SampleStream, rank_indices
from data.supply import Supply
from runtime.seeding import Purpose, mix_seed

COUNTS = st.integers(2, 9)
SEEDS = st.integers(0, 2**31 - 1)


def pair_number(clip: np.ndarray) -> int:
    return int(clip[0, 0]) % 500


def first_frame(clip: np.ndarray) -> int:
    return round(float(clip[0, 0] % 1) * 1000)


def take(stream: SampleStream, count: int, start: int = 0, per_rank: int = 2, **sharing) -> list[Batch]:
    return list(islice(Supply(stream, start, per_rank, **sharing), count))


def joined(shares: list[Batch]) -> Batch:
    """The ranks' shares of one global batch as one."""
    tensors = (torch.cat([getattr(s, name) for s in shares]) for name in ("input_BDT", "target_BDT", "real_BDT"))
    return Batch(*tensors, [i for share in shares for i in share.indices])


def assert_same(a: Batch, b: Batch) -> None:
    assert a.indices == b.indices
    for name in ("input_BDT", "target_BDT", "real_BDT"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@given(COUNTS, SEEDS, st.integers(0, 5))
def test_every_epoch_holds_each_pair_once(count, seed, epoch):
    stream = SampleStream(FakePairs(count), seed)
    held = [stream[epoch * count + k] for k in range(count)]
    assert sorted(pair_number(source) for source, _ in held) == list(range(count))
    assert all(target[0, 0] == source[0, 0] + 500 for source, target in held)
    assert {stream.epoch_of(epoch * count + k) for k in range(count)} == {epoch + 1}


def test_the_order_changes_by_epoch_and_seed():
    def order(seed: int, epoch: int) -> list[int]:
        stream = SampleStream(FakePairs(40), seed)
        return [stream.pair_of((epoch - 1) * 40 + k)[0] for k in range(40)]

    assert order(1, 1) == order(1, 1)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (1, 2, 3)}) == 6


@given(COUNTS, SEEDS, st.integers(0, 3))
def test_shuffled_targets_are_a_permutation_of_each_epoch(count, seed, epoch):
    stream = SampleStream(FakePairs(count), seed, shuffle_targets=True)
    held = [stream[epoch * count + k] for k in range(count)]
    assert sorted(pair_number(source) for source, _ in held) == list(range(count))
    assert sorted(pair_number(target) for _, target in held) == list(range(count))


def test_shuffled_targets_change_by_epoch():
    stream = SampleStream(FakePairs(40), 3, shuffle_targets=True)
    partners = [dict(stream.pair_of((epoch - 1) * 40 + k) for k in range(40)) for epoch in (1, 2, 3)]
    assert partners[0] != partners[1] != partners[2] != partners[0]
    assert sum(source == partner for source, partner in partners[0].items()) < 10


def test_the_unity_test_asks_for_a_copy():
    stream = SampleStream(FakePairs(6, crop_frames=5), 3, unity_test=True)
    for index in range(20):
        source, target = stream[index]
        assert np.array_equal(source, target)


@given(SEEDS, st.integers(1, 12), st.integers(0, 500))
def test_crops_lie_within_the_clip_at_one_place_for_both(seed, crop, index):
    stream = SampleStream(FakePairs(3, frames=12, crop_frames=crop), seed)
    source, target = stream[index]
    assert source.shape == target.shape == (4, crop)
    assert source.dtype == target.dtype == np.float32
    assert np.allclose(target - source, 500)
    start = first_frame(source)
    assert 0 <= start <= 12 - crop
    assert np.allclose(source[0] % 1, (start + np.arange(crop)) / 1000, atol=1e-4)
    assert start == mix_seed(seed, Purpose.CROP, index) % (12 - crop + 1)


def test_crops_reach_every_place_and_change_by_epoch():
    stream = SampleStream(FakePairs(3, frames=12, crop_frames=8), 5)
    places = [first_frame(stream[index][0]) for index in range(300)]
    counts = np.bincount(places, minlength=5)
    assert len(counts) == 5
    assert counts.min() > 30
    whole = SampleStream(FakePairs(3, frames=12), 5)
    assert {whole[index][0].shape for index in range(30)} == {(4, 12)}
    assert {first_frame(whole[index][0]) for index in range(30)} == {0}


@given(st.integers(0, 50), st.integers(1, 5), st.integers(1, 5))
def test_ranks_partition_the_global_batch(start, per_rank, world):
    shares = [rank_indices(start, per_rank, rank, world) for rank in range(world)]
    assert [i for share in shares for i in share[:-1]] == list(range(start, start + per_rank * world))
    assert [share[-1] for share in shares] == [shares[(rank + 1) % world][0] for rank in range(world)]


@pytest.mark.parametrize("shuffle_targets", [False, True])
@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_ranks_gives_the_same_global_batches(world, shuffle_targets):
    stream = SampleStream(FakePairs(7, random=True, crop_frames=6), 11, shuffle_targets=shuffle_targets)
    alone = take(stream, 6, per_rank=4)
    shares = [take(stream, 6, per_rank=4 // world, rank=rank, world=world) for rank in range(world)]
    for step, whole in enumerate(alone):
        assert_same(joined([share[step] for share in shares]), whole)


def test_reals_are_the_next_items_targets_and_clean():
    stream = SampleStream(FakePairs(9, random=True, crop_frames=6), 11)
    for batch in take(stream, 5, per_rank=4):
        assert torch.equal(batch.real_BDT, batch.target_BDT.roll(-1, 0))
        assert batch.real_BDT.dtype == torch.float32
        for row, index in enumerate(batch.indices):
            source, target = stream[index]
            assert np.array_equal(batch.input_BDT[row], source)
            assert np.array_equal(batch.target_BDT[row], target)
    lonely = take(stream, 1, per_rank=1)[0]
    assert torch.equal(lonely.real_BDT, lonely.target_BDT)


@settings(max_examples=40)
@given(COUNTS, SEEDS, st.integers(1, 4), st.integers(0, 12))
def test_going_on_at_any_index_continues_the_same_stream(count, seed, per_rank, steps):
    stream = SampleStream(FakePairs(count, random=True, crop_frames=6), seed, shuffle_targets=True)
    through = take(stream, steps + 3, per_rank=per_rank)
    resumed = take(stream, 3, start=steps * per_rank, per_rank=per_rank)
    for a, b in zip(through[steps:], resumed, strict=True):
        assert_same(a, b)


def test_going_on_with_another_number_of_ranks_leaves_out_nothing():
    stream = SampleStream(FakePairs(7, random=True), 3)
    before = take(stream, 3, per_rank=4)
    after = [take(stream, 2, start=12, per_rank=3, rank=rank, world=2) for rank in range(2)]
    seen = [i for batch in before for i in batch.indices]
    seen += [i for step in range(2) for share in after for i in share[step].indices]
    assert seen == list(range(24))


def test_readers_of_their_own_give_the_same():
    stream = SampleStream(FakePairs(5, random=True, crop_frames=6), 11)
    for a, b in zip(take(stream, 9, start=3, workers=2), take(stream, 9, start=3), strict=True):
        assert_same(a, b)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generators_are_left_alone(workers):
    stream = SampleStream(FakePairs(5, random=True, crop_frames=6), 11, shuffle_targets=True)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (the one that must not be used)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = take(stream, 3, workers=workers)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    torch.manual_seed(1)
    for a, b in zip(take(stream, 3, workers=workers), first, strict=True):
        assert_same(a, b)
