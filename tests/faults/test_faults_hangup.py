"""The terminal goes away, or nobody reads the output: the run saves and leaves, or goes on, as it was asked to."""

import os
import signal
import subprocess
import time

import pytest
from fault_runs import assert_same_run, kill_tree, last_step, run, start

from runtime import checkpoint

BOUND = 20.0
FULL = "/dev/full"


@pytest.mark.parametrize("torchrun", [False, True], ids=["launcher", "torchrun"])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_a_closed_terminal_ends_the_run_with_a_save(tmp_path, dataset, number, torchrun):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2, torchrun=torchrun, epochs=2000)
    program.wait_for_step(folder, 4)
    began = time.monotonic()
    os.killpg(program.process.pid, number)  # as the system does: to the whole group
    code = program.end(BOUND + 10)
    assert time.monotonic() - began < BOUND
    assert code == 128 + number or torchrun
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == last_step(folder) >= 4


def test_under_nohup_a_closed_terminal_changes_nothing(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2, prefix=("nohup",), log_every=1)
    program.wait_for_step(folder, 3)
    os.killpg(program.process.pid, signal.SIGHUP)
    assert program.end() == 0, program.output[-3000:]
    assert_same_run(folder, untouched(2))


def test_under_nohup_sigterm_still_saves(tmp_path, dataset):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2, prefix=("nohup",), epochs=2000)
    program.wait_for_step(folder, 3)
    os.killpg(program.process.pid, signal.SIGHUP)
    os.killpg(program.process.pid, signal.SIGTERM)
    assert program.end(BOUND + 10) == 143
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == last_step(folder)


@pytest.mark.skipif(not os.path.exists(FULL), reason="no full device")
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_full_disk_behind_the_output_changes_nothing(tmp_path, dataset, untouched, ranks):
    folder = tmp_path / "run"
    with open(FULL, "w") as full:
        program = run(folder, dataset, ranks=ranks, faults={}, stdout=full)
    assert "Traceback" not in program.output
    assert_same_run(folder, untouched(ranks))
    assert "finished at epoch 4" in (folder / "train.log").read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_reader_of_the_output_that_leaves_changes_nothing(tmp_path, dataset, untouched, ranks):
    folder = tmp_path / "run"
    reader = subprocess.Popen(["head", "-c", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    program = start(folder, dataset, ranks=ranks, faults=None if ranks == 2 else {}, stdout=reader.stdin)
    reader.stdin.close()
    try:
        assert program.end() == 0, program.output[-3000:]
    finally:
        kill_tree(reader.pid)
        reader.wait()
    assert "Traceback" not in program.output
    assert_same_run(folder, untouched(ranks))
