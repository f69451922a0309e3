"""Programs whose output nobody reads any more, or goes nowhere, do their work all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
TALKER = """
import sys
from runtime.console import outlive_readers
outlive_readers()
open(sys.argv[1], "a").close()
for i in range(2000):
    print("out", i, "\\u00e4\\udce9", flush=i % 2 == 0)
    print("err", i, file=sys.stderr)
sys.stdout.isatty(), sys.stderr.isatty()
open(sys.argv[1], "w").write("done")
"""


def talk(tmp_path, redirection, options="", **environment):
    """Runs the talker in a shell -> its exit code (the talker's, not that of a program behind a pipe)."""
    command = f"{sys.executable} {options} -c '{TALKER}' {tmp_path / 'result'} {redirection}"
    script = f"set -o pipefail; {command}"
    return subprocess.run(["bash", "-c", script], cwd=ROOT, env=os.environ | environment, capture_output=True)


@pytest.mark.parametrize("options", ["", "-u"])
@pytest.mark.parametrize(
    "redirection", ["| head -1", "2>&1 | head -1", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"]
)
def test_work_goes_on_without_output(tmp_path, redirection, options):
    if "full" in redirection and not FULL.exists():
        pytest.skip("no full device")
    done = talk(tmp_path, redirection, options)
    assert done.returncode == 0, done.stderr[-500:]
    assert (tmp_path / "result").read_text() == "done"  # and no line of output went into it
    assert b"Traceback" not in done.stderr and b"Error" not in done.stderr


def test_letters_that_the_output_lacks_are_escaped(tmp_path):
    done = talk(tmp_path, "", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0 and done.stdout.splitlines()[0] == b"out 0 \\xe4\\udce9"


def test_output_is_as_before(tmp_path):
    done = talk(tmp_path, "")
    assert done.stdout.count(b"\n") == 2000 and done.stderr.count(b"\n") == 2000


PROGRAMS = {
    "prepare_dataset.py": ["--demo", "--demo_songs", "2", "--duration", "0.5", "--workers", "1"],
    "evaluate.py": ["--help"],
    "generate.py": ["--help"],
    "sweep.py": ["--help"],
    "train_simple_ddp.py": ["--help"],
}


@pytest.mark.skipif(not FULL.exists(), reason="no full device")
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_outlives_a_full_disk_behind_its_output(tmp_path, program):
    command = [sys.executable, str(ROOT / program), *PROGRAMS[program]]
    with open(FULL, "w") as full:
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    if program == "prepare_dataset.py":
        assert (tmp_path / "dataset_pairs_wav" / "dataset.yaml").exists()
