"""Speed of two ranks of one thread over one rank of one thread, measured alternately in one pair of processes."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace

from bench.figures import Figure
from bench.timing import Comparison, seconds
from bench.workloads import advance, dataset, open_run, work_folder
from runtime.cores import available_cores

TITLE = "2 ranks x 1 thread / 1 rank x 1 thread"
CEILING = "the same, independent programs"


def ranks(quick: bool) -> list[Figure]:
    """Samples per second, at the same batch per rank."""
    import torch

    if available_cores() < 2 or torch.cuda.device_count() == 1:
        return [Figure(TITLE, None, ">= 1.85", ">= 1.9", note="needs two cores, or two GPUs")]
    dataset()
    out = work_folder() / "ranks.json"
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", __name__]
    call += [str(out), *(["quick"] if quick else [])]
    subprocess.run(call, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    return [Figure(**figure) for figure in json.loads(out.read_text())]


def worker(out: str, quick: bool) -> None:
    """One of the ranks."""
    from runtime import distributed
    from runtime.memory import keep_freed_memory

    keep_freed_memory()
    both = distributed.start(num_threads=1)
    figures = compared(both, quick)
    if both.is_main:
        with open(out, "w", encoding="utf-8") as file:
            json.dump([asdict(figure) for figure in figures], file)
    distributed.stop(both)


def compared(both, quick: bool) -> list[Figure]:
    """Speed of all ranks together, called by each of them; what rank 0 measured, nothing on the others.

    Alternately: rank 0 trains while others wait; all train independently; all together. Independent training shows the
    speed-up that two cores allow: they share memory, caches and often clock or core.
    """
    alone = replace(both, rank=0, world=1, local_world=1, control=None)
    batch, steps, rounds = (2, 1, 1) if quick else (8, 2, 7)
    run_both = open_run("demo", both, global_batch_size=both.world * batch)
    run_alone = open_run("demo", alone, global_batch_size=batch)
    one, apart, together = ([] for _ in range(3))

    def timed(times: list[float], run, takes_part: bool = True) -> None:
        both.barrier()
        if takes_part:
            times.append(seconds(lambda: advance(run, steps)))
        both.barrier()

    for _ in range(rounds + 1):
        timed(one, run_alone, both.is_main)
        timed(apart, run_alone)
        timed(together, run_both)
    agreeing = agreement_s(both, 10 if quick else 2000)
    if not both.is_main:
        return []
    speed, ceiling = (Comparison(one[1:], times[1:]) for times in (together, apart))  # the first round warms up
    world, on_gpus = both.world, both.device.type == "cuda"
    title = f"{world} GPUs / 1 GPU, samples per second" if on_gpus else TITLE
    return [
        Figure(title, world * speed.ratio, ">= 1.85", f">= {0.95 * world:.2f}", details=speed.details(steps)),
        Figure(CEILING, world * ceiling.ratio, details=ceiling.details(steps)),
        Figure(f"agreement of {world} ranks (stop, save), once per step", 1000 * agreeing, unit="ms"),
    ]


def agreement_s(ranks, times: int) -> float:
    """Mean seconds of an agreement between ranks that all arrive at the same time."""
    ranks.any(False)
    started = time.perf_counter()
    for _ in range(times):
        ranks.any(False)
    return (time.perf_counter() - started) / times


if __name__ == "__main__":
    worker(sys.argv[1], "quick" in sys.argv[2:])
