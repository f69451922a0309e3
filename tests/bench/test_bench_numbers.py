"""What is meant to be faster gives the same losses: 20 steps of a small training with and without each option.

Bit for bit where the option is no matter of arithmetic; those that are: tests/gpu/test_gpu_losses.py.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from bench import workloads

STEPS = 20
SMALL = {
    "width": 32, "nhead": 2, "num_layers": 1, "crop_seconds": 0.5, "disc_width": 4, "global_batch_size": 4,
    "dropout": 0.1, "log_every": 1,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def workplace(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_WORK", str(tmp_path_factory.mktemp("bench")))
        patch.setenv("BENCH_THREADS", "1")
        yield


def losses(flags=(), **options) -> dict[str, np.ndarray]:
    run = workloads.open_run("demo", **(SMALL | options))
    run.config = replace(run.config, flags=frozenset(flags))
    workloads.advance(run, STEPS)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    return {name: np.array([line[name] for line in lines]) for name in lines[0] if name.startswith(("loss/", "grad_"))}


@pytest.fixture(scope="module")
def plain():
    return losses()


@pytest.mark.parametrize(
    "option", [{"num_workers": 1}, {"flags": ["profile"]}, {"save_every_steps": 7}, {"keep_last": 3}]
)
def test_not_one_bit_changes(plain, option):
    changed = losses(**option)
    assert changed.keys() == plain.keys() and {"loss/d", "loss/g_adv", "loss/recon", "loss/r1"} <= plain.keys()
    for name, values in plain.items():
        assert np.array_equal(changed[name], values), name


def test_a_numerical_option_would_show(plain):
    assert not np.array_equal(losses(lr=3.1e-4)["loss/recon"], plain["loss/recon"])
