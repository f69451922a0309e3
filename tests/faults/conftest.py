"""A dataset of one-second clips, each in a shard of its own, and runs that nothing happened to."""

import pytest
from fault_runs import run

import kinds.audio.encode


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """20 training and 4 validation pairs."""
    from kinds.audio.preparing.prepare import Options, prepare

    folder = tmp_path_factory.mktemp("data") / "pairs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds.audio.encode, "SHARD_BYTES", 20_000)
        prepare(Options(demo="songs", demo_songs=6, duration=1.0, workers=1, output_dir=folder))
    return folder


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
