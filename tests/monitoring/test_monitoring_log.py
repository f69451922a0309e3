"""Figures on disk and on the screen: one line per step, whole or waiting, and no surprise in what users read."""

import json
import math
import resource
import signal
import sys

import numpy as np
import pytest
from forks import in_child
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monitoring import log, progress
from monitoring.log import RunLog, read_metrics
from monitoring.progress import ProgressLine
from monitoring.sample_words import SampleWords
from runtime.run_folder import trim_metrics

HEADER = {"epoch": 1, "alpha": 0.5, "phase": "transition"}


def board(folder) -> EventAccumulator:
    events = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0})
    events.Reload()
    return events


def scalars(folder, name: str) -> dict[int, float]:
    return {event.step: event.value for event in board(folder).Scalars(name)}


def test_a_line_and_its_scalars(tmp_path):
    log = RunLog(tmp_path)
    log.metrics(3, HEADER, {"loss/g": 0.25}, {"samples_per_s": 12.3456789})
    log.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [
        {"step": 3, **HEADER, "loss/g": 0.25, "time": {"samples_per_s": 12.345679}}
    ]
    assert scalars(tmp_path, "loss/g") == {3: 0.25}
    assert scalars(tmp_path, "training/alpha") == {3: 0.5}
    assert set(scalars(tmp_path, "time/samples_per_s")) == {3}


def test_figures_of_one_step_share_a_line(tmp_path):
    log = RunLog(tmp_path)
    log.metrics(1, HEADER, {"loss/g": 1.0})
    log.metrics(2, HEADER, {"loss/g": 2.0})
    log.metrics(2, HEADER | {"phase": "noise"}, {"val/current": 3.0})
    log.metrics(3, HEADER, {"loss/g": 4.0})
    log.close()
    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[1] == {"step": 2, **HEADER, "phase": "noise", "loss/g": 2.0, "val/current": 3.0}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=10), st.integers(0, 9), st.text('ab{}"\n', max_size=8))
def test_a_log_opened_again_goes_on_where_it_was(tmp_path_factory, gaps, cut, half):
    """However the steps fall and wherever the log is opened again, after half a line too: one line for each step."""
    folder = tmp_path_factory.mktemp("log")
    steps = np.cumsum(gaps).tolist()
    log = RunLog(folder)
    for number, step in enumerate(steps):
        if number == cut:
            log.close()
            with open(folder / "metrics.jsonl", "a") as file:
                file.write(half.replace("\n", ""))
            log = RunLog(folder)
        log.metrics(step, {}, {f"figure/{number}": float(number)})
    log.close()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted(set(steps))
    joined = {name: value for line in lines for name, value in line.items() if name != "step"}
    assert joined == {f"figure/{number}": number for number in range(len(steps))}


def test_what_is_not_finite_is_valid_json(tmp_path):
    log = RunLog(tmp_path)
    log.metrics(1, {}, {"a": math.nan, "b": math.inf, "c": -math.inf})
    log.close()
    text = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"step": 1, "a": "nan", "b": "inf", "c": "-inf"}


def test_half_a_line_is_not_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1}]


def test_on_resume_the_board_forgets_what_comes_again(tmp_path):
    log = RunLog(tmp_path)
    for step in range(1, 6):
        log.metrics(step, {}, {"loss/g": float(step)})
    log.close()
    trim_metrics(tmp_path / "metrics.jsonl", 3)
    log = RunLog(tmp_path, purge_step=4)
    log.metrics(4, {}, {"loss/g": 40.0})
    log.close()
    assert scalars(tmp_path, "loss/g") == {1: 1.0, 2: 2.0, 3: 3.0, 4: 40.0}


def test_a_clock_that_was_set_back_keeps_the_order(tmp_path, monkeypatch):
    now = log.time.time()
    for seconds, first in ((now, 1), (now - 10, 3), (now - 3600, 4)):
        monkeypatch.setattr(log.time, "time", lambda seconds=seconds: seconds)
        trim_metrics(tmp_path / "metrics.jsonl", first - 1)
        opened = RunLog(tmp_path, purge_step=first)
        for step in range(first, first + 4):
            opened.metrics(step, {}, {"loss/g": float(10 * first + step)})
        opened.close()
    assert scalars(tmp_path, "loss/g") == {1: 11, 2: 12, 3: 33, 4: 44, 5: 45, 6: 46, 7: 47}
    assert [event.step for event in board(tmp_path).Scalars("loss/g")] == list(range(1, 8))


