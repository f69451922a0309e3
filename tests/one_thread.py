"""Tensors in most tests are so small that threads only wait for one another, for seconds on a busy machine."""

from contextlib import contextmanager

import pytest
import torch


@contextmanager
def single_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Holds in every file or folder that imports it."""
    with single_thread():
        yield
