"""Two torchrun agents as two machines, by the very command of launch/two_nodes.sh; then the cable is pulled."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_runs import INJECT, ROOT, TINY, assert_same_run, children, kill_tree, last_step, run, wait_until

BOUND = 120.0  # seconds: the ranks wait 12 s for each other, then their agents must notice


@dataclass
class Wire:
    """Two addresses, how to run a program at each, and how to cut them off from each other."""

    addresses: tuple[str, str]
    prefixes: tuple[tuple[str, ...], tuple[str, ...]]
    namespaces: tuple[str, str] | None

    def cut(self, second) -> None:
        if self.namespaces:
            subprocess.run(["ip", "-n", self.namespaces[1], "link", "set", "eth1", "down"], check=True)
        else:
            kill_tree(second.pid)  # loopback has no cable: the machine loses its power instead


@pytest.fixture
def wire():
    """A veth pair between two network namespaces where the machine allows it, else loopback."""
    names = tuple(f"n2m{os.getpid()}{side}" for side in "ab")
    addresses = ("10.231.7.1", "10.231.7.2")
    commands = [f"netns add {names[0]}", f"netns add {names[1]}",
                f"link add eth1 netns {names[0]} type veth peer name eth1 netns {names[1]}"]  # fmt: skip
    for name, address in zip(names, addresses, strict=True):
        commands += [f"-n {name} addr add {address}/24 dev eth1", f"-n {name} link set eth1 up"]
        commands += [f"-n {name} link set lo up"]
        # TCP towards a machine that is gone gives up after seconds, not after the usual quarter of an hour.
        commands += [f"netns exec {name} sysctl -qw net.ipv4.tcp_retries2=5"]
    try:
        done = all(subprocess.run(["ip", *c.split()], capture_output=True).returncode == 0 for c in commands)
    except OSError:
        done = False
    try:
        if done:
            yield Wire(addresses, tuple(("ip", "netns", "exec", name) for name in names), names)
        else:
            yield Wire(("127.0.0.1", "127.0.0.2"), ((), ()), None)
    finally:
        for name in names if done else ():
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def start_machine(wire: Wire, which: int, folder: Path, dataset: Path, output: Path, **options):
    """`launch/two_nodes.sh` as a user of that machine would type it; with steps slow enough to be watched."""
    values = TINY | {"dataset_folder": dataset, "checkpoint_dir": folder, "timeout_minutes": 0.2} | options
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    script = (ROOT / "launch" / "two_nodes.sh").read_text().replace("train_simple_ddp.py --", f"{INJECT} --")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "GPUS": "1", "RESTARTS": "0",
        "JOIN_SECONDS": "60", "OMP_NUM_THREADS": "1", "N2M_FAULTS": '{"slow_steps": {"seconds": 0.3}}',
        "GLOO_SOCKET_IFNAME": "eth1" if wire.namespaces else "lo",
    }  # fmt: skip
    command = ["bash", "-c", script, "two_nodes.sh", wire.addresses[0], wire.addresses[which], *flags]
    with open(output, "w") as file:
        return subprocess.Popen(
            [*wire.prefixes[which], *command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def test_two_machines_train_and_neither_hangs_when_cut_off(tmp_path, dataset, untouched, wire):
    folder, outputs = tmp_path / "run", [tmp_path / "first.output", tmp_path / "second.output"]
    machines = [start_machine(wire, k, folder, dataset, outputs[k]) for k in range(2)]
    try:
        wait_until(lambda: last_step(folder) >= 7 or machines[0].poll() is not None, 120)
        assert machines[0].poll() is None, outputs[0].read_text()[-4000:]
        began = time.monotonic()
        wire.cut(machines[1])
        codes = [machine.wait(BOUND) for machine in machines]
        print(
            f"in {'namespaces' if wire.namespaces else 'loopback'}: ended after {time.monotonic() - began:.1f} s", codes
        )
        assert all(code != 0 for code in codes)
        assert not children(machines[0].pid)
        assert "lost the connection to another rank" in outputs[0].read_text()
    finally:
        for machine in machines:
            kill_tree(machine.pid)
    run(folder, dataset, ranks=2, faults={}, resume="auto")
    assert_same_run(folder, untouched(2))


def test_machines_with_disks_of_their_own_each_build_their_cache(tmp_path, dataset, untouched):
    """Two agents on loopback; the second machine has its own copy of the music, no latents and another run folder."""
    wire = Wire(("127.0.0.1", "127.0.0.2"), ((), ()), None)
    for name in ("one", "two"):
        shutil.copytree(dataset, tmp_path / name / "pairs", ignore=shutil.ignore_patterns("latents"))
    outputs = [tmp_path / "first.output", tmp_path / "second.output"]
    machines = [
        start_machine(wire, k, tmp_path / name / "run", tmp_path / name / "pairs", outputs[k], timeout_minutes=2)
        for k, name in enumerate(("one", "two"))
    ]
    try:
        codes = [machine.wait(240) for machine in machines]
    finally:
        for machine in machines:
            kill_tree(machine.pid)
    assert codes == [0, 0], outputs[0].read_text()[-3000:]
    assert_same_run(tmp_path / "one" / "run", untouched(2))
    assert not (tmp_path / "two" / "run").exists()
    assert list((tmp_path / "two" / "pairs" / "latents").glob("*/index.json"))
