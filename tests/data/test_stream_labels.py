"""Labels stay with their samples: in every batch, on any number of ranks, beside samples that cannot be read."""

from itertools import islice

import pytest
import torch
from fake_latents import FakePairs
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data.pairs import ReadError
from data.stream import Batch, SampleStream
from data.supply import Supply


class Labelled(FakePairs):
    """Pairs of two labels, and of which some inputs cannot be read."""

    def __init__(self, count: int, bad: frozenset[int] = frozenset()) -> None:
        super().__init__(count, crop_frames=5, labels=True)
        self.bad = bad

    def input(self, i: int):
        if i in self.bad:
            raise ReadError(f"pair {i} is gone", self.names[i])
        return super().input(i)

    def labels(self, i: int) -> dict[str, float]:
        return super().labels(i) | {"half": i / 2}


def take(pairs: FakePairs, count: int, per_rank: int = 4, shuffle_targets: bool = False, **sharing) -> list[Batch]:
    stream = SampleStream(pairs, 5, shuffle_targets=shuffle_targets)
    return list(islice(Supply(stream, 0, per_rank, **sharing), count))


def numbers(samples_BDT: Tensor) -> list[int]:
    """The pair that each sample was cut from."""
    return [int(value) % 500 for value in samples_BDT[:, 0, 0].tolist()]


def labels_of(values: dict[str, Tensor]) -> list[int]:
    """The pair that each row of labels belongs to."""
    assert set(values) == {"number", "half"}
    assert torch.equal(values["half"], values["number"] / 2)
    assert all(value.dtype == torch.float32 for value in values.values())
    return values["number"].int().tolist()


@given(st.integers(2, 9), st.integers(1, 5), st.booleans())
def test_labels_are_those_of_the_sample(count, per_rank, shuffle_targets):
    for batch in take(Labelled(count), 4, per_rank, shuffle_targets):
        assert labels_of(batch.labels) == numbers(batch.input_BDT)
        assert len(batch.indices) == per_rank


@given(st.integers(2, 9), st.integers(1, 5))
def test_labels_of_reals_are_those_of_the_real(count, per_rank):
    for batch in take(Labelled(count), 4, per_rank):
        assert labels_of(batch.real_labels) == numbers(batch.real_BDT)


def test_labels_of_shuffled_reals_are_those_of_the_real():
    for batch in take(Labelled(9), 4, shuffle_targets=True):
        assert labels_of(batch.real_labels) == numbers(batch.real_BDT)


@pytest.mark.parametrize("bad", [frozenset(), frozenset({2, 5})], ids=["all good", "two bad"])
@pytest.mark.parametrize("shuffle_targets", [False, True])
@pytest.mark.parametrize("world", [2, 4])
def test_any_number_of_ranks_gives_the_same_labels(world, shuffle_targets, bad):
    alone = take(Labelled(7, bad), 5, 4, shuffle_targets)
    shares = [take(Labelled(7, bad), 5, 4 // world, shuffle_targets, rank=r, world=world) for r in range(world)]
    for step, whole in enumerate(alone):
        for kind in ("labels", "real_labels"):
            joined = [getattr(share[step], kind) for share in shares]
            for name, value_B in getattr(whole, kind).items():
                assert torch.equal(torch.cat([part[name] for part in joined]), value_B), (kind, name)


@pytest.mark.parametrize("shuffle_targets", [False, True])
def test_a_replacement_comes_with_its_own_labels(shuffle_targets):
    for batch in take(Labelled(7, frozenset({2, 5})), 6, shuffle_targets=shuffle_targets):
        assert labels_of(batch.labels) == numbers(batch.input_BDT)
        assert not {2, 5} & set(labels_of(batch.labels))
        if not shuffle_targets:
            assert labels_of(batch.real_labels) == numbers(batch.real_BDT)


def test_a_lost_batch_has_labels_of_the_same_names():
    (batch,) = take(Labelled(3, frozenset(range(3))), 1)
    assert batch.lost
    assert {name: value.shape for name, value in batch.labels.items()} == {"number": (4,), "half": (4,)}
    assert batch.real_labels.keys() == batch.labels.keys()


def test_readers_of_their_own_send_labels_as_well():
    for a, b in zip(take(Labelled(5), 4, workers=2), take(Labelled(5), 4), strict=True):
        assert a.labels.keys() == b.labels.keys() == {"number", "half"}
        assert all(torch.equal(a.labels[name], value) for name, value in b.labels.items())
        assert all(torch.equal(a.real_labels[name], value) for name, value in b.real_labels.items())


def test_samples_without_labels_have_none():
    stream = SampleStream(FakePairs(4), 5)
    batch = next(iter(Supply(stream, 0, 2)))
    assert batch.labels == batch.real_labels == {}


def test_the_copying_test_keeps_the_labels_of_the_input():
    stream = SampleStream(Labelled(6), 5, shuffle_targets=True, unity_test=True)
    for batch in islice(Supply(stream, 0, 3), 4):
        assert torch.equal(batch.input_BDT, batch.target_BDT)
        assert labels_of(batch.labels) == numbers(batch.input_BDT)
        assert labels_of(batch.real_labels) == numbers(batch.real_BDT)
