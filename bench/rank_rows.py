"""Two ranks of one thread over one rank of one thread, in turns, within one pair of processes."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

from bench.figures import Figure
from bench.timing import Comparison, record
from bench.workloads import advance, dataset, open_run, work_folder

TITLE = "2 ranks x 1 thread / 1 rank x 1 thread"


def ranks(quick: bool) -> list[Figure]:
    """Samples per second, the batch per rank being the same."""
    import torch

    if len(os.sched_getaffinity(0)) < 2 or torch.cuda.device_count() == 1:
        return [Figure(TITLE, None, ">= 1.85", ">= 1.9", note="needs two cores, or two GPUs")]
    dataset()
    out = work_folder() / "ranks.json"
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", __name__]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*call, str(out), *(["quick"] if quick else [])], env=environment, check=True)
    return [Figure(**json.loads(out.read_text()))]


def worker(out: str, quick: bool) -> None:
    """One of the two ranks: rank 0 trains alone while rank 1 waits, then both train together, and again."""
    from runtime import distributed
    from runtime.memory import keep_freed_memory

    keep_freed_memory()
    both = distributed.start(num_threads=1)
    alone = replace(both, world=1, local_world=1, control=None)
    batch, steps, rounds = (2, 1, 1) if quick else (8, 2, 7)
    run_both = open_run("demo", both, global_batch_size=2 * batch)
    run_alone = open_run("demo", alone, global_batch_size=batch) if both.is_main else None
    times = Comparison([], [])
    for _ in range(rounds + 1):
        both.barrier()
        if run_alone:
            record(times.a, times.cpu_a, lambda: advance(run_alone, steps))
        both.barrier()
        record(times.b, times.cpu_b, lambda: advance(run_both, steps))
    if both.is_main:  # the first round warms up
        measured = Comparison(times.a[1:], times.b[1:], times.cpu_a[1:], times.cpu_b[1:])
        figure = Figure(TITLE, 2 * measured.ratio, ">= 1.85", ">= 1.9", details=measured.details(steps))
        with open(out, "w", encoding="utf-8") as file:
            json.dump(asdict(figure), file)
    distributed.stop(both)


if __name__ == "__main__":
    worker(sys.argv[1], "quick" in sys.argv[2:])
