"""Training steps at real widths on two and four threads, beside a busy process: the same bits each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import repeatable_steps

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def equal() -> dict:
    """Whether two runs of five steps left the same gradients and weights: {threads: {case: bool}}."""
    folders = [HERE, HERE.parent, HERE.parents[1]]
    env = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": os.pathsep.join(map(str, folders))}
    busy = subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**6))"])
    try:
        call = [sys.executable, HERE / "repeatable_steps.py", "2", "4"]
        done = subprocess.run(call, env=env, check=True, capture_output=True, text=True, timeout=280)
    finally:
        busy.kill()
        busy.wait()
    return json.loads(done.stdout)


@pytest.mark.parametrize("threads", ["2", "4"])
@pytest.mark.parametrize("case", repeatable_steps.CASES)
def test_five_steps_twice_are_the_same_bits(equal, case, threads):
    assert equal[threads][case]
