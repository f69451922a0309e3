"""Waiting threads sleep soon, in every program and under both launchers, unless the user wants them otherwise."""

import ast
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime import cores
from runtime.cores import SPINS, WAITING, sleep_while_waiting

ROOT = Path(__file__).parents[2]
LAUNCHERS = {
    "plain": [sys.executable, "train_simple_ddp.py", "--world_size", "2"],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "train_simple_ddp.py"],
}


def test_it_is_set_where_the_user_set_nothing(monkeypatch):
    for name in WAITING:
        monkeypatch.delenv(name, raising=False)
    sleep_while_waiting()
    assert {name: os.environ.get(name) for name in WAITING} == dict.fromkeys(WAITING) | {"GOMP_SPINCOUNT": SPINS}


@pytest.mark.parametrize("name", WAITING)
def test_what_the_user_set_stays(monkeypatch, name):
    for other in WAITING:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "7")
    sleep_while_waiting()
    assert {other: os.environ.get(other) for other in WAITING} == dict.fromkeys(WAITING) | {name: "7"}


@pytest.mark.parametrize(
    "busy, threads, left", [(0.2, 4, None), (1.4, 4, 3), (1.4, 3, None), (3.9, 4, 1), (3.9, 1, None)]
)
def test_who_shares_the_cores_is_said_what_would_be_faster(monkeypatch, busy, threads, left):
    monkeypatch.setattr(cores, "available_cores", lambda: 4)
    monkeypatch.setattr(cores, "busy_cores", lambda: busy)
    note = cores.crowded(threads)
    assert note is None if left is None else f"--num_threads {left} is faster than {threads}" in note


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's counters")
def test_a_busy_core_is_seen():
    """On one core, so that whatever else runs here makes no difference."""
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\nwhile True: pass"
    allowed, other = os.sched_getaffinity(0), subprocess.Popen([sys.executable, "-c", code])
    try:
        os.sched_setaffinity(0, [min(allowed)])
        time.sleep(0.5)
        assert cores.busy_cores(0.5) > 0.9
    finally:
        os.sched_setaffinity(0, allowed)
        other.kill()
        other.wait()


def test_where_the_system_does_not_say_nobody_is_busy(monkeypatch):
    monkeypatch.setattr(cores.Path, "read_text", lambda *_: (_ for _ in ()).throw(OSError()))
    assert cores.busy_cores(0.0) == 0


PLUG_IN = """
import json, os, pathlib, sys, time
if "RANK" in os.environ:
    here = pathlib.Path(__file__).parent
    seen = [os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules]
    (here / os.environ["RANK"]).write_text(json.dumps(seen))
    while not all((here / rank).exists() for rank in "01"):
        time.sleep(0.05)
    os._exit(2)
"""


@pytest.mark.e2e
@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "active"}], ids=["nothing given", "given"])
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_ranks_get_it_before_torch_is_there(tmp_path, launcher, given):
    """A plug-in, imported while the options are read, writes what each rank's environment holds at that time and ends
    it."""
    (tmp_path / "seen_by_ranks.py").write_text(PLUG_IN)
    environment = {name: value for name, value in os.environ.items() if name not in WAITING} | given
    environment |= {"PYTHONPATH": str(tmp_path), "NOISE2MUSIC_PLUGINS": "seen_by_ranks"}
    done = subprocess.run(
        [*LAUNCHERS[launcher], "--dataset_folder", str(tmp_path), "--checkpoint_dir", str(tmp_path / "run")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode != 0
    seen = [json.loads((tmp_path / rank).read_text()) for rank in "01"]
    assert seen == [[given.get("OMP_WAIT_POLICY"), None if given else SPINS, False]] * 2, done.stderr


def test_every_program_asks_for_it():
    """Those that keep on when their output is lost; the worker is started by the launcher, reports need no threads."""
    rooms = [path.parent for path in ROOT.glob("*/__init__.py")]
    for path in [*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("__main__.py"))]:
        called = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        if "outlive_readers" in called and path.stem != "train_simple_worker" and "monitoring" not in path.parts:
            assert "sleep_while_waiting" in called, path
