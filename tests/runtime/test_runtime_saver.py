"""Saving in the background: a true copy, one write at a time, and failures that are reported and outlived."""

import threading

import pytest
import torch

from runtime import checkpoint
from runtime.saver import HostCopy, Saver


def state(value: float) -> dict:
    return {"weights": {"a": torch.full((50,), value)}, "list": [torch.tensor(value), 3, "x"], "none": None}


@pytest.fixture
def slow_disk(monkeypatch):
    """Writes wait until the event is set."""
    go_on, write = threading.Event(), checkpoint.save

    def save(*args) -> None:
        assert go_on.wait(10)
        write(*args)

    monkeypatch.setattr(checkpoint, "save", save)
    return go_on


def test_what_is_saved_is_the_state_of_that_moment(tmp_path, slow_disk):
    saver, live = Saver(), state(1.0)
    saver(live, [tmp_path / "last.pt"])
    live["weights"]["a"].fill_(9.0)  # training goes on while the disk is busy
    live["list"][0].fill_(9.0)
    slow_disk.set()
    saver.wait()
    saved = checkpoint.load(tmp_path / "last.pt")
    assert saved["weights"]["a"].tolist() == [1.0] * 50
    assert saved["list"] == [torch.tensor(1.0), 3, "x"]
    assert saved["none"] is None


def test_one_write_is_outstanding_at_most(tmp_path, slow_disk):
    saver = Saver()
    saver(state(1.0), [tmp_path / "a.pt"])
    threading.Timer(0.2, slow_disk.set).start()
    saver(state(2.0), [tmp_path / "b.pt"])  # waits for the first, then copies
    assert checkpoint.load(tmp_path / "a.pt")["weights"]["a"][0] == 1.0
    saver.wait()
    assert checkpoint.load(tmp_path / "b.pt")["weights"]["a"][0] == 2.0
    assert saver.stalls[1] > 0.1 > saver.stalls[0]


def test_what_comes_first_may_fail_and_is_done_before_anything_is_written(tmp_path):
    saver, seen = Saver(), []

    def before() -> None:
        seen.append((threading.current_thread().name, list(tmp_path.iterdir())))
        raise OSError("a disk that refuses it")

    saver(state(1.0), [tmp_path / "last.pt"], before=before)
    saver.wait()
    assert seen == [("saver", [])] and saver.problems() == [] and (tmp_path / "last.pt").exists()


def test_several_names_then_what_follows(tmp_path):
    saver, done = Saver(), []
    saver(state(1.0), [tmp_path / "best.pt", tmp_path / "last.pt"], lambda: done.append(sorted(tmp_path.iterdir())))
    saver.wait()
    assert done == [[tmp_path / "best.pt", tmp_path / "last.pt"]]
    assert (tmp_path / "best.pt").read_bytes() == (tmp_path / "last.pt").read_bytes()


def test_a_failure_is_reported_once_and_mended_by_the_next_save(tmp_path):
    saver, done = Saver(), []
    home = tmp_path / "gone"
    saver(state(1.0), [home / "last.pt", tmp_path / "best.pt"], lambda: done.append(1))
    saver.wait()
    assert saver.failed == {"last.pt"}
    assert done == []
    assert checkpoint.is_whole(tmp_path / "best.pt")
    (problem,) = saver.problems()
    assert "last.pt could not be saved (No such file or directory)" in problem
    assert saver.problems() == []
    home.mkdir()
    saver(state(2.0), [home / "last.pt"], lambda: done.append(2))
    saver.wait()
    assert saver.failed == set()
    assert done == [2]


def test_saves_need_no_further_thread(tmp_path, monkeypatch):
    """Where no memory is left, Python waits forever for a new thread to begin."""
    saver = Saver()
    saver(state(1.0), [tmp_path / "last.pt"])
    monkeypatch.setattr(threading.Thread, "start", lambda self: pytest.fail("a thread was started"))
    saver(state(2.0), [tmp_path / "last.pt"])
    saver.wait()
    assert checkpoint.load(tmp_path / "last.pt")["weights"]["a"][0] == 2.0


def test_what_follows_may_fail(tmp_path):
    def refused() -> None:
        raise OSError("no such folder")

    saver = Saver()
    saver(state(1.0), [tmp_path / "last.pt"], refused)
    saver.wait()
    assert saver.problems() == ["older checkpoints could not be removed (no such folder)"]
    saver(state(2.0), [tmp_path / "last.pt"])
    saver.wait()
    assert checkpoint.load(tmp_path / "last.pt")["weights"]["a"][0] == 2.0 and not saver.failed


def test_copies_reuse_their_memory():
    copy = HostCopy()
    first = copy(state(1.0))["weights"]["a"]
    place = first.data_ptr()
    again = copy(state(2.0))["weights"]["a"]
    assert again.data_ptr() == place
    assert again[0] == 2.0
    changed = copy({"weights": {"a": torch.zeros(3, dtype=torch.float64)}})["weights"]["a"]
    assert changed.dtype == torch.float64
    assert changed.shape == (3,)