def test_a_full_disk_costs_no_line(tmp_path):
    def write_with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = RunLog(tmp_path)
        log.metrics(1, {}, {"a": 1.0})
        full = (tmp_path / "metrics.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (full + 5, resource.RLIM_INFINITY))
        log.metrics(2, {}, {"a": 2.0})
        assert "wait to be written" in log.problem()
        log.metrics(3, {}, {"a": 3.0})
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        log.metrics(3, {}, {"b": 4.0})
        assert log._lines.problem is None
        log.close()

    assert in_child(write_with_little_room) == 0
    lines = [{"step": 1, "a": 1.0}, {"step": 2, "a": 2.0}, {"step": 3, "a": 3.0, "b": 4.0}]
    assert read_metrics(tmp_path / "metrics.jsonl") == lines


def test_other_ranks_write_nothing(tmp_path):
    log = RunLog(None)
    log.metrics(1, HEADER, {"loss/g": 1.0})
    log.audio("a", np.zeros(10), 24_000, 1)
    log.image("b", np.zeros((2, 2, 3), np.uint8), 1)
    log.text("c", "d")
    assert log.problem() is None
    log.close()
    assert list(tmp_path.iterdir()) == []


def test_loud_audio_is_scaled_and_not_clipped(tmp_path):
    log = RunLog(tmp_path)
    log.audio("loud", np.array([0.0, 2.0, -4.0], np.float32), 24_000, 1)
    log.close()
    assert [event.sample_rate for event in board(tmp_path).Audio("loud")] == [24_000]


# --- the live line -------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_speed_and_time_left_are_those_since_the_start(clock, capsys):
    line = ProgressLine(1000, every_seconds=10)
    line.update(200, (50, 250), (3, 10), "music", 0.0, {})  # a resumed run begins at 200
    clock[0] += 20
    line.update(400, (100, 250), (5, 10), "transition", 0.25, {"loss/g_total": 1.0, "loss/d": 0.5, "other": 3.0})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("? left")
    where, losses = "epoch 5/10  step 100/250  transition  alpha 0.25", "G 1.000  D 0.500"
    assert shown[1] == f"{where}  {losses}  10.0 clips/s  0:01:00 left"


def test_images_are_called_images(clock, capsys):
    line = ProgressLine(1000, every_seconds=10, words=SampleWords("image", "images", "images"))
    line.update(0, (0, 10), (1, 10), "music", 0.0, {})
    assert capsys.readouterr().out == "epoch 1/10  step 0/10  images  alpha 0.00    0.0 images/s  ? left\n"


def test_plain_lines_come_now_and_then(clock, capsys):
    line = ProgressLine(1000, every_seconds=10)
    for _ in range(31):
        line.update(1, (1, 1), (1, 1), "music", 0.0, {})
        clock[0] += 1
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_last_batch_past_the_end_has_no_time_left(clock, capsys):
    line = ProgressLine(1000, every_seconds=0)
    line.update(900, (1, 1), (1, 1), "music", 0.0, {})
    clock[0] += 10
    line.update(1004, (1, 1), (1, 1), "music", 0.0, {})
    assert capsys.readouterr().out.splitlines()[-1].endswith("0:00:00 left")


def test_other_ranks_say_nothing(capsys):
    line = ProgressLine(10, active=False)
    line.update(1, (1, 1), (1, 1), "music", 0.0, {})
    line.say("hello")
    line.close()
    assert capsys.readouterr().out == ""


def test_on_a_terminal_what_is_said_is_shown_to_the_letter(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    line = ProgressLine(10)
    said = "warning: /music/[live] take [1/2]/a.wav " + "long " * 40
    line.say(said)
    line.update(5, (1, 1), (1, 1), "music", 0.0, {})
    line.close()
    assert said.strip() in capsys.readouterr().out
