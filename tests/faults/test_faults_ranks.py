"""A rank dies, fails, or computes nonsense: the others neither hang nor go their own way."""

import os
import signal
import time

from fault_runs import TRAIN, assert_same_run, children, lines, run, start

from runtime import checkpoint


def test_a_killed_rank_under_torchrun_restarts_from_the_newest_save(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    faults = {"kill": {"step": 8, "rank": 1}, "slow_steps": {"seconds": 0.05}}
    began = time.monotonic()
    program = run(folder, dataset, ranks=2, faults=faults, max_restarts=3)
    print(f"killed, restarted and finished in {time.monotonic() - began:.1f} s")
    assert "attempt 2 of this job" in program.output
    assert not (folder / "earlier").exists()
    assert_same_run(folder, untouched(2))


def test_a_rank_killed_before_its_first_save_starts_again_in_place(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    run(folder, dataset, faults={}, max_steps=2)  # an earlier run, to be moved aside once
    program = run(folder, dataset, ranks=2, faults={"kill": {"step": 1, "rank": 0}}, max_restarts=1)
    assert program.output.count("the earlier run in") == 1
    assert len(list((folder / "earlier").iterdir())) == 1
    assert_same_run(folder, untouched(2))


def test_a_killed_rank_under_the_plain_launcher_restarts_from_the_newest_save(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2)
    program.wait_for_step(folder, 4)
    workers = [pid for pid in children(program.process.pid) if TRAIN.name in command_line(pid)]
    os.kill(workers[-1], signal.SIGKILL)
    assert program.end() == 0, program.output
    assert "a worker was killed by signal 9" in program.output
    assert "restarting from the newest checkpoint (1 of 3)" in program.output
    assert_same_run(folder, untouched(2))


def command_line(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read()
    except OSError:
        return ""


def test_a_rank_that_raises_ends_all_and_its_error_comes_first(tmp_path, dataset):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2, faults={"fail": {"step": 6, "rank": 1}, "slow_steps": {"seconds": 0.2}})
    program.wait_for("the injected error")
    began = time.monotonic()
    assert program.end(30) != 0
    print(f"all ended {time.monotonic() - began:.1f} s after the error")
    output = program.output
    assert "ValueError: the injected error" in output
    lost = "lost the connection"
    assert lost not in output or output.index("the injected error") < output.index(lost)
    assert output.count("Traceback (most recent call last):\n") >= 1


def test_a_bad_step_of_one_rank_is_taken_by_none(tmp_path, dataset):
    folder = tmp_path / "run"
    run(folder, dataset, ranks=2, faults={"nan": {"rank": 1, "first": 5, "last": 6}})
    skipped = {line["step"]: line["skipped/g"] for line in lines(folder)}
    assert (skipped[5], skipped[6], skipped[7], skipped[20]) == (0, 1, 2, 2)
    state = checkpoint.load(folder / "last.pt")
    assert all(bool(tensor.isfinite().all()) for tensor in state["trainer"]["generator"].values())
    assert state["counters"]["rollbacks"] == 0


def test_many_bad_steps_in_a_row_go_back_with_half_the_learning_rate(tmp_path, dataset):
    folder = tmp_path / "run"
    faults = {"nan": {"rank": 1, "first": 8, "last": 100, "above_lr": 6e-4}}
    program = run(folder, dataset, ranks=2, faults=faults, max_bad_steps=4, save_every=100)
    warnings = [line for line in program.output.splitlines() if "back to step" in line]
    assert len(warnings) == 1
    assert "loss/" in warnings[0] and "of rank 1 is not finite at step 12, samples 46 to 47" in warnings[0]
    assert "back to step 6 with 0.5 x the learning rate (1 of 3)" in warnings[0]
    figures = lines(folder)
    assert [line["step"] for line in figures] == list(range(1, 21))
    assert all(line["lr/g"] == (5e-4 if line["step"] > 6 else 1e-3) for line in figures)
    assert all(line.get("rollbacks", 0) == (1 if line["step"] > 6 else 0) for line in figures)
    counters = checkpoint.load(folder / "last.pt")["counters"]
    assert (counters["rollbacks"], counters["lr_factor"], counters["step"]) == (1, 0.5, 20)


def test_a_run_that_stays_bad_stops_with_exit_code_3_and_says_why(tmp_path, dataset):
    folder = tmp_path / "run"
    faults = {"nan": {"rank": 0, "first": 8, "last": 100}, "most_rollbacks": {"number": 2}}
    program = run(folder, dataset, faults=faults, max_bad_steps=4, save_every=100, code=3)
    last = program.output.strip().splitlines()[-1]
    assert last.startswith("train_simple_worker.py: training diverged: loss/")
    assert "of rank 0 is not finite at step 12, samples 22 to 23, after 2 return(s) to an earlier checkpoint" in last
    assert program.output.count("back to step 6") == 2
    assert "0.25 x the learning rate (2 of 2)" in program.output
    assert "Traceback" not in program.output


def test_memory_that_runs_out_is_one_sentence_and_costs_the_steps_since_the_save(tmp_path, dataset, untouched):
    folder = tmp_path / "run"
    program = run(folder, dataset, faults={"memory_limit": {"step": 7, "spare": 1}}, code=2)
    last = program.output.strip().splitlines()[-1]
    assert last.startswith("train_simple_worker.py: cpu is out of memory with a batch of 2 per device: "), last
    assert "Traceback" not in program.output and "passed over" not in program.output
    program = run(folder, dataset, faults={}, resume="auto")
    assert "step 6" in program.output
    assert_same_run(folder, untouched(1))
