"""Losses of short runs: against the CPU's, in bf16, compiled, with every objective."""

import shutil

import numpy as np
import pytest
import torch

from bench.gpu.parts import ON_CPU
from bench.gpu.short_runs import PLAIN, STEPS, deviation, losses, mean_deviation
from bench.timing import compare
from bench.workloads import advance, open_run
from losses.options import OBJECTIVES

pytestmark = pytest.mark.gpu


def test_float32_losses_are_the_cpus(place, measured):
    steps = 4 if place.toy else STEPS
    found = deviation(losses(place.ranks, steps, **PLAIN), losses(ON_CPU, steps, **PLAIN))
    measured(f"float32 losses of {steps} steps against the CPU's", found, "<= 1e-3")


def test_bf16_losses_stay_near(place, measured):
    """The generator computes with 8 bits of mantissa (relative error 2^-9): the mean of each loss stays within 1 %;
    single steps, which depend on the rounding of all before, within 3 %."""
    rounded, exact = losses(place.ranks, STEPS, amp="bf16"), losses(place.ranks, STEPS)
    assert not np.array_equal(rounded["loss/recon"], exact["loss/recon"])
    title = f"bf16 losses of {STEPS} steps against float32"
    measured(f"{title}, means", mean_deviation(rounded, exact), "<= 1e-2")
    measured(f"{title}, each step", deviation(rounded, exact), "<= 3e-2")


@pytest.mark.timeout(900)
def test_compiled_losses_stay_near(place, measured):
    """Fused kernels add in another order."""
    compiler = "c++" if place.toy else "cc"
    if shutil.which(compiler) is None:
        pytest.skip(f"torch.compile needs {compiler}, which is not installed")
    plain = losses(place.ranks, STEPS, **PLAIN)
    torch._dynamo.utils.counters.clear()
    found = deviation(losses(place.ranks, STEPS, compile=True, **PLAIN), plain)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 3  # one generator, two uses of the discriminator
    measured(f"compiled losses of {STEPS} steps against uncompiled", found, "<= 1e-3")
    if not place.toy:
        torch.backends.cudnn.allow_tf32 = True  # as in training
        runs = [open_run("demo", place.ranks, compile=one) for one in (False, True)]
        speed = compare(lambda: advance(runs[0], 8), lambda: advance(runs[1], 8), 5)
        measured("step uncompiled / compiled, demo", speed.ratio)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_losses_are_finite_with(objective, place, measured):
    found = losses(place.ranks, 2, gan_loss=objective)
    wrong = sum(not np.isfinite(values).all() for values in found.values())
    measured(f"losses that are not finite, {objective}", wrong, "<= 0")
