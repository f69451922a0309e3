"""What `--profile` writes and prints."""

import json

import torch

from training.profiling import PROFILED, SHOWN, TRACE, WARM_UP, StepProfile


def run_steps(folder, count):
    said = []
    watcher = StepProfile(folder, said.append)
    a = torch.ones(64, 64)
    for _ in range(count):
        a @ a
        watcher.step()
    watcher.close()
    return said


def test_trace_holds_just_the_profiled_steps(tmp_path):
    said = run_steps(tmp_path, WARM_UP + PROFILED + 3)
    events = json.loads((tmp_path / TRACE).read_text())["traceEvents"]
    assert sum(event.get("name") == "aten::mm" for event in events) == PROFILED
    assert 2 <= len(said) <= SHOWN + 1
    (line,) = [line for line in said if line.endswith("aten::mm")]
    assert " 1.0 calls" in line
    assert sum(float(line.split("%")[0]) for line in said[:-1]) <= 100.5


def test_nothing_is_written_before_the_end_or_without_a_folder(tmp_path):
    assert run_steps(tmp_path, WARM_UP + PROFILED - 1) == []
    assert run_steps(None, WARM_UP + PROFILED) == []
    assert list(tmp_path.iterdir()) == []
