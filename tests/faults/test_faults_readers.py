"""Reading processes without shared memory: the run reads its data itself, and never waits for ever."""

import os
import signal
import time
from pathlib import Path

import pytest
from fault_runs import assert_same_run, children, last_step, run, start, wait_until

from runtime import checkpoint


@pytest.mark.parametrize("ranks", [1, 2])
def test_too_little_shared_memory_is_said_and_costs_nothing_else(tmp_path, dataset, untouched, ranks):
    folder = tmp_path / "run"
    program = run(folder, dataset, ranks=ranks, faults={"small_shared_memory": {"free": 1000}}, num_workers=2)
    assert program.output.count("note: --num_workers 2 takes") == ranks
    assert_same_run(folder, untouched(ranks))


@pytest.mark.parametrize("ranks", [1, 2])
def test_readers_that_hang_are_given_up(tmp_path, dataset, untouched, ranks):
    folder = tmp_path / "run"
    faults = {"stuck_readers": {"index": 30, "patience": 3.0}}
    program = run(folder, dataset, ranks=ranks, faults=faults, num_workers=2)
    assert program.output.count("reads its own data from here on") == ranks
    assert_same_run(folder, untouched(ranks))


@pytest.mark.parametrize("ranks", [1, 2])
def test_sigterm_while_readers_hang_saves(tmp_path, dataset, ranks):
    folder = tmp_path / "run"
    faults = {"stuck_readers": {"index": 40, "patience": 1000.0}}
    program = start(folder, dataset, ranks=ranks, faults=faults, num_workers=3)
    program.wait_for("STUCK")
    step = 40 // (2 * ranks)
    program.wait_for_step(folder, step - ranks)
    time.sleep(2.0)
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.end(40) != 0
    assert time.monotonic() - began < 20
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == last_step(folder) >= step - ranks


def test_readers_that_hang_do_not_outlive_a_killed_rank(tmp_path, dataset):
    faults = {"stuck_readers": {"index": 40, "patience": 1000.0}}
    program = start(tmp_path / "run", dataset, ranks=1, faults=faults, num_workers=2)
    program.wait_for("STUCK")
    readers = children(program.process.pid)
    assert len(readers) >= 2
    os.kill(program.process.pid, signal.SIGKILL)
    program.end(10)
    wait_until(lambda: not any(_alive(reader) for reader in readers), 10)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
