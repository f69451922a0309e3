"""Speed and memory of training steps, generation and decoding on one device."""

import tempfile
from pathlib import Path

import torch

from audio_codecs import open_codec
from bench import step_rows
from bench.figures import Figure
from bench.gpu.parts import SMALL, Part, Place, forget
from bench.gpu.tables import gpu_state
from bench.io_rows import NoCodec
from bench.timing import compare, seconds
from bench.workloads import advance, open_run, work_folder

# Generators of 25 and 100 million parameters: the demo's networks, wider and deeper, at the length of `base`.
SIZES = {
    "25 M": ({"width": 480, "num_layers": 9, "global_batch_size": 64, "crop_seconds": 4.0}, ">= 0.22"),
    "100 M": ({"width": 960, "num_layers": 9, "global_batch_size": 64, "crop_seconds": 4.0}, ">= 0.40"),
}
ROUNDS = 5


def step(place: Place) -> list[Figure]:
    return step_rows.step(place.toy)


def waiting(place: Place) -> list[Figure]:
    return step_rows.data(place.toy)


def utilisation(size: str, compiled: bool, place: Place) -> list[Figure]:
    """FLOPs of a bf16 step per second over those of a bf16 product, with samples per second and peak memory."""
    from torch.utils.flop_counter import FlopCounterMode

    options, bar = SIZES[size]
    options = (SMALL if place.toy else options) | {"amp": "bf16"}
    forget()  # what earlier parts left must not count as memory of this one
    run = open_run("demo", place.ranks, **options)
    advance(run, 1)
    with FlopCounterMode(display=False) as counter:
        advance(run, 1)
    counted = counter.get_total_flops()
    if compiled:
        run = None
        forget()
        run = open_run("demo", place.ranks, compile=not place.toy, **options)
    if place.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place.device)
    a, b = (torch.randn(*[256 if place.toy else 8192] * 2, device=place.device, dtype=torch.bfloat16) for _ in range(2))
    steps = 1 if place.toy else 8
    result = compare(lambda: advance(run, steps), lambda: [a @ b for _ in range(8)], 1 if place.toy else ROUNDS)
    details = result.details()
    if place.device.type == "cuda":
        details["gpu"] = gpu_state()  # at once: clocks fall when there is nothing to do
    step_s, product_s = details["a_s"] / steps, details["b_s"] / 8
    details |= {
        "gflop_per_step": counted / 1e9,
        "product_tflop_per_s": 2 * len(a) ** 3 / product_s / 1e12,
        "parameters": sum(p.numel() for p in run.trainer.generator.parameters()),
    }
    title = f"{size}, {'compiled' if compiled else 'not compiled'}"
    used = counted / step_s / (2 * len(a) ** 3 / product_s)
    samples = run.schedules.global_batch / step_s
    figures = [
        Figure(f"share of a bf16 product's FLOPs, {title}", used, "", bar, details=details),
        Figure(f"samples per second, {title}", samples),
        Figure(f"ms per step, {title}", 1000 * step_s),
    ]
    if place.device.type == "cuda":
        figures.append(
            Figure(f"peak memory, {title}", torch.cuda.max_memory_allocated(place.device) / 2**30, unit=" GiB")
        )
    return figures


def generation(place: Place) -> list[Figure]:
    """Seconds of sound per second: latents alone, decoding alone, and both."""
    from kinds.audio.render import decode, generate_from_noise
    from synthesis.loading import export_generator, load_generator

    run = open_run("demo", place.ranks, **(SMALL if place.toy else {}))
    folder = Path(tempfile.mkdtemp(prefix="generator-", dir=work_folder()))
    export_generator(folder, run.config, run.average.state_dict(), run.space, "nothing")
    device, (clips, length) = str(place.device), (2, 1.0) if place.toy else (64, 8.0)
    codec, found = open_codec("mel", device=device), []
    frames = round(length * codec.frame_rate)
    latents_BDT = torch.randn(clips, run.space.shape[0], frames, device=place.device)

    once, whole = (load_generator(folder, device, passes) for passes in (1, None))

    def made(loaded, decoder) -> None:
        for _ in generate_from_noise(loaded, decoder, clips, length, 0):
            pass

    works = {
        "latents, one sampling step": lambda: made(once, NoCodec()),
        f"latents, {run.config.sampling.passes} sampling steps": lambda: made(whole, NoCodec()),
        "decoding, learned decoder": lambda: decode(codec, latents_BDT),
        "all of it": lambda: made(whole, codec),
    }
    for name, work in works.items():
        work()
        taken = min(seconds(work) for _ in range(1 if place.toy else 3))
        bar = ">= 5000" if name.endswith("one sampling step") else ""
        found.append(Figure(f"generation, {name}", clips * length / taken, "", bar, " x real time"))
    return found


def _at(size: str, compiled: bool) -> Part:
    return lambda place: utilisation(size, compiled, place)


SPEED: dict[str, Part] = {
    "step": step,
    "data": waiting,
    "generation and decoding": generation,
    **{f"{size}{', compiled' * compiled}": _at(size, compiled) for compiled in (False, True) for size in SIZES},
}
