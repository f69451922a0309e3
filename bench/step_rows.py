"""Benchmarks of the step: against a bare loop, a trainer library, the codec in the loop, and the hardware."""

import importlib.util
import json

import torch

from bench.figures import Figure
from bench.hand_loop import HandLoop, clips_in_memory
from bench.timing import compare, seconds
from bench.workloads import advance, open_run

STEPS = {"demo": 4, "classic": 2}


def _bare(run, **library) -> HandLoop:
    return HandLoop(run.config, clips_in_memory(run), run.schedules.global_batch, rate=run.space.rate, **library)


def _steps(loop: HandLoop, count: int) -> None:
    for _ in range(count):
        loop.step()


def step(quick: bool) -> list[Figure]:
    """Our step / a minimal hand-written loop."""
    found = []
    for name, steps in STEPS.items():
        run = open_run(name)
        bare, steps = _bare(run), 1 if quick else steps
        result = compare(lambda r=run, n=steps: advance(r, n), lambda b=bare, n=steps: _steps(b, n), 1 if quick else 9)
        found.append(Figure(f"step / bare loop, {name}", result.ratio, "<= 1.03", "<= 1.03",
                            details=result.details(steps)))  # fmt: skip
    return found


def library(quick: bool) -> list[Figure]:
    """Our step / the same networks trained through accelerate, as its documentation writes loops."""
    title = "step / the same with accelerate, demo"
    if importlib.util.find_spec("accelerate") is None:
        return [Figure(title, None, "<= 1.0", "<= 1.0", note="pip install -e '.[bench]'")]
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    run = open_run("demo")

    def adam(config, network, lr):
        return torch.optim.Adam(network.parameters(), lr=lr, betas=(config.optimizer.beta1, config.optimizer.beta2))

    loop = _bare(
        run,
        prepare=accelerator.prepare,
        backward=accelerator.backward,
        clip=accelerator.clip_grad_norm_,
        optimizer=adam,
    )
    steps = 1 if quick else STEPS["demo"]
    result = compare(lambda: advance(run, steps), lambda: _steps(loop, steps), 1 if quick else 9)
    return [Figure(title, result.ratio, "<= 1.0", "<= 1.0", details=result.details(steps))]


def codec(quick: bool) -> list[Figure]:
    """The classic step with EnCodec in the loop / our classic step on cached latents, one network size."""
    if importlib.util.find_spec("transformers") is None:
        return [Figure("codec in the loop / our step", None, ">= 2.5", ">= 5", note="pip install -e '.[encodec]'")]
    from bench.codec_loop import CodecLoop

    run = open_run("classic", batch_size=2)
    loop = CodecLoop(run.config, 2, run.stream.pairs.shape[-1], run.ranks.device)
    result = compare(lambda: loop.step(), lambda: advance(run, 1), 1 if quick else 5)
    return [Figure("codec in the loop / our step", result.ratio, ">= 2.5", ">= 5", details=result.details())]


def repeat(quick: bool) -> list[Figure]:
    """A step whose gradients repeat bit for bit / the same with torch's own strided convolutions."""
    from models.blocks import StridedConv1d

    exact, plain = open_run("classic"), open_run("classic")
    for layer in plain.trainer.discriminator.modules():
        if isinstance(layer, StridedConv1d):
            layer.__class__ = torch.nn.Conv1d
    result = compare(lambda: advance(exact, 2), lambda: advance(plain, 2), 1 if quick else 9)
    return [Figure("repeatable step / not, classic", result.ratio, "<= 1.03", "<= 1.03", details=result.details(2))]


def flops(quick: bool) -> list[Figure]:
    """Model FLOPs per second / those of a matrix product, measured alternately."""
    from torch.utils.flop_counter import FlopCounterMode

    size = 1024 if quick else 2048
    found = []
    for name in STEPS:
        run = open_run(name)
        a, b = (torch.randn(size, size, device=run.ranks.device) for _ in range(2))
        advance(run, 1)
        with FlopCounterMode(display=False) as counter:
            advance(run, 1)
        counted = counter.get_total_flops()
        product = compare(lambda r=run: advance(r, 1), lambda x=a, y=b: [x @ y for _ in range(8)], 1 if quick else 9)
        used = counted / (8 * 2 * size**3) / product.ratio
        details = product.details() | {"gflop_per_step": counted / 1e9, "product": f"{size} x {size}, float32"}
        found.append(Figure(f"FLOP utilisation, {name}", used, ">= 0.50", ">= 0.22", details=details))
    return found


def data(quick: bool) -> list[Figure]:
    """Share of a step spent waiting for data, as runs log it."""
    run = open_run("demo", log_every=2)
    advance(run, 4 if quick else 20)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    shares = sorted(line["time"]["data_wait_share"] for line in lines[1:])
    return [Figure("share of a step waiting for data", 100 * shares[len(shares) // 2], "< 1", "< 1", "%")]


def amp(quick: bool) -> list[Figure]:
    """The speed-up by `--amp bf16`; without target, since few CPUs have bf16 units."""
    plain, half = open_run("demo"), open_run("demo", amp="bf16")
    result = compare(lambda: advance(plain, 1), lambda: advance(half, 1), 1 if quick else 2)
    return [Figure("step in float32 / with --amp bf16, demo", result.ratio, details=result.details())]


def seconds_per_step(run, steps: int, rounds: int) -> float:
    """The minimum over some rounds: the time of a step when nothing else runs."""
    advance(run, 1)
    return min(seconds(lambda: advance(run, steps)) for _ in range(rounds)) / steps
