"""Checks of a device against the CPU, against a formula, or against itself.

They run on the GPU where there is one, else on the CPU at toy size, where they find errors in themselves alone;
`pytest --device` chooses. `make gpu` makes tables of what they record with `measured`.
"""

import os
from dataclasses import asdict

import pytest
import torch
from one_thread import single_thread

from bench.figures import Figure, meets
from bench.gpu.parts import ON_CPU, Place
from bench.workloads import one_rank


@pytest.fixture(scope="session")
def device(request) -> str:
    """ "cuda" or "cpu"."""
    there = "cuda" if torch.cuda.is_available() else "cpu"
    asked = request.config.getoption("--device") or there
    assert asked in ("cpu", there), "--device cuda: this machine has no GPU that torch can use"
    return asked


@pytest.fixture(scope="session")
def work(tmp_path_factory) -> str:
    """The folder of runs and of their music, shared with what `make gpu` does afterwards."""
    return os.environ.get("BENCH_WORK") or str(tmp_path_factory.mktemp("gpu"))


@pytest.fixture(scope="module")
def place(device, work):
    """The device for this file's runs; torch's precision is as before afterwards."""
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with pytest.MonkeyPatch.context() as patch:
        if device == "cpu":
            patch.setenv("BENCH_QUICK", "1")
            patch.setenv("BENCH_SONGS", "2")
        patch.setenv("BENCH_WORK", work)
        with single_thread():
            yield Place(ON_CPU if device == "cpu" else one_rank(), device == "cpu")
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = tf32


@pytest.fixture
def measured(record_property):
    """Records a figure for the tables and holds it against its bar, if it has one."""

    def hold(title: str, value: float, bar: str = "", note: str = "") -> None:
        record_property("figure", asdict(Figure(title, float(value), bar_gpu=bar, note=note)))
        assert not bar or meets(value, bar), f"{title}: {value:.4g}, not {bar}"

    return hold
