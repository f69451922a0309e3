"""Batches through a function side by side: the same rows in the same order, and nothing left changed."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.parallel import map_batches
from runtime.cores import available_cores


@given(st.integers(1, 20), st.integers(1, 7))
def test_results_are_those_of_all_rows_at_once(count, batch):
    rows = np.random.default_rng(count).standard_normal((count, 3)).astype(np.float32)
    made = map_batches(lambda x: x.square().cumsum(1), rows, batch)
    np.testing.assert_allclose(made, np.cumsum(rows**2, axis=1), rtol=1e-5)


def test_no_batch_is_longer_than_asked_and_none_keeps_a_gradient():
    sizes = []

    def function(x):
        sizes.append(len(x))
        assert torch.is_inference_mode_enabled()
        return x

    map_batches(function, np.zeros((7, 2), np.float32), 3)
    assert sorted(sizes) == [1, 3, 3]


def test_the_number_of_threads_is_as_before_also_after_an_error(monkeypatch):
    monkeypatch.setattr("data.parallel.available_cores", lambda: 2)
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        map_batches(lambda x: seen.append(torch.get_num_threads()) or x, np.zeros((2, 1), np.float32), 1)
        assert torch.get_num_threads() == 2 and seen == [1, 1]
        with pytest.raises(ZeroDivisionError):
            map_batches(lambda x: 1 / 0, np.zeros((2, 1), np.float32), 1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_there_is_a_core_also_where_the_system_does_not_say_which(monkeypatch):
    assert available_cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert available_cores() == os.cpu_count()


def test_cores_are_counted_in_one_place():
    """`os.sched_getaffinity` is not there on macOS."""
    root = Path(__file__).parents[2]
    naming = {path.name for path in root.glob("[a-z]*/**/*.py") if "sched_getaffinity" in path.read_text("utf-8")}
    assert naming == {"cores.py", "test_parallel.py", "test_runtime_cores.py"}
