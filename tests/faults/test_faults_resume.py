"""Exact resume: what is killed and resumed is the run that would have been."""

import random
import shutil

import pytest
from fault_runs import EPOCHS, PAIRS, assert_same_run, board_steps, kill_tree, last_step, lines, run, start

from runtime import checkpoint


def test_killed_twice_at_random_steps_and_resumed_on_one_rank(tmp_path, dataset, untouched):
    rng, folder = random.Random(), tmp_path / "run"
    first, second = rng.randint(4, 18), rng.randint(21, 38)
    print("killed at steps", first, second)
    run(folder, dataset, faults={"kill": {"step": first}}, code=-9)
    run(folder, dataset, faults={"kill": {"step": second}}, code=-9, resume="auto")
    assert last_step(folder) == second  # that step's line is not yet written, the one before it is
    assert "resumed from" in run(folder, dataset, faults={}, resume="auto").output
    assert_same_run(folder, untouched(1))
    assert board_steps(folder) == [line["step"] for line in lines(folder)]


def test_killed_and_resumed_on_two_ranks(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    step = random.Random().randint(4, 12)
    program = start(folder, dataset, ranks=2, faults={"slow_steps": {"seconds": 0.2}})
    program.wait_for_step(folder, step)
    kill_tree(program.process.pid)
    program.end()
    run(folder, dataset, ranks=2, faults={}, resume="auto")
    assert_same_run(folder, untouched(2))
    assert board_steps(folder) == [line["step"] for line in lines(folder)]


@pytest.mark.parametrize("step", [PAIRS // 2, PAIRS])  # the end of an epoch without and with validation
def test_resumed_at_the_end_of_an_epoch(tmp_path, dataset, untouched, step):
    folder = tmp_path / "run"
    run(folder, dataset, faults={}, max_steps=step)
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == step
    run(folder, dataset, faults={}, resume="auto")
    assert_same_run(folder, untouched(1))


def test_resumed_from_an_older_save_than_was_written(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    shutil.copytree(untouched(1), folder)
    program = run(folder, dataset, faults={"kill": {"step": 24}}, resume=folder / "checkpoint_epoch_2.pt", code=-9)
    assert "resumed from" in program.output
    program = run(folder, dataset, faults={}, resume="auto")  # not the abandoned future in checkpoint_epoch_4.pt
    assert "epoch 2, step 24" in program.output or "epoch 2, step 21" in program.output  # 24 may be half-written
    assert_same_run(folder, untouched(1))
    assert board_steps(folder) == [line["step"] for line in lines(folder)]


def test_other_numbers_of_ranks_leave_no_sample_out_and_none_twice(tmp_path, dataset):
    folder, seen = tmp_path / "run", tmp_path / "indices"
    faults = {"write_indices": {"path": str(seen)}}
    run(folder, dataset, ranks=2, faults=faults, global_batch_size=4, max_steps=3)
    run(folder, dataset, ranks=1, faults=faults, global_batch_size=4, max_steps=7, resume="auto")
    program = run(folder, dataset, ranks=2, faults=faults, max_steps=11, resume="auto")
    assert "note: the global batch" not in program.output
    program = run(folder, dataset, ranks=2, faults=faults, global_batch_size=0, batch_size=1, resume="auto")
    assert "the global batch was 4 and is 2 now (--global_batch_size 4 would keep it)" in program.output
    indices = [int(index) for path in sorted(tmp_path.glob("indices.*")) for index in path.read_text().split()]
    assert sorted(indices) == list(range(EPOCHS * PAIRS))


def test_options_that_shaped_the_past_are_refused_and_others_are_told(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    shutil.copytree(untouched(1), folder)
    refused = run(folder, dataset, faults={}, resume="auto", width=32, code=2)
    assert "--width 32 contradicts the checkpoint, which was trained with 16" in refused.output
    assert "Traceback" not in refused.output
    resumed = run(folder, dataset, faults={}, resume="auto", lr=5e-4)
    assert "changed: lr 0.001 -> 0.0005" in resumed.output
