"""Asked to stop (preemption, Ctrl-C): all ranks save together and leave soon, resumable, whatever they were doing."""

import contextlib
import os
import signal
import time

import pytest
from fault_runs import children, kill_tree, last_step, lines, run, start, wait_until

from runtime import checkpoint

BOUND = 20.0
STEP = {"slow_steps": {"seconds": 0.2}}
MOMENTS = {
    "a step": (STEP, None),
    "validation": (STEP | {"slow_validation": {"seconds": 3.0}}, "VALIDATING"),
    "saving": (STEP | {"slow_save": {"seconds": 3.0, "after": 1}}, "SAVING"),
    "data loading": ({"slow_data": {"seconds": 2.0, "index": 12}}, "LOADING"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_sigterm_to_torchrun(tmp_path, dataset, moment):
    folder = tmp_path / "run"
    faults, sign = MOMENTS[moment]
    program = start(folder, dataset, ranks=2, faults=faults, val_every=1, batch_size=1)
    program.wait_for_step(folder, 4)
    if sign:
        program.wait_for(sign)
    workers = children(program.process.pid)
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    code = program.end(BOUND + 10)
    took = time.monotonic() - began
    print(f"{moment}: left after {took:.1f} s")
    assert took < BOUND and code != 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    assert (
        "stopped at step" in program.output
        and 'Traceback (most recent call last):\n  File "/' not in (program.output.split("stopped at step")[0])
    )
    state = checkpoint.load(folder / "last.pt")["counters"]
    assert state["step"] == last_step(folder) >= 4  # nothing done was lost
    if moment == "validation":
        assert not any("val/current" in line for line in lines(folder) if line["step"] == state["step"])
        assert state["samples_seen"] // 20 > state["finished_epochs"]  # its end will be dealt with on resume
    went_on = run(folder, dataset, faults={}, resume="auto", max_steps=state["step"] + 1, batch_size=2)
    assert f"step {state['step']}\n" in went_on.output


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_exit_code_of_the_plain_launcher_is_128_and_the_signal(tmp_path, dataset, number, code):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2, epochs=2000)
    program.wait_for_step(folder, 4)
    began = time.monotonic()
    os.killpg(program.process.pid, number)
    assert program.end(BOUND + 10) == code
    assert time.monotonic() - began < BOUND
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == last_step(folder)


def test_exit_code_of_a_worker_is_128_and_the_signal(tmp_path, dataset):
    program = start(tmp_path / "run", dataset, faults=STEP)
    program.wait_for_step(tmp_path / "run", 3)
    program.process.send_signal(signal.SIGINT)
    assert program.end(BOUND) == 130


def test_a_second_signal_leaves_at_once(tmp_path, dataset):
    folder = tmp_path / "run"
    program = start(folder, dataset, faults=STEP | {"slow_save": {"seconds": 60.0, "after": 1}})
    program.wait_for_step(folder, 3)
    program.process.send_signal(signal.SIGTERM)
    time.sleep(1.0)
    assert program.process.poll() is None  # it waits for its save
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.end(10) == 143
    print(f"left after {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 2
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == 0  # the save before is intact


def test_no_end_takes_longer_than_the_grace(tmp_path, dataset):
    folder = tmp_path / "run"
    program = start(folder, dataset, faults=STEP | {"slow_save": {"seconds": 300.0, "after": 1}})
    program.wait_for_step(folder, 4)
    began = time.monotonic()
    program.process.send_signal(signal.SIGTERM)
    assert program.end(BOUND + 10) == 143
    assert BOUND - 1 < time.monotonic() - began < BOUND + 3
    assert "no clean shutdown within 20 s" in program.output


def test_workers_do_not_outlive_their_launcher(tmp_path, dataset):
    folder = tmp_path / "run"
    program = start(folder, dataset, ranks=2, faults=STEP)
    program.wait_for_step(folder, 3)
    workers = children(program.process.pid)
    os.kill(program.process.pid, signal.SIGKILL)
    program.end()
    give_up = time.monotonic() + BOUND
    alive = workers
    while alive and time.monotonic() < give_up:
        alive = [pid for pid in alive if os.path.exists(f"/proc/{pid}")]
        time.sleep(0.1)
    for pid in alive:
        kill_tree(pid)
    assert not alive
    assert checkpoint.load(folder / "last.pt")["counters"]["step"] == last_step(folder)


@pytest.mark.parametrize("torchrun", [False, True], ids=["launcher", "torchrun"])
def test_workers_that_are_still_starting_do_not_outlive_their_launcher(tmp_path, dataset, torchrun):
    """At that time they listen to no signal yet and wait for nobody who could say so."""
    program = start(tmp_path / "run", dataset, ranks=2, torchrun=torchrun)
    wait_until(lambda: len(workers_of(program)) == 2, 120, program)
    workers = workers_of(program)
    time.sleep(0.3)
    os.kill(program.process.pid, signal.SIGKILL)
    program.end()
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), BOUND)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def workers_of(program) -> list[int]:
    """Ranks that Python has begun to run."""
    found = []
    for pid in children(program.process.pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"train_simple_ddp.py" in file.read():
                found.append(pid)
    return found
