"""A dataset of one-second clips, each in a shard of its own, and runs that nothing happened to."""

import pytest
from fault_data import make_pairs
from fault_runs import run


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    return make_pairs(tmp_path_factory.mktemp("data") / "pairs")


@pytest.fixture(scope="session")
def untouched(tmp_path_factory, dataset):
    """untouched(ranks) -> the folder of a run to its end."""
    done = {}

    def folder_of(ranks: int):
        if ranks not in done:
            done[ranks] = tmp_path_factory.mktemp("untouched") / f"ranks_{ranks}"
            run(done[ranks], dataset, ranks=ranks, faults={})
        return done[ranks]

    return folder_of


def pytest_collection_modifyitems(items):
    for item in items:
        if "faults" in item.path.parts:
            item.add_marker(pytest.mark.faults)
