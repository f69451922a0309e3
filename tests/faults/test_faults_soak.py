"""Fixed seeds of the random schedules of soak.py; others: python tests/faults/soak.py --minutes 30 --seed 100."""

import pytest
from fault_runs import ROOT
from soak import Soak
from soak_checks import each_sample_once, no_traceback
from soak_faults import AT_START, ON_DISK, ON_THE_WIRE, STRIKES, Fault
from soak_trial import LAUNCHERS, Record, Schedule, drawn


@pytest.fixture(scope="module")
def soak(tmp_path_factory):
    return Soak(tmp_path_factory.mktemp("soak"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [6, 19, 38])
def test_a_random_schedule_ends_as_the_untouched_run(seed, soak):
    schedule, record = drawn(seed), Record()
    assert soak.attempt(schedule, record) is None
    assert sum(record.faults.values()) >= 1 and record.starts >= 1  # one that ends nothing lets the run come to its end


@pytest.mark.timeout(900)
def test_a_schedule_that_did_not_end_holds(soak):
    """No memory for the thread of a save, for which Python then waited forever; shortest form of seed 2008."""
    schedule = Schedule(2008, "dcgan", 1, "torchrun", (Fault("memory_limit", 9, 59822),))
    assert soak.attempt(schedule, Record()) is None


def test_schedules_are_functions_of_their_seed_and_use_all_faults():
    assert drawn(7) == drawn(7) != drawn(8)
    schedules = [drawn(seed) for seed in range(400)]
    assert {fault.name for schedule in schedules for fault in schedule.faults} == {
        *STRIKES, *AT_START, *ON_DISK, *ON_THE_WIRE,
    }  # fmt: skip
    assert {(schedule.ranks, schedule.launcher) for schedule in schedules} == set(LAUNCHERS)
    assert {schedule.kind for schedule in schedules} == {"audio", "dcgan"}
    assert all(2 <= len(schedule.faults) <= 5 for schedule in schedules)


def trace_of(folder, *lines: str):
    """A run of two ranks by `start attempt step indices...`."""
    for rank in range(2):
        (folder / f"trace.{rank}").write_text("".join(line + "\n" for line in lines[rank::2]))
    return folder / "trace"


def test_samples_are_counted_by_the_last_attempt_of_each_step(tmp_path):
    whole = [f"1 0 {step} {4 * step + 2 * rank} {4 * step + 2 * rank + 1}" for step in range(20) for rank in range(2)]
    each_sample_once(trace_of(tmp_path, *whole))
    each_sample_once(trace_of(tmp_path, *whole[:8], *(line.replace("1 0", "2 1", 1) for line in whole[4:])))
    for wrong in (whole[:-1], [*whole[:6], whole[4].replace(" 2 ", " 3 ", 1), *whole[7:]]):
        with pytest.raises(AssertionError):
            each_sample_once(trace_of(tmp_path, *wrong))


def test_a_traceback_through_the_program_is_found_and_torchruns_own_is_not():
    summary = 'Traceback (most recent call last):\n  File "/lib/torch/run.py", line 1, in main\nChildFailedError: x\n'
    no_traceback(f"start\n{summary}train_simple_worker.py: a sentence\n")
    no_traceback(summary.replace("/lib/torch", f"{ROOT}/.venv/lib/torch"))
    with pytest.raises(AssertionError):
        no_traceback(f"{summary}{summary.replace('/lib/torch/run.py', __file__)}")
