"""What is meant to be faster gives the same losses: 20 steps of a small training with and without each option.

Bit for bit where the option is no matter of arithmetic, else within the stated tolerance of the first losses.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

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


def test_bf16_stays_near(plain):
    """The generator computes with 8 bits of mantissa (relative error 2^-9); 20 steps stay within one per cent on
    average, and each within three."""
    changed = losses(amp="bf16")
    assert not np.array_equal(changed["loss/recon"], plain["loss/recon"])
    for name in ("loss/recon", "loss/g_adv", "loss/d"):
        np.testing.assert_allclose(changed[name], plain[name], rtol=3e-2, err_msg=name)
        np.testing.assert_allclose(np.mean(changed[name]), np.mean(plain[name]), rtol=1e-2, err_msg=name)


@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_stays_near():
    """Fused kernels add in another order; without dropout (another stream of random numbers) losses agree to 1e-3."""
    few_graphs = {"dropout": 0.0, "gan_loss": "bce", "discriminator": "conv", "r1_weight": 0.0, "r2_weight": 0.0}
    plain = losses(**few_graphs)
    torch._dynamo.utils.counters.clear()
    changed = losses(**few_graphs, compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 3  # one generator, two uses of the discriminator
    for name in ("loss/recon", "loss/g_adv", "loss/d"):
        np.testing.assert_allclose(changed[name], plain[name], rtol=1e-3, err_msg=name)
