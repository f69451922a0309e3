"""Programs with a limit of time: asked to stop when it is over, then killed with all that they started."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
STOPPING_S = 25  # a run of training that is asked to stop may take 20 s
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM, -signal.SIGKILL)


def run_until(call: Sequence[object], until: float = math.inf, environment: Mapping[str, str] | None = None) -> int:
    """Runs a program until it ends, at most until `until` (time.monotonic); returns its exit code.

    It has a process group of its own: the ranks of a launcher that had to be killed would otherwise keep the devices.
    """
    words = [str(word) for word in call]
    process = subprocess.Popen(words, cwd=ROOT, stdout=sys.stderr, env=environment, start_new_session=True)
    try:
        process.wait(None if until == math.inf else max(1.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOPPING_S)
    finally:
        with suppress(ProcessLookupError):  # nobody is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode
