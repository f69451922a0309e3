"""The cost of a checkpoint: the copy that training waits for, and the writing in the background.

python -m bench.checkpoint            the demo's networks, and a generator of 100 M parameters
"""

import argparse
import sys

from bench.figures import Figure, table
from bench.timing import compare
from bench.workloads import advance, open_run
from runtime.options import CheckpointOptions

INTERVAL = 60 * CheckpointOptions.model_fields["save_every_minutes"].default  # seconds
LARGE = {"width": 960, "num_layers": 9, "global_batch_size": 2, "crop_seconds": 1.0}  # 100 M parameters


def stall(quick: bool) -> list[Figure]:
    """Steps with one save of the whole state against the same number without, at the default interval."""
    figures = measure("the demo", 1 if quick else 3, 1 if quick else 7)
    if not quick:
        figures += measure("100 M parameters", 2, 3, **LARGE)
    return figures


def measure(title: str, steps: int, rounds: int, **changes) -> list[Figure]:
    """Training time that one save costs: how much longer rounds with a save take, until the writing has finished."""
    from training.checkpointing import save

    run = open_run("demo", **changes)

    def saving() -> None:
        save(run, "last.pt")
        advance(run, steps)
        run.saver.wait()

    saving()  # the first save allocates memory that later ones reuse
    result = compare(saving, lambda: advance(run, steps), rounds)
    lost = sorted(a - b for a, b in zip(result.a, result.b, strict=True))[len(result.a) // 2]
    waited = sorted(run.saver.stalls[-rounds:])[rounds // 2]
    details = result.details() | {
        "seconds_per_save": lost,
        "caller_waited": run.saver.stalls,
        "interval_s": INTERVAL,
        "parameters": sum(p.numel() for p in run.trainer.generator.parameters()),
        "bytes": (run.folder / "last.pt").stat().st_size,
        "steps_per_s_without": steps / min(result.b),
        "steps_per_s_at_the_interval": steps / min(result.b) * (1 - max(0.0, lost) / INTERVAL),
    }
    share = Figure(f"stall per checkpoint, share of time: {title}", 100 * max(0.0, lost) / INTERVAL, "< 1", "< 1", "%",
                   details=details)  # fmt: skip
    return [share, Figure(f"training waits for a save: {title}", waited, unit="s")]


def main(argv: list[str]) -> int:
    import torch

    parser = argparse.ArgumentParser(prog="python -m bench.checkpoint", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the demo's networks alone, once")
    figures = stall(parser.parse_args(argv).quick)
    print(table(figures, "cuda" if torch.cuda.is_available() else "cpu"))
    for figure in figures:
        if figure.details:
            d = figure.details
            print(
                f"{figure.name}: {d['parameters'] / 1e6:.1f} M parameters, {d['bytes'] / 1e6:.0f} MB; a save costs "
                f"{d['seconds_per_save']:.2f} s of every {d['interval_s']:.0f} s; steps/s "
                f"{d['steps_per_s_without']:.3f} without saving, {d['steps_per_s_at_the_interval']:.3f} with"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
