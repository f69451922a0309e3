"""A small dataset made by hand."""

import pytest
from data_clips import make_hand_made
from one_thread import one_thread  # noqa: F401 (a fixture for every test here)


@pytest.fixture
def hand_made(tmp_path):
    return make_hand_made(tmp_path / "dataset")
