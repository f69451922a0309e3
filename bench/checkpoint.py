"""What a checkpoint costs the run: the copy that training waits for, and the writing beside it."""

from bench.figures import Figure
from bench.timing import compare
from bench.workloads import advance, open_run
from config import RunConfig


def stall(quick: bool) -> list[Figure]:
    """Steps with a save of the whole state among them against the same number without, at the default interval."""
    from training.saving import save

    run, steps = open_run("demo"), 1 if quick else 3

    def saving() -> None:
        save(run, "last.pt")
        advance(run, steps)
        run.saver.wait()

    result = compare(saving, lambda: advance(run, steps), 1 if quick else 7)
    lost = sorted(a - b for a, b in zip(result.a, result.b, strict=True))[len(result.a) // 2]
    interval = 60 * RunConfig.model_fields["save_every_minutes"].default
    details = result.details() | {"seconds_per_save": lost, "caller_waited": run.saver.stalls, "interval_s": interval}
    return [Figure("stall per checkpoint, share of time", 100 * max(0.0, lost) / interval, "< 1", "< 1", "%",
                   details=details)]  # fmt: skip
