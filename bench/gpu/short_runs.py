"""Short runs of the training loop on a device, and by how much two of them differ.

For the checks in tests/gpu and those of all ranks together. Products are made in full float32 here, never in TF32.
"""

import json

import numpy as np
import torch

from bench.gpu.parts import SMALL
from bench.workloads import advance, open_run
from runtime import distributed
from runtime.distributed import Ranks
from runtime.seeding import counted_on_cpus
from training.run import Run

STEPS = 20
# Compiled graphs, and devices that round differently, are compared where no penalty magnifies the difference.
PLAIN = {"gan_loss": "bce", "discriminator": "conv", "r1_weight": 0.0, "r2_weight": 0.0}
COMPARED = ("loss/recon", "loss/g_adv", "loss/d")


def exact_run(ranks: Ranks, **options) -> Run:
    """A small run whose products are not rounded to TF32."""
    run = open_run("demo", ranks, **(SMALL | {"global_batch_size": batch_of(ranks)} | options))
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return run


def batch_of(ranks: Ranks) -> int:
    """Samples per step of all ranks: two each, and enough for one."""
    return max(SMALL["global_batch_size"], 2 * ranks.world)


def losses(ranks: Ranks, steps: int, **options) -> dict[str, np.ndarray]:
    """The losses of the first steps, by name; CPUs draw as GPUs do."""
    with counted_on_cpus():
        run = exact_run(ranks, **options)
        advance(run, steps)
    run.log.close()
    ranks.barrier()  # rank 0 has written what all read
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return {name: np.array([line[name] for line in lines]) for name in lines[0] if name.startswith("loss/")}


def deviation(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest relative difference of any loss at any step."""
    return max(float(np.max(np.abs(found[n] - expected[n]) / np.abs(expected[n]))) for n in COMPARED)


def mean_deviation(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest relative difference of any loss's mean over the steps."""
    return max(float(abs(found[n].mean() / expected[n].mean() - 1)) for n in COMPARED)


def differing_after_resume(ranks: Ranks) -> int:
    """How many weights differ between a run abandoned behind its last checkpoint and resumed from that file, and one
    that was never stopped; both with --deterministic."""
    distributed.repeat_exactly(ranks.device, True)
    options = {"save_every_steps": 3, "deterministic": True}
    try:
        whole, first = (exact_run(ranks, **options) for _ in range(2))
        advance(whole, 6)
        advance(first, 4)
        first.saver.wait()
        if first.lock is not None:  # rank 0 holds it
            first.lock.release()
        second = exact_run(ranks, resume=str(first.folder / "last.pt"), **options)
        began = second.counters.step
        advance(second, 6 - began)
    finally:
        distributed.repeat_exactly(ranks.device, False)
    assert began == 3, f"resumed at step {began}"
    states = [run.trainer.generator.state_dict() | run.average.state_dict() for run in (whole, second)]
    return sum(not torch.equal(states[0][name], states[1][name]) for name in states[0])
