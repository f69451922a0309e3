"""Batches come without end whatever happens to the processes that read them ahead."""

import os
import signal
import time
from itertools import islice

import numpy as np
import pytest
import torch
from fake_latents import FakePairs

from data import supply
from data.stream import SampleStream
from data.supply import Supply


def indices(batches, count):
    return [index for batch in islice(batches, count) for index in batch.indices]


@pytest.fixture
def stream():
    return SampleStream(FakePairs(24), 5)


def in_a_reader() -> bool:
    return torch.utils.data.get_worker_info() is not None


def test_readers_are_left_out_where_shared_memory_is_too_small(stream, monkeypatch):
    monkeypatch.setattr(supply, "free_shared_memory", lambda: 1000)
    said = []
    batches = Supply(stream, 0, 2, workers=2, say=said.append)
    assert indices(batches, 3) == list(range(6)) and not hasattr(batches._batches, "_workers")
    assert len(said) == 1 and "--num_workers 2 takes" in said[0] and "--shm-size" in said[0]


def test_what_readers_need_counts_all_ranks_of_the_machine(stream, monkeypatch):
    size = 4 * (2 * 2 + 1) * int(np.prod(stream.pairs.shape))
    monkeypatch.setattr(supply, "free_shared_memory", lambda: 2 * 4 * size / 0.9 + 1)
    said = []
    Supply(stream, 0, 2, workers=2, say=said.append).close()
    assert said == []
    Supply(stream, 0, 2, workers=2, local_world=2, say=said.append).close()
    assert len(said) == 1


def test_a_reader_that_hangs_is_given_up(stream, monkeypatch):
    monkeypatch.setattr(supply, "PATIENCE_S", 2.0)
    read = SampleStream.read

    def stuck(self, index, bad):
        if in_a_reader() and index >= 4:
            time.sleep(1000)
        return read(self, index, bad)

    monkeypatch.setattr(SampleStream, "read", stuck)
    said = []
    batches = Supply(stream, 0, 2, workers=2, say=said.append)
    began = time.monotonic()
    assert indices(batches, 6) == list(range(12))
    assert time.monotonic() - began < 30 and len(said) == 1 and "no data came for" in said[0]


def test_a_reader_that_is_killed_is_replaced(stream):
    said = []
    batches = Supply(stream, 0, 2, workers=1, say=said.append)
    assert indices(batches, 1) == [0, 1]
    os.kill(batches._batches._workers[0].pid, signal.SIGKILL)
    assert indices(batches, 9) == list(range(2, 20))
    assert len(said) == 1 and "nothing more comes" in said[0]


def test_waiting_ends_when_the_run_is_to_stop(stream, monkeypatch):
    monkeypatch.setattr(SampleStream, "read", lambda *_: time.sleep(1000))
    batches = Supply(stream, 0, 2, workers=2)
    began = time.monotonic()
    assert batches.take(lambda: time.monotonic() - began > 1) is None
    batches.close()
    assert time.monotonic() - began < 10


def test_an_error_of_a_reader_is_raised(stream, monkeypatch):
    monkeypatch.setattr(SampleStream, "read", lambda *_: 1 / 0)
    batches = Supply(stream, 0, 2, workers=1)
    with pytest.raises(ZeroDivisionError):
        next(batches)
    batches.close()
