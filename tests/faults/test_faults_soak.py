"""Fixed seeds of the random schedules of soak.py; others: python tests/faults/soak.py --minutes 30 --seed 100."""

import os

import pytest
from fault_runs import ROOT
from soak import Soak
from soak_checks import each_sample_once, no_traceback
from soak_faults import ALL, AT_START, ON_DISK, ON_THE_WIRE, STRIKES
from soak_setting import Disk, Fault
from soak_table import MARKS, put_between, table
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


SHORT = {
    "on torchrun, its agent is killed": ("audio", 2, "torchrun", Fault("kill_launcher", 8, 1)),
    "by the plain launcher, which is killed": ("dcgan", 2, "plain", Fault("kill_launcher", 8, 1)),
    "an agent of two machines is killed": ("audio", 2, "machines", Fault("kill_launcher", 8, 1)),
    "the cable is out for a while": ("audio", 2, "machines", Fault("short_cut", 8, 3)),
    "read-only until the end": ("audio", 2, "torchrun", Fault("read_only_disk", 8, 0)),
    "read-only for a while": ("dcgan", 1, "itself", Fault("read_only_disk", 8, 3)),
    "the disk fails": ("audio", 2, "plain", Fault("failed_disk", 8, 0)),
    "latents cut short to nothing in use": ("audio", 1, "itself", Fault("latents_cut_short_in_use", 8, 9)),
    "the list of the latents is cut short": ("audio", 1, "itself", Fault("index_altered", 8, 0)),
    "latents overwritten in use": ("audio", 2, "torchrun", Fault("latents_overwritten_in_use", 8, 6)),
    # Seeds that failed once, in their shortest form.
    "2008, no memory for the thread of a save": ("dcgan", 1, "torchrun", Fault("memory_limit", 9, 59822)),
    "3140, no memory for code that oneDNN writes": ("dcgan", 1, "itself", Fault("memory_limit", 5, 62084)),
    "3107, latents rot after they were compared": ("audio", 1, "torchrun", Fault("latents_rotten_in_use", 20, 51652)),
    "3333, an agent stands still, and the cable is cut": (
        "audio",
        2,
        "machines",
        Fault("pause_launcher", 14, 6548),
        Fault("cut", 17, 35106),
    ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SHORT)
def test_a_short_schedule_ends_as_the_untouched_run(name, soak):
    kind, ranks, launcher, *faults = SHORT[name]
    schedule, record = Schedule(0, kind, ranks, launcher, tuple(faults)), Record()
    if soak.possible(schedule) != schedule:
        pytest.skip("this machine does not let us mount a disk or make a wire, which it needs")
    assert soak.attempt(schedule, record) is None
    assert all(record.faults[fault.name] == 1 for fault in faults)


def test_a_disk_can_be_read_only_and_can_fail(tmp_path):
    disk = Disk(tmp_path, can_fail=True)
    file = disk.folder / "file"
    file.write_text("whole")
    try:
        if not disk.make_read_only():
            pytest.skip("this machine does not let us mount anything")
        with pytest.raises(OSError):
            file.write_text("more")
        disk.restore()
        file.write_text("whole again")
        if disk.can_fail:
            with open(file, "a") as open_before:
                os.fsync(open_before.fileno())
                assert disk.fail()
                with pytest.raises(OSError):
                    os.write(open_before.fileno(), b"!")
            disk.restore()
            assert file.read_text() == "whole again"
    finally:
        disk.close()


def test_the_table_of_two_logs():
    seen = [
        {"seed": 4, "faults": {"quit": 2, "flip": 1}, "starts": 3, "ends": [["quit", 0, 9.0], ["flip", 3, 12.0]],
         "seconds": 1800.0, "fails": None},
        {"seed": 5, "faults": {"quit": 1}, "starts": 2, "ends": [["quit", 2, 10.0]], "seconds": 3600.0, "fails": "why"},
    ]  # fmt: skip
    made = table(seen)
    assert "2 schedules (seeds 4 to 5) in 1.5 hours: 4 faults, 5 starts, 3 times on after an end. 1 hold, not" in made
    assert made.splitlines()[-3:] == [
        "| all | 4 | 3 | 2, 3 | 10.0, 12.0 |",
        "| quit | 3 | 2 | 1, 2 | 9.5, 10.0 |",
        "| flip | 1 | 1 | 3, 3 | 12.0, 12.0 |",
    ]
    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n"
    assert put_between(page, made) == put_between(put_between(page, "other"), made) == page.replace("old", made)
    with pytest.raises(ValueError):
        put_between("no marks", made)


def test_schedules_are_functions_of_their_seed_and_use_all_faults():
    assert drawn(7) == drawn(7) != drawn(8)
    for first in (0, 3000):
        in_a_row = [drawn(seed) for seed in range(first, first + len(ALL))]
        assert {fault.name for schedule in in_a_row for fault in schedule.faults} == {*ALL}
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
