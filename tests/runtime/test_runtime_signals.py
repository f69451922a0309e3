"""Requests to stop, in processes of their own (none of which imports torch)."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKER = """
import sys, time
from runtime import signals
signals.GRACE_SECONDS, signals.SAME_SECONDS = 3.0, 0.3
stop = signals.StopRequest().listen()
print("ready", flush=True)
while not stop.requested:
    time.sleep(0.01)
print("asked", stop.signal, flush=True)
"""
ORDERLY = WORKER + "time.sleep(0.2); print('saved', flush=True); sys.exit(128 + stop.signal)"
BUSY = WORKER + "time.sleep(60)"
HELD_UP = """
import ctypes
from runtime import signals
signals.GRACE_SECONDS, signals.SAME_SECONDS = 0.5, 0.3
signals.StopRequest().listen()
print("ready", flush=True)
while True:
    ctypes.CDLL(None).sleep(60)  # as in a collective: the main thread does not come back to Python
"""


@pytest.fixture
def start():
    """Starts a script and waits for its first line."""
    running = []

    def _start(script: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield _start
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_one_request_is_remembered_and_ends_in_order(start, number):
    process = start(ORDERLY)
    process.send_signal(number)
    out, _ = process.communicate(timeout=10)
    assert out.splitlines() == [f"asked {int(number)}", "saved"]
    assert process.returncode == 128 + number


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(start, ignored):
    process = start(
        ORDERLY.replace("stop = ", f"signals.signal.signal({int(ignored)}, signals.signal.SIG_IGN); stop = ")
    )
    process.send_signal(ignored)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=10)[0].splitlines() == [f"asked {int(signal.SIGTERM)}", "saved"]


def test_the_same_request_twice_within_a_moment_is_one(start):
    process = start(ORDERLY)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert "saved" in process.communicate(timeout=10)[0]
    assert process.returncode == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_request_leaves_at_once(start, number):
    process = start(BUSY)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.6)
    asked = time.monotonic()
    process.send_signal(number)
    assert process.wait(10) == 128 + number
    assert time.monotonic() - asked < 2


def test_an_end_that_takes_too_long_is_cut_off(start):
    process = start(HELD_UP)
    process.send_signal(signal.SIGTERM)
    _, written = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "no clean shutdown" in written
    assert len(written.splitlines()) == 1


def test_readers_ignore_requests(start):
    process = start(
        "from runtime import signals; signals.end_with_rank(); print('ready', flush=True); signals.time.sleep(60)"
    )
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        process.send_signal(number)
    time.sleep(0.2)
    assert process.poll() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the system call is Linux's")
def test_a_worker_does_not_outlive_its_launcher(start):
    worker = "import signal; from runtime import signals; signals.end_with_parent(); print('ready', flush=True)"
    launcher = start(
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {worker + '; signal.pause()'!r}], stdout=subprocess.PIPE)\n"
        "assert child.stdout.readline() == b'ready\\n'\n"
        "print('ready', flush=True); print(child.pid, flush=True); time.sleep(60)"
    )
    child = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    for _ in range(100):
        if not _alive(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the worker outlived its launcher")


@pytest.mark.skipif(sys.platform != "linux", reason="the system call is Linux's")
def test_a_worker_whose_launcher_is_dead_already_ends_at_once(start):
    worker = (
        "import os, sys, time\n"
        "while os.getppid() == int(sys.argv[1]): time.sleep(0.01)\n"
        "from runtime import signals\n"
        "print('adopted by', os.getppid(), flush=True); signals.end_with_parent(); print('lives', flush=True)\n"
    )
    launcher = start(
        "import os, subprocess, sys\n"
        "print('ready', flush=True)\n"
        f"subprocess.Popen([sys.executable, '-c', {worker!r}, str(os.getpid())]); os._exit(0)\n"
    )
    said = launcher.stdout.read()
    if "adopted by 1\n" not in said:
        pytest.skip("orphans here are not adopted by process 1")
    assert "lives" not in said


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
