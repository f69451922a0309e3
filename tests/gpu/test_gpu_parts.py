"""Parts of a run on the device: gradients over ranks, inputs, EMA, penalties, generation and decoding."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from audio_codecs import open_codec
from bench.gpu.parts import ON_CPU
from bench.gpu.short_runs import PLAIN, exact_run
from data.supply import Supply
from kinds.audio.render import generate_from_noise
from losses import penalties
from models.conditions import conditions_for
from models.ema import WeightAverage
from runtime.seeding import Purpose, counted_on_cpus, normal
from synthesis.loading import export_generator, load_generator

pytestmark = pytest.mark.gpu


def test_one_rank_of_a_process_group(place, measured):
    """Gradients through DDP in a process group of one are those without; NCCL on GPUs."""
    run = exact_run(place.ranks)
    x_BDT = normal(1, Purpose.SAMPLES, range(4), run.space.shape[:1] + (38,), place.device)
    network = run.trainer.discriminator
    more = conditions_for(network, run.trainer.conditioning(0.5, {}, x_BDT))
    network(x_BDT, **more).sum().backward()
    expected = [p.grad.clone() for p in network.parameters()]
    network.zero_grad(set_to_none=True)
    backend = "gloo" if place.toy else "nccl"
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
    assert total.tolist() == [1.0] * 3
    measured(f"{backend}, one rank: gradients, relative", differing, "<= 1e-4")


def test_noise_masks_and_crops_are_the_cpus(place, measured):
    """The networks' inputs, made on the device and on the CPU."""
    views = []
    with counted_on_cpus():
        for ranks in (place.ranks, ON_CPU):
            run = exact_run(ranks, mask_type="hybrid", passes=1)
            batch = next(iter(Supply(run.stream, 0, run.schedules.global_batch, 0, 1)))
            plan = run.schedules.plan(0, 0, batch.indices, ranks.device)
            views.append(run.trainer.view(batch, plan))
    names = ("source_input_BDT", "source_target_BDT", "input_BDT", "target_BDT", "real_BDT")
    furthest = max(float((getattr(views[0], n).cpu() - getattr(views[1], n)).abs().max()) for n in names)
    measured("noise, masks and crops against the CPU's", furthest, "<= 1e-4")


def test_ema_follows_its_formula(place, measured):
    """In float64."""
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
    measured("EMA against its formula", furthest, "<= 1e-5")


def test_penalties_are_the_squared_gradient(place, measured):
    """R1 and R2 by finite differences against exact derivatives in the same directions."""
    critic = exact_run(place.ranks, **PLAIN).trainer.discriminator.eval()
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
    measured("R1 and R2, finite differences against exact", abs(off), "<= 0.05")
    measured("the exact penalty, differentiable, against the gradient's square", twice, "<= 1e-3")


def test_generated_and_decoded_sound_is_the_cpus(place, measured, tmp_path):
    """From noise by a small generator and the learned decoder."""
    run = exact_run(ON_CPU)
    export_generator(tmp_path, run.config, run.average.state_dict(), run.space, "nothing")
    wavs = []
    with counted_on_cpus():
        for device in (str(place.device), "cpu"):
            loaded, codec = load_generator(tmp_path, device, 2), open_codec("mel", device=device)
            wavs.append(np.stack(list(generate_from_noise(loaded, codec, 2, 1.0, 0))))
    level = float(np.sqrt(np.mean(wavs[1] ** 2)))
    assert np.isfinite(wavs[0]).all() and level > 0, "silence"
    off = float(np.sqrt(np.mean((wavs[0] - wavs[1]) ** 2))) / level
    measured("generated and decoded sound against the CPU's, relative", off, "<= 0.02")
