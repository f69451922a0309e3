"""The bench's own arithmetic: bars, ratios, exponents; and that every row's script runs."""

import json
import os
import subprocess
import sys

import pytest

from bench.__main__ import ROWS
from bench.figures import Figure, meets, table
from bench.timing import Comparison, compare, exponent
from bench.workloads import ROOT


@pytest.mark.parametrize(
    ("value", "bar", "verdict"),
    [(1.03, "<= 1.03", True), (1.031, "<= 1.03", False), (1.0, "< 1", False), (3, ">= 2.5", 1)],
)
def test_bars(value, bar, verdict):
    assert meets(value, bar) == verdict


def test_table_says_pass_short_and_not_measured():
    figures = [Figure("a", 1.0, "<= 1.03", ">= 5"), Figure("b", 2.0, "<= 1.03"), Figure("c", None, ">= 1", note="no x")]
    lines = table(figures, "cpu").splitlines()
    assert [line.split()[-1] for line in lines[1:3]] == ["pass", "short"]
    assert "not measured here" in lines[3] and "no x" in lines[3]
    assert lines[4].startswith("a, one GPU") and "not measured here" in lines[4] and ">= 5" in lines[4]
    assert len(table(figures, "cuda").splitlines()) == 4


def test_ratio_compares_neighbours_in_time():
    """A slow spell of the machine (third round) touches both and leaves the ratio."""
    assert Comparison([2.0, 2.0, 20.0], [1.0, 1.0, 10.0]).ratio == 2.0
    assert Comparison([1.0, 9.0, 1.2], [1.0, 1.0, 1.0]).ratio == 1.2


def test_turns_alternate_and_end_with_the_budget():
    calls = []
    result = compare(lambda: calls.append("a"), lambda: calls.append("b"), 4)
    assert "".join(calls) == "ab" + "abba" * 2 and len(result.a) == len(result.b) == 4
    assert len(compare(lambda: None, lambda: None, 50, budget=0.0).a) == 3


def test_exponent_of_a_power_law():
    assert exponent([1, 10, 100], [3.0, 3.0 * 10**1.5, 3.0 * 10**3]) == pytest.approx(1.5)
    assert exponent([4, 8, 16], [7.0, 7.0, 7.0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_every_row_runs(tmp_path):
    """Broken scripts, not timings."""
    out = tmp_path / "figures.json"
    call = [sys.executable, "-m", "bench", "--quick", "--json", str(out)]
    done = subprocess.run(call, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    written = json.loads(out.read_text())
    assert {"command", "seed", "device", "versions", "figures"} == written.keys()
    assert len(written["figures"]) >= len(ROWS)
    assert all(f["value"] is None or f["value"] == f["value"] for f in written["figures"])


def test_unknown_row_is_one_sentence():
    done = subprocess.run([sys.executable, "-m", "bench", "stpe"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "stpe" in done.stderr and "Traceback" not in done.stderr
