"""A tiny dataset for all whole-program tests, and a folder to run in."""

import pytest
from e2e_runs import make_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """8 training and 4 validation pairs of one second."""
    return make_dataset(tmp_path_factory.mktemp("tiny") / "dataset_pairs_wav")


@pytest.fixture
def here(dataset, tmp_path, monkeypatch):
    """An empty folder that holds `dataset_pairs_wav`, as the working directory."""
    (tmp_path / "dataset_pairs_wav").symlink_to(dataset)
    monkeypatch.chdir(tmp_path)
    return tmp_path
