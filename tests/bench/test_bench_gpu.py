"""`make gpu` on a machine without a GPU: all of its logic at toy size, and tables that claim nothing."""

import json
import os
import subprocess
import sys

import pytest

from bench.figures import Figure
from bench.gpu import __main__ as program
from bench.gpu import recipe
from bench.gpu.checks import CHECKS
from bench.gpu.parts import Row, failure, guarded, keep, kept
from bench.gpu.speed import SPEED
from bench.gpu.tables import markdown, write
from bench.workloads import ROOT

CPU, GPU = {"kind": "cpu", "torch": "2"}, {"kind": "cuda", "torch": "2", "gpu": ["H"]}


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_all_checks_and_measurements_at_toy_size(tmp_path):
    call = [sys.executable, "-m", "bench.gpu", "--device", "cpu", "--only", "checks,ranks,speed"]
    done = subprocess.run([*call, "--output", str(tmp_path)], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    written = json.loads((tmp_path / "figures.json").read_text())
    assert {*CHECKS, *SPEED, "ranks"} == {row["part"] for row in written["rows"]}
    assert written["failed"] == [] and all(row["figure"]["value"] is None for row in written["rows"])
    rows = [line for line in (tmp_path / "tables.md").read_text().splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(written["rows"]) and all("| not measured here |" in line for line in rows)


def test_the_recipe_gets_the_time_that_is_left(tmp_path, monkeypatch):
    """Programs are replaced by what they would write; a step takes 0.1 s of a clock of its own."""
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
            count = steps[folder.name] = int(options["--epochs"]) * 200 // 64
            now[0] += 0.1 * count
            assert now[0] <= until and int(options["--g_pretrain_steps"]) == pytest.approx(count / 2, abs=4)
            lines = [json.dumps({"step": k, "time": {"step_s": 0.1}}) for k in (1, count)]
            (folder / "metrics.jsonl").write_text("\n".join(lines))
        else:
            sets = {"real": {}, "base (epoch 3, step 9)": {"gap_closed": {"value": 0.5, "low": 0.4, "high": 0.6}}}
            (tmp_path / "evaluation.json").write_text(json.dumps({"rulers": {r: {"sets": sets} for r in ("a", "b")}}))
        return 0

    training = recipe.Training(tmp_path, 400.0, clock=lambda: now[0], run=run)
    figures = {figure.name: figure.value for figure in recipe.recipe(training)}
    assert steps["base"] == pytest.approx((400 - recipe.EVALUATION_S - recipe.START_UP_S) / 0.1, rel=0.02)
    assert figures["recipe base: steps"] == steps["base"]
    assert figures["recipe base, a: gap closed"] == figures["recipe base, b: gap closed"] == 0.5


def test_a_program_that_fails_is_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "run_until", lambda *_: 3)
    (row,) = program.recipe_rows(True, 0.0, tmp_path)
    assert row.failed and "prepare_dataset.py ended with exit code 3" in row.error


def test_a_program_is_stopped_when_its_time_is_over():
    assert recipe.run_until([sys.executable, "-c", "import time; time.sleep(60)"], 0.0) == -15


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


def test_a_group_whose_process_dies_leaves_a_row_for_each_part(tmp_path, monkeypatch):
    def dies(call, **_):
        keep([Row("step", Figure("x", 1.0))], tmp_path / "speed.jsonl")
        return subprocess.CompletedProcess(call, -11)

    monkeypatch.setattr(program.subprocess, "run", dies)
    rows = program.child("speed", True, 0.0, tmp_path)
    assert len(rows) == len(SPEED) and not rows[0].failed
    assert all(row.failed and "exit code -11" in row.error for row in rows[1:])


@pytest.mark.parametrize("options", [["--only", "chekcs"], ["--device", "tpu"]])
def test_wrong_options_end_with_2(options):
    with pytest.raises(SystemExit) as end:
        program.main(options)
    assert end.value.code == 2
