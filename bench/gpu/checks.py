"""Checks of one device against the CPU, against a formula, or against itself.

Each returns deviations beside their bars. Products are made in full float32 here, never in TF32.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from bench.figures import Figure
from bench.gpu.parts import ON_CPU, SMALL, Part, Place, forget
from bench.timing import compare
from bench.workloads import advance, open_run, work_folder
from losses import penalties
from losses.options import OBJECTIVES
from models.conditions import conditions_for
from models.ema import WeightAverage
from runtime import distributed
from runtime.distributed import Ranks
from runtime.seeding import Purpose, counted_on_cpus, normal
from training.out_of_memory import explain
from training.run import Run

STEPS = 20
# Compiled graphs, and devices that round differently, are compared where no penalty magnifies the difference.
PLAIN = {"gan_loss": "bce", "discriminator": "conv", "r1_weight": 0.0, "r2_weight": 0.0}


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


COMPARED = ("loss/recon", "loss/g_adv", "loss/d")


def deviation(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest relative difference of any loss at any step."""
    return max(float(np.max(np.abs(found[n] - expected[n]) / np.abs(expected[n]))) for n in COMPARED)


def mean_deviation(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """The largest relative difference of any loss's mean over the steps."""
    return max(float(abs(found[n].mean() / expected[n].mean() - 1)) for n in COMPARED)


def one_rank_of_nccl(place: Place) -> list[Figure]:
    """Gradients through DDP in a process group of one are those without."""
    backend = "nccl" if place.device.type == "cuda" else "gloo"
    run = exact_run(place.ranks)
    x_BDT = normal(1, Purpose.SAMPLES, range(4), run.space.shape[:1] + (38,), place.device)
    network = run.trainer.discriminator
    more = conditions_for(network, run.trainer.conditioning(0.5, {}, x_BDT))
    network(x_BDT, **more).sum().backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad(set_to_none=True)
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        DistributedDataParallel(network, gradient_as_bucket_view=True)(x_BDT, **more).sum().backward()
        total = torch.ones(3, device=place.device)
        dist.all_reduce(total)
        largest = max(float(g.abs().max()) for g in expected)
        pairs = zip(network.parameters(), expected, strict=True)
        differing = max(float((p.grad - g).abs().max()) for p, g in pairs) / largest
    finally:
        dist.destroy_process_group()
    return [
        Figure(f"{backend}, one rank: gradients, relative", differing + float((total - 1).abs().max()), "", "<= 1e-4")
    ]


def as_on_the_cpu(place: Place) -> list[Figure]:
    steps = 4 if place.toy else STEPS
    found = deviation(losses(place.ranks, steps, **PLAIN), losses(ON_CPU, steps, **PLAIN))
    return [Figure(f"float32 losses of {steps} steps against the CPU's", found, "", "<= 1e-3")]


def in_bf16(place: Place) -> list[Figure]:
    """The mean of each loss within 1 %; single steps, which depend on the rounding of all before, within 3 %."""
    steps = 4 if place.toy else STEPS
    rounded, exact = losses(place.ranks, steps, amp="bf16"), losses(place.ranks, steps)
    title = f"bf16 losses of {steps} steps against float32"
    return [
        Figure(f"{title}, means", mean_deviation(rounded, exact), "", "<= 1e-2"),
        Figure(f"{title}, each step", deviation(rounded, exact), "", "<= 3e-2"),
    ]


def compiled(place: Place) -> list[Figure]:
    steps = 2 if place.toy else STEPS
    title = f"compiled losses of {steps} steps against uncompiled"
    compiler = "cc" if place.device.type == "cuda" else "c++"
    if shutil.which(compiler) is None:
        return [Figure(title, None, note=f"torch.compile needs {compiler}, which is not installed")]
    found = deviation(losses(place.ranks, steps, compile=True, **PLAIN), losses(place.ranks, steps, **PLAIN))
    if place.toy:
        return [Figure(title, found, "", "<= 1e-3")]
    torch.backends.cudnn.allow_tf32 = True  # as in training
    runs = [open_run("demo", place.ranks, compile=one) for one in (False, True)]
    speed = compare(lambda: advance(runs[0], 8), lambda: advance(runs[1], 8), 5)
    return [Figure(title, found, "", "<= 1e-3"), Figure("step uncompiled / compiled, demo", speed.ratio)]


def same_inputs(place: Place) -> list[Figure]:
    """Noise, masks and crops of a step: the networks' inputs, made on the device and on the CPU."""
    options = {"mask_type": "hybrid", "passes": 1}
    views = []
    with counted_on_cpus():
        for ranks in (place.ranks, ON_CPU):
            run = exact_run(ranks, **options)
            batch = next(_batches(run))
            plan = run.schedules.plan(0, 0, batch.indices, ranks.device)
            views.append(run.trainer.view(batch, plan))
    names = ("source_input_BDT", "source_target_BDT", "input_BDT", "target_BDT", "real_BDT")
    furthest = max(float((getattr(views[0], n).cpu() - getattr(views[1], n)).abs().max()) for n in names)
    return [Figure("noise, masks and crops against the CPU's", furthest, "", "<= 1e-4")]


def _batches(run: Run):
    from data.supply import Supply

    return iter(Supply(run.stream, 0, run.schedules.global_batch, 0, 1))


def resumed(place: Place) -> list[Figure]:
    """A run abandoned behind its last checkpoint and resumed from that file, against one that was never stopped."""
    distributed.repeat_exactly(place.device, True)
    options = {"save_every_steps": 3, "deterministic": True}
    try:
        whole, first = (exact_run(place.ranks, **options) for _ in range(2))
        advance(whole, 6)
        advance(first, 4)
        first.saver.wait()
        if first.lock is not None:  # rank 0 holds it
            first.lock.release()
        second = exact_run(place.ranks, resume=str(first.folder / "last.pt"), **options)
        began = second.counters.step
        advance(second, 6 - began)
    finally:
        distributed.repeat_exactly(place.device, False)
    assert began == 3, f"resumed at step {began}"
    states = [run.trainer.generator.state_dict() | run.average.state_dict() for run in (whole, second)]
    differing = sum(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    return [Figure("weights that differ after kill and resume, --deterministic", float(differing), "", "<= 0")]


def averages(place: Place) -> list[Figure]:
    """The EMA on the device against the formula in float64."""
    network = torch.nn.Linear(64, 64).to(place.device)
    average = WeightAverage(network, 100.0)
    expected = network.weight.detach().double().cpu()
    for step in range(10):
        with torch.no_grad():
            network.weight += 0.1 * normal(step, Purpose.SAMPLES, [0], (64, 64), place.device)[0]
        beta = average.beta(8 * step, 8)
        average.update(network, 8 * step, 8)
        expected = beta * expected + (1 - beta) * network.weight.detach().double().cpu()
    furthest = float((average.module.weight.double().cpu() - expected).abs().max())
    return [Figure("EMA against its formula", furthest, "", "<= 1e-5")]


def gradient_penalties(place: Place) -> list[Figure]:
    """R1 and R2 by finite differences against exact derivatives in the same directions."""
    critic = exact_run(place.ranks, **PLAIN | {"discriminator": "conv"}).trainer.discriminator.eval()
    shape, directions = (128, 38), 16
    x_BDT = normal(2, Purpose.SAMPLES, range(4), shape, place.device).requires_grad_()
    (gradient_BDT,) = torch.autograd.grad(critic(x_BDT).sum(), x_BDT)
    exact, found = [], []
    for k in range(directions):
        noise_BDT = normal(3 + k, Purpose.PENALTY, range(4), shape, place.device)
        with torch.no_grad():
            joined_BDT = torch.cat([x_BDT, x_BDT + penalties.SIGMA * noise_BDT])
            found.append(penalties.finite_difference_penalty(*critic(joined_BDT).chunk(2), 1.0))
        exact.append((gradient_BDT * noise_BDT).sum(dim=(1, 2)).square())
    off = float(torch.stack(found).mean() / torch.stack(exact).mean() - 1)
    squared = float(penalties.exact_penalty(critic(x_BDT), x_BDT, 1.0).detach().mean())
    twice = abs(squared / float(gradient_BDT.square().sum(dim=(1, 2)).mean()) - 1)
    return [
        Figure("R1 and R2, finite differences against exact", abs(off), "", "<= 0.05"),
        Figure("the exact penalty, differentiable, against the gradient's square", twice, "", "<= 1e-3"),
    ]


def objectives(place: Place) -> list[Figure]:
    """Every objective for some steps: how many have a loss that is not finite."""
    bad = []
    for name in OBJECTIVES:
        found = losses(place.ranks, 2, gan_loss=name)
        bad += [] if all(np.isfinite(values).all() for values in found.values()) else [name]
    return [Figure(f"objectives with losses that are not finite, of {len(OBJECTIVES)}", float(len(bad)), "", "<= 0",
                   note=", ".join(bad))]  # fmt: skip


def generated(place: Place) -> list[Figure]:
    """Sound from noise by a small generator and the learned decoder, on the device and on the CPU."""
    from audio_codecs import open_codec
    from kinds.audio.render import generate_from_noise
    from synthesis.loading import export_generator, load_generator

    run = exact_run(ON_CPU)
    folder = Path(tempfile.mkdtemp(prefix="generator-", dir=work_folder()))
    export_generator(folder, run.config, run.average.state_dict(), run.space, "nothing")
    wavs = []
    with counted_on_cpus():
        for device in (str(place.device), "cpu"):
            loaded, codec = load_generator(folder, device, 2), open_codec("mel", device=device)
            wavs.append(np.stack(list(generate_from_noise(loaded, codec, 2, 1.0, 0))))
    level = float(np.sqrt(np.mean(wavs[1] ** 2)))
    assert np.isfinite(wavs[0]).all() and level > 0, "silence"
    off = float(np.sqrt(np.mean((wavs[0] - wavs[1]) ** 2))) / level
    return [Figure("generated and decoded sound against the CPU's, relative", off, "", "<= 0.02")]


def out_of_memory(place: Place) -> list[Figure]:
    """Too large a batch is one sentence, and the batch that it names fits."""
    title = "steps with the batch that the sentence on memory names"
    if place.device.type != "cuda":
        run = exact_run(place.ranks)
        named = explain(run.config, 1, place.device, 0)
        assert "--global_batch_size 2 (2 per device) would probably fit" in named, named
        return [Figure(title, 1.0, "", ">= 1", note=named)]
    peaks = [_peak(batch, place) for batch in (32, 64)]
    total = torch.cuda.get_device_properties(place.device).total_memory
    forget()
    torch.cuda.set_per_process_memory_fraction(sum(peaks) / 2 / total, place.device)
    try:
        named = _starved(64, place)
        assert "--global_batch_size 32 (32 per device)" in named, named
        _peak(32, place)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, place.device)
    return [Figure(title, 2.0, "", ">= 1", note=named)]


def _peak(batch: int, place: Place) -> int:
    """Bytes that two steps of a run take on the device."""
    forget()
    torch.cuda.reset_peak_memory_stats(place.device)
    advance(open_run("demo", place.ranks, global_batch_size=batch), 2)
    return torch.cuda.max_memory_allocated(place.device)


def _starved(batch: int, place: Place) -> str:
    """The sentence on a run that does not fit."""
    forget()
    run = open_run("demo", place.ranks, global_batch_size=batch)
    try:
        advance(run, 2)
    except torch.OutOfMemoryError:
        return explain(run.config, 1, place.device, sum(p.numel() for p in run.trainer.generator.parameters()))
    return "it fitted"


CHECKS: dict[str, Part] = {
    "one rank of a process group": one_rank_of_nccl,
    "float32": as_on_the_cpu,
    "bf16": in_bf16,
    "noise, masks, crops": same_inputs,
    "resume": resumed,
    "EMA": averages,
    "penalties": gradient_penalties,
    "objectives": objectives,
    "generation": generated,
    "out of memory": out_of_memory,
    "compile": compiled,
}
