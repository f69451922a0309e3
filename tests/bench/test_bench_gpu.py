"""`make gpu` on a machine without a GPU: all of its logic at toy size, and tables that claim nothing."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.figures import Figure
from bench.gpu import __main__ as program
from bench.gpu import launching, programs, recipe
from bench.gpu.gathering import Gathering, collected, names_beside
from bench.gpu.parts import Row, failure, guarded, keep, kept
from bench.gpu.ranks import RANKS
from bench.gpu.short_runs import deviation, mean_deviation
from bench.gpu.speed import SPEED
from bench.gpu.tables import markdown, write
from bench.workloads import ROOT

CPU, GPU = {"kind": "cpu", "torch": "2"}, {"kind": "cuda", "torch": "2", "gpu": ["H"]}


@pytest.mark.e2e
@pytest.mark.timeout(1800)
def test_all_measurements_at_toy_size(tmp_path):
    """And one check: all of them are tests of this suite."""
    call = [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--only", "checks,ranks,launch,speed"]
    environment = os.environ | {"OUT": str(tmp_path), "PYTEST_ADDOPTS": "-k ema"}
    done = subprocess.run(call, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    written = json.loads((tmp_path / "gpu" / "figures.json").read_text())
    launched = {"launch/two_nodes.sh", "launch/slurm.sbatch"}
    assert {"ema follows its formula", *RANKS, *SPEED, *launched} == {row["part"] for row in written["rows"]}
    assert written["failed"] == [] and all(row["figure"]["value"] is None for row in written["rows"])
    assert all(f"{name}: steps on 2 ranks" in {row["figure"]["name"] for row in written["rows"]} for name in launched)
    rows = [line for line in (tmp_path / "gpu" / "tables.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(written["rows"]) and all("| not measured here |" in line for line in rows)


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_recipe_at_toy_size(tmp_path):
    """Preparing, the trial, training and evaluation by the programs themselves."""
    rows = program.recipe_rows(True, 0.0, tmp_path)
    assert [row.error for row in rows if row.failed] == []
    figures = {row.figure.name: row.figure.value for row in rows}
    assert figures["recipe base: steps"] >= recipe.TOY_STEPS
    assert {"recipe base, clips: gap closed", "recipe base, clips: coverage"} <= figures.keys()


@pytest.mark.parametrize("evaluated", [["clips", "notes"], ["clips"]])
def test_the_recipe_gets_the_time_that_is_left(tmp_path, monkeypatch, evaluated):
    """Programs are replaced by what they would write; a step takes 0.1 s of a clock of its own, one with the
    discriminator 0.3 s. The second ruler may find no time."""
    monkeypatch.setattr("kinds.audio.rulers.usable_rulers", lambda _: (["clips", "notes"], []))
    now, steps = [0.0], {}

    def run(call, until, _environment):
        words = [str(word) for word in call]
        options = dict(zip(words, words[1:], strict=False))
        if words[1].endswith("prepare_dataset.py"):
            (tmp_path / "music" / "train").mkdir(parents=True, exist_ok=True)
            for k in range(200):
                (tmp_path / "music" / "train" / f"{k}_target.wav").touch()
        elif words[1].endswith("train_simple_ddp.py"):
            folder = tmp_path / os.path.basename(options["--checkpoint_dir"])
            folder.mkdir()
            assert int(options["--global_batch_size"]) == 63  # what three devices can share
            count = steps[folder.name] = int(options["--epochs"]) * 200 // 63
            now[0] += 0.2 * count
            assert now[0] <= until and int(options["--g_pretrain_steps"]) == pytest.approx(count / 2, abs=4)
            (folder / "metrics.jsonl").write_text(logged((1, 9.0), (1, 0.1), (0, 9.0), (0, 0.3), step=count))
        elif options["--rulers"] in evaluated:
            sets = {"real": {}, "base (epoch 3, step 9)": {"gap_closed": {"value": 0.5, "low": 0.4, "high": 0.6}}}
            report = {"rulers": {options["--rulers"]: {"sets": sets}}}
            (tmp_path / os.path.basename(options["--json"])).write_text(json.dumps(report))
        return 0

    training = recipe.Training(tmp_path, 600.0, devices=3, clock=lambda: now[0], run=run)
    figures = {figure.name: figure.value for figure in recipe.recipe(training)}
    trial = 0.2 * steps["trial"]
    seconds = (1 - recipe.VALIDATION_SHARE) * (600 - trial - recipe.EVALUATION_S - recipe.START_UP_S)
    assert steps["base"] == pytest.approx(seconds / 0.2, rel=0.02)
    assert figures["recipe base: steps"] == steps["base"]
    assert [figures.get(f"recipe base, {r}: gap closed") for r in evaluated] == [0.5] * len(evaluated)
    assert "notes" in evaluated or figures["recipe base, notes"] is None


def logged(*phases_and_seconds, step: int) -> str:
    """Lines of metrics, one for each (phase, seconds of a step)."""
    return "\n".join(
        json.dumps({"step": step, "pretrain_phase": phase, "time": {"step_s": seconds}})
        for phase, seconds in phases_and_seconds
    )


def test_a_program_that_fails_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "run_until", lambda *_: 3)
    (row,) = program.recipe_rows(True, 0.0, tmp_path)
    assert row.failed and "prepare_dataset.py ended with exit code 3" in row.error


def test_a_program_is_stopped_with_all_that_it_started(tmp_path):
    """One that heeds the signal ends by it; one that does not is killed, and so is what it left running."""
    assert programs.run_until(["sleep", "60"], 0.0) == -signal.SIGTERM
    pid = tmp_path / "pid"
    stubborn = f"trap '' TERM; sleep 60 & echo $! > {pid}; while :; do sleep 0.1; done"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "STOPPING_S", 0.2)
        assert programs.run_until(["bash", "-c", stubborn], 0.0) == -signal.SIGKILL
    assert gone(int(pid.read_text()))


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds; it may wait for its parent to notice."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_part_that_fails_is_a_row_and_the_others_run(tmp_path):
    def broken(_place):
        raise RuntimeError("no kernel\nand a long story")

    rows = guarded("a", broken, None, True) + guarded("b", lambda _: [Figure("x", 0.5, "", "<= 1")], None, True)
    keep(rows, tmp_path / "rows")
    again = kept(tmp_path / "rows")
    assert [row.verdict for row in again] == ["failed", "pass"] and again[0].error == "RuntimeError: no kernel"
    write(again, GPU, tmp_path)
    assert json.loads((tmp_path / "figures.json").read_text())["failed"] == ["a"]
    assert "| b | x | 0.5 | <= 1 | pass |" in (tmp_path / "tables.md").read_text()


REASON = ("tests/gpu/test_x.py", 1, "Skipped: no compiler")
HELD, MISSED = (("figure", {"name": "x", "value": value, "bar_gpu": "<= 1"}) for value in (0.5, 2.0))


@pytest.mark.parametrize(
    ("outcome", "when", "longrepr", "figures", "expected"),
    [
        ("passed", "call", None, [HELD], [("x", "pass", "")]),
        ("passed", "call", None, [], [("a check[b]: holds", "pass", "")]),
        ("passed", "setup", None, [], []),
        ("failed", "call", "x: 2, not <= 1", [HELD, MISSED], [("x", "pass", ""), ("x", "failed", "")]),
        ("failed", "call", "no kernel\nlong", [HELD], [("x", "pass", ""), ("a check[b]", "failed", "no kernel")]),
        ("failed", "setup", "no GPU", [], [("a check[b]", "failed", "no GPU")]),
        ("skipped", "call", REASON, [], [("a check[b]", "left out", "")]),
    ],
)
def test_outcomes_of_tests_are_rows(tmp_path, outcome, when, longrepr, figures, expected):
    report = pytest.TestReport("tests/gpu/test_x.py::test_a_check[b]", REASON, {}, outcome, longrepr, when)
    report.user_properties = [*figures, ("other", 1)]
    Gathering(tmp_path / "rows").pytest_runtest_logreport(report)
    rows = kept(tmp_path / "rows")
    assert [(row.figure.name, row.verdict, row.error) for row in rows] == expected
    assert all(row.part == "a check[b]" for row in rows)
    assert outcome != "skipped" or rows[0].figure.note == "no compiler"


def test_checks_that_did_not_run_are_rows(tmp_path, monkeypatch):
    """What pytest found is known although its process ended; if it found nothing, the group is one row."""

    def dies(call, _until, _environment):
        assert {"tests/gpu", "bench.gpu.gathering", "--device"} <= set(call)
        return -11

    monkeypatch.setattr(program, "run_until", dies)
    assert [row.part for row in program.child("checks", True, math.inf, tmp_path)] == ["checks"]
    out = tmp_path / "checks.jsonl"
    names_beside(out).write_text(json.dumps(["a", "b"]))
    keep([Row("a", Figure("x", 1.0))], out)
    rows = program.child("checks", True, math.inf, tmp_path)
    assert collected(out) == ["a", "b"] and [(row.part, row.failed) for row in rows] == [("a", False), ("b", True)]


def test_deviations_are_relative():
    """The largest at any step, and that of the means: 3 instead of 2 at one of two steps."""
    expected = {name: np.array([2.0, 2.0]) for name in ("loss/recon", "loss/g_adv", "loss/d")}
    found = expected | {"loss/d": np.array([2.0, 3.0])}
    assert deviation(found, expected) == 0.5 and mean_deviation(found, expected) == 0.25


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("a", Figure("x", 2.0, "", "<= 1"), check=True), "failed"),
        (Row("a", Figure("x", 2.0, "", "<= 1")), "short"),
        (Row("a", Figure("x", None, "", "<= 1"), check=True), "left out"),
        (Row("a", Figure("x", 2.0)), ""),
        (failure("a", "why"), "failed"),
    ],
)
def test_verdicts(row, verdict):
    assert row.verdict == verdict and row.failed == (verdict == "failed")
    assert "not measured here" in markdown([row], CPU)


@pytest.mark.parametrize(("until", "why"), [(math.inf, "exit code -11"), (0.0, "not done within its time")])
def test_a_group_whose_process_ends_leaves_a_row_for_each_part(tmp_path, monkeypatch, until, why):
    def dies(_call, _until, _environment):
        keep([Row("step", Figure("x", 1.0))], tmp_path / "speed.jsonl")
        return -11

    monkeypatch.setattr(program, "run_until", dies)
    rows = program.child("speed", True, until, tmp_path)
    assert len(rows) == len(SPEED) and not rows[0].failed
    assert all(row.failed and why in row.error for row in rows[1:])


def test_all_ranks_are_started_by_torchrun(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(program, "devices", lambda: 4)
    monkeypatch.setattr(program, "run_until", lambda call, *_: calls.append(call) or 0)
    rows = program.rows_of("ranks", False, math.inf, tmp_path)
    assert "--nproc_per_node=4" in calls[0] and {row.error for row in rows} == {"it brought no rows"}
    monkeypatch.setattr(program, "devices", lambda: 1)
    (row,) = program.rows_of("ranks", False, math.inf, tmp_path)
    assert row.verdict == "left out" and len(calls) == 1


def test_a_launch_file_that_fails_is_a_row(tmp_path):
    row = launching.one("launch/x.sh", ["false"], {}, math.inf, dict(os.environ))
    assert row.failed and "exit code 1" in row.error


@pytest.mark.parametrize("options", [["--only", "chekcs"], ["--device", "tpu"]])
def test_wrong_options_end_with_2(options):
    with pytest.raises(SystemExit) as end:
        program.main(options)
    assert end.value.code == 2
