"""Two torchrun agents as two machines, by the very command of launch/two_nodes.sh, and the wire between them."""

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fault_runs import ROOT, TINY, Program, environment_of, kill_tree

LOST_SECONDS = 90  # of launch/two_nodes.sh: longer than the first machine may take to start
OWN_TORCHRUN = Path(__file__).with_name("bin")
ADDRESSES = ("10.231.7.1", "10.231.7.2")
# TCP towards a machine that is gone gives up after seconds, not after the usual quarter of an hour.
SOON = "net.ipv4.tcp_retries2=5"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


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


LOOPBACK = Wire(("127.0.0.1", "127.0.0.2"), ((), ()), None)


def ip(*commands: str) -> bool:
    """Runs commands of iproute2; whether all succeeded."""
    try:
        return all(subprocess.run(["ip", *c.split()], capture_output=True).returncode == 0 for c in commands)
    except OSError:
        return False


@contextlib.contextmanager
def namespaces(make):
    """Two network namespaces, and in each the device eth1 that `make(names)` puts there; None where that is refused."""
    names = tuple(f"n2m{os.getpid()}{side}" for side in "ab")
    try:
        done = ip(*(f"netns add {name}" for name in names)) and make(names)
        for name, address in zip(names, ADDRESSES, strict=True):
            done = done and ip(
                f"-n {name} addr add {address}/24 dev eth1", f"-n {name} link set eth1 up",
                f"-n {name} link set lo up", f"netns exec {name} sysctl -qw {SOON}",
            )  # fmt: skip
        yield Wire(ADDRESSES, tuple(("ip", "netns", "exec", name) for name in names), names) if done else None
    finally:
        ip(*(f"netns del {name}" for name in names))


def veth(names: tuple[str, str]) -> bool:
    """A cable."""
    return ip(f"link add eth1 netns {names[0]} type veth peer name eth1 netns {names[1]}")


class Relay(threading.Thread):
    """A wire whose packets pass through this thread, which loses, delays or stops them.

    Attributes:
        loss: share of the packets that are lost, each way.
        delay: seconds that each packet takes, each way.
        is_cut: whether all are lost.
    """

    def __init__(self) -> None:
        super().__init__(name="relay", daemon=True)
        self.loss = self.delay = 0.0
        self.is_cut = False
        self._ends: list[int] = []
        self._chance = random.Random(1)
        self._closed = False

    def between(self, names: tuple[str, str]) -> bool:
        """Puts an end into each namespace, as eth1; whether the system allows it."""
        try:
            for name in names:
                end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
                self._ends.append(end)
                fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
                if not ip(f"link set {name} netns {name}", f"-n {name} link set {name} name eth1",
                          f"-n {name} link set eth1 mtu 9000"):  # fmt: skip
                    return False
        except OSError:
            return False
        self.start()
        return True

    def restore(self) -> None:
        self.loss, self.delay, self.is_cut = 0.0, 0.0, False

    def run(self) -> None:
        under_way: list[tuple[float, int, int, bytes]] = []  # when due, number, to which end, packet
        number = 0
        while not self._closed:
            now = time.monotonic()
            wait = min(0.1, max(0.0, under_way[0][0] - now)) if under_way else 0.1
            for end in select.select(self._ends, [], [], wait)[0]:
                with contextlib.suppress(OSError):
                    packet = os.read(end, 65536)
                    if not self.is_cut and self._chance.random() >= self.loss:
                        number += 1
                        other = self._ends[1 - self._ends.index(end)]
                        heapq.heappush(under_way, (time.monotonic() + self.delay, number, other, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                with contextlib.suppress(OSError):
                    os.write(under_way[0][2], under_way[0][3])
                heapq.heappop(under_way)

    def close(self) -> None:
        self._closed = True
        if self.is_alive():
            self.join()
        for end in self._ends:
            os.close(end)


def start_machine(
    wire: Wire, which: int, folder: Path, dataset: Path, output: Path, faults: dict | None = None, **options
) -> Program:
    """`launch/two_nodes.sh` as a user of that machine would type it; without `faults` steps are slow."""
    values = TINY | {"dataset_folder": dataset, "checkpoint_dir": folder, "timeout_minutes": 0.2} | options
    flags = [part for name, value in values.items() if value is not None for part in (f"--{name}", str(value))]
    faults = {"slow_steps": {"seconds": 0.3}} if faults is None else faults
    environment = environment_of(faults, plug_in=True) | {
        "PATH": f"{OWN_TORCHRUN}:{Path(sys.executable).parent}:{os.environ['PATH']}", "GPUS": "1", "RESTARTS": "0",
        "JOIN_SECONDS": "120", "LOST_SECONDS": str(LOST_SECONDS),
        "GLOO_SOCKET_IFNAME": "eth1" if wire.namespaces else "lo",
    }  # fmt: skip
    command = [str(ROOT / "launch" / "two_nodes.sh"), wire.addresses[0], wire.addresses[which], *flags]
    with open(output, "w") as file:
        process = subprocess.Popen(
            [*wire.prefixes[which], *command], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    return Program(process, output)
