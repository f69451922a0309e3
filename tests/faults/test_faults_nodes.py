"""Two machines train together; then the cable is pulled, or packets get lost."""

import os
import shutil
import signal
import time

import pytest
from fault_runs import assert_same_run, children, kill_tree, last_step, run, wait_until
from machines import LOOPBACK, LOST_SECONDS, Relay, namespaces, start_machine, veth

BOUND = 120.0  # seconds: the ranks wait 12 s for each other, then their agents must notice


@pytest.fixture
def wire():
    """A veth pair between two network namespaces where the machine allows it, else loopback."""
    with namespaces(veth) as found:
        yield found or LOOPBACK


@pytest.fixture
def relay():
    """A wire that may lose and delay packets, and the Wire for start_machine."""
    relay = Relay()
    try:
        with namespaces(relay.between) as found:
            if found is None:
                pytest.skip("this machine does not let us make network namespaces")
            yield relay, found
    finally:
        relay.close()


def test_two_machines_train_and_neither_hangs_when_cut_off(tmp_path, dataset, untouched, wire):
    folder, outputs = tmp_path / "run", [tmp_path / "first.output", tmp_path / "second.output"]
    machines = [start_machine(wire, k, folder, dataset, outputs[k]) for k in range(2)]
    try:
        wait_until(lambda: last_step(folder) >= 7 or machines[0].process.poll() is not None, 120)
        assert machines[0].process.poll() is None, outputs[0].read_text()[-4000:]
        began = time.monotonic()
        wire.cut(machines[1].process)
        codes = [machine.process.wait(BOUND) for machine in machines]
        print(
            f"in {'namespaces' if wire.namespaces else 'loopback'}: ended after {time.monotonic() - began:.1f} s", codes
        )
        assert all(code != 0 for code in codes)
        assert not children(machines[0].process.pid)
        assert "lost the connection to another rank" in outputs[0].read_text()
    finally:
        for machine in machines:
            kill_tree(machine.process.pid)
    run(folder, dataset, ranks=2, faults={}, resume="auto")
    assert_same_run(folder, untouched(2))


def test_a_machine_ends_that_waits_for_an_answer_of_one_that_froze(tmp_path, dataset, relay):
    """The ranks finish; the second agent tells the first one, which takes the message, and never answers."""
    wire, folder, outputs = relay[1], tmp_path / "run", [tmp_path / "first.output", tmp_path / "second.output"]
    machines = [start_machine(wire, k, folder, dataset, outputs[k]) for k in range(2)]
    try:
        wait_until(lambda: last_step(folder) >= 3 or machines[0].process.poll() is not None, 120)
        assert machines[0].process.poll() is None, outputs[0].read_text()[-4000:]
        os.kill(machines[0].process.pid, signal.SIGSTOP)
        wait_until(lambda: (folder / "generator.safetensors").exists(), 120, machines[1])
        time.sleep(10)
        relay[0].is_cut = True
        assert machines[1].process.wait(BOUND + LOST_SECONDS) == -signal.SIGKILL
        assert "has not answered" in outputs[1].read_text()
    finally:
        for machine in machines:
            kill_tree(machine.process.pid)


def test_machines_with_disks_of_their_own_each_build_their_cache(tmp_path, dataset, untouched):
    """Two agents on loopback; the second machine has its own copy of the music, no latents and another run folder."""
    for name in ("one", "two"):
        shutil.copytree(dataset, tmp_path / name / "pairs", ignore=shutil.ignore_patterns("latents"))
    outputs = [tmp_path / "first.output", tmp_path / "second.output"]
    machines = [
        start_machine(LOOPBACK, k, tmp_path / name / "run", tmp_path / name / "pairs", outputs[k], timeout_minutes=2)
        for k, name in enumerate(("one", "two"))
    ]
    try:
        codes = [machine.process.wait(240) for machine in machines]
    finally:
        for machine in machines:
            kill_tree(machine.process.pid)
    assert codes == [0, 0], outputs[0].read_text()[-3000:]
    assert_same_run(tmp_path / "one" / "run", untouched(2))
    assert not (tmp_path / "two" / "run").exists()
    assert list((tmp_path / "two" / "pairs" / "latents").glob("*/index.json"))


def test_lost_and_late_packets_and_a_short_cut_change_nothing(tmp_path, dataset, untouched, relay):
    wire, folder = relay[1], tmp_path / "run"
    outputs = [tmp_path / "first.output", tmp_path / "second.output"]
    machines = [start_machine(wire, k, folder, dataset, outputs[k], timeout_minutes=1) for k in range(2)]
    try:
        wait_until(lambda: last_step(folder) >= 3 or machines[0].process.poll() is not None, 120)
        relay[0].loss, relay[0].delay = 0.05, 0.02
        wait_until(lambda: last_step(folder) >= 8 or machines[0].process.poll() is not None, 120)
        relay[0].is_cut = True
        time.sleep(4)
        relay[0].restore()
        codes = [machine.process.wait(BOUND) for machine in machines]
    finally:
        for machine in machines:
            kill_tree(machine.process.pid)
    assert codes == [0, 0], outputs[0].read_text()[-3000:]
    assert_same_run(folder, untouched(2))
