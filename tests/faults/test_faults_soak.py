"""Fixed seeds of the random schedules of soak.py; others: python tests/faults/soak.py --minutes 30 --seed 100."""

import pytest
from soak import BESIDE, INSIDE, ON_DISK, SIGNALS, Record, attempt, drawn


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_a_random_schedule_ends_as_the_untouched_run(seed, tmp_path, dataset, untouched):
    schedule, record = drawn(seed), Record()
    assert attempt(schedule, tmp_path, dataset, untouched(schedule.ranks), record) is None
    assert sum(record.faults.values()) >= 1 and record.starts >= 1  # one that ends nothing lets the run come to its end


def test_schedules_are_functions_of_their_seed_and_use_all_faults():
    assert drawn(7) == drawn(7) != drawn(8)
    used = {fault.name for seed in range(200) for fault in drawn(seed).faults}
    assert used == {*SIGNALS, *INSIDE, *ON_DISK, *BESIDE}
    assert all(len(drawn(seed).faults) in (2, 3, 4) for seed in range(50))
