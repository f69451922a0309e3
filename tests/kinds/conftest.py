"""A small dataset made by hand."""

import pytest
import torch
from data_clips import make_hand_made


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tensors here are so small that threads only wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def hand_made(tmp_path):
    return make_hand_made(tmp_path / "dataset")
