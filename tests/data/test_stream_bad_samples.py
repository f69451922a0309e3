"""Samples that cannot be read in the middle of training: named, replaced alike on all ranks, never silently."""

import dataclasses
import pickle
from itertools import islice

import pytest
import torch
from fake_latents import FakePairs

from data.pairs import ReadError
from data.stream import SampleStream
from data.supply import Supply
from errors import UserError
from runtime.distributed import Ranks, ReportedElsewhere
from training import unreadable_samples
from training.unreadable_samples import SkippedSamples

ALONE = Ranks(0, 0, 1, 1, torch.device("cpu"))


class Damaged(FakePairs):
    """Pairs of which some targets cannot be read."""

    def __init__(self, count: int, bad: set[int]) -> None:
        super().__init__(count)
        self.bad = bad

    def target(self, i: int):
        if i in self.bad:
            raise ReadError(f"the latents of clip {i} are gone", f"train/{self.names[i]}_target")
        return super().target(i)


def pair_numbers(batch) -> list[int]:
    return [int(x) % 500 for x in batch.input_BDT[:, 0, 0].tolist()]


def take(pairs: FakePairs, count: int, per_rank: int = 2, **sharing) -> list:
    return list(islice(Supply(SampleStream(pairs, 5), 0, per_rank, **sharing), count))


def test_in_its_place_comes_the_next_of_the_epoch():
    whole, damaged = take(FakePairs(6), 3), take(Damaged(6, {3}), 3)
    order = [number for batch in whole for number in pair_numbers(batch)]
    expected = [order[(k + 1) % 6] if number == 3 else number for k, number in enumerate(order)]
    assert [number for batch in damaged for number in pair_numbers(batch)] == expected
    reported = {name: why for batch in damaged for name, why in batch.bad.items()}
    assert reported == {"train/pair_0003_target": "the latents of clip 3 are gone"}
    assert not any(batch.lost for batch in damaged)


def test_input_and_target_stay_together():
    for batch in take(Damaged(6, {1, 4}), 9):
        assert torch.allclose(batch.target_BDT.float() - batch.input_BDT.float(), torch.tensor(500.0), atol=0.6)


def test_ranks_agree_about_the_replacement():
    alone = take(Damaged(7, {2, 5}), 4, per_rank=4)
    shares = [take(Damaged(7, {2, 5}), 4, per_rank=2, rank=rank, world=2) for rank in range(2)]
    for step, whole in enumerate(alone):
        joined = [torch.cat([getattr(share[step], name) for share in shares]) for name in ("input_BDT", "real_BDT")]
        assert torch.equal(joined[0], whole.input_BDT)
        assert torch.equal(joined[1], whole.real_BDT)


def test_readers_of_their_own_report_as_well():
    reported = {name for batch in take(Damaged(6, {3}), 3, workers=1) for name in batch.bad}
    assert reported == {"train/pair_0003_target"}


def test_where_nothing_can_be_read_the_batch_is_lost():
    batch = take(Damaged(4, {0, 1, 2, 3}), 1)[0]
    assert batch.lost
    assert len(batch.bad) == 4
    assert batch.input_BDT.shape == batch.real_BDT.shape == (2, 4, 12)


def test_an_error_of_reading_reaches_the_run_from_another_process():
    error = pickle.loads(pickle.dumps(ReadError("it is gone", "train/pair_0003_target")))
    assert (str(error), error.sample) == ("it is gone", "train/pair_0003_target")


# --- what the run makes of it --------------------------------------------------------------------------------------


def test_each_bad_sample_is_reported_once():
    skipped = SkippedSamples()
    skipped.take({"a": "a is gone"})
    skipped.take({"a": "a is gone", "b": "b is gone"})
    assert [sentence.split(": ")[-1] for sentence in skipped.share(ALONE, lost=False)] == ["a is gone", "b is gone"]
    skipped.take({"a": "a is gone"})
    assert skipped.news == {}
    assert skipped.share(ALONE, lost=False) == []
    assert skipped.known == {"a", "b"}


def test_too_many_end_the_run(monkeypatch):
    monkeypatch.setattr(unreadable_samples, "MOST", 1)
    skipped = SkippedSamples()
    skipped.take({"a": "a is gone"})
    skipped.share(ALONE, lost=False)
    skipped.take({"b": "b is gone"})
    with pytest.raises(UserError, match="2 clip.* at most 1 may be replaced; b is gone"):
        skipped.share(ALONE, lost=False)


def test_a_batch_without_replacement_ends_the_run():
    skipped = SkippedSamples()
    skipped.take({"a": "a is gone"})
    with pytest.raises(UserError, match="no replacement could be read; a is gone"):
        skipped.share(ALONE, lost=True)
    with pytest.raises(ReportedElsewhere, match="a is gone"):
        other = SkippedSamples(news={"a": "a is gone"})
        other.share(dataclasses.replace(ALONE, rank=1), lost=True)
