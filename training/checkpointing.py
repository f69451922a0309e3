"""Contents of a checkpoint, when checkpoints are saved, and how failed saves are reported."""

import time
from typing import Any

from runtime.checkpoint import plain
from runtime.run_folder import retain
from training.run import Run


def full_state(run: Run) -> dict[str, Any]:
    """Everything needed to resume the run, as tensors and plain types."""
    facts = {
        "config": plain(run.config.flat()),
        "global_batch": run.schedules.global_batch,
        "pairs": len(run.stream),
        "space": run.space.state_dict(),
    }
    return facts | {name: owner.state_dict() for name, owner in run.stateful().items()}


def overdue(run: Run) -> bool:
    """Whether `--save_every_minutes` have passed, by this rank's clock."""
    minutes = run.config.checkpoints.save_every_minutes
    return minutes > 0 and time.monotonic() - run.last_save > 60 * minutes


def step_is_due(run: Run) -> bool:
    """Whether a save is due by `--save_every_steps`."""
    every, step = run.config.checkpoints.save_every_steps, run.counters.step
    return every > 0 and step > 0 and step % every == 0 and run.saved_at != run.place


def save_on_the_way(run: Run, *names: str) -> None:
    """Saves during training. While updates are being skipped, last.pt is not overwritten: it is the checkpoint to
    return to."""
    in_trouble = bool(run.trainer.update_g.bad_in_row + run.trainer.update_d.bad_in_row)
    save(run, *names, *(() if in_trouble else ("last.pt",)))


def save(run: Run, *names: str) -> None:
    """Rank 0 starts to save the whole state under each of the names. A failure only gives a warning."""
    run.last_save = time.monotonic()
    if "last.pt" in names:
        run.saved_at = run.place
    if not (run.ranks.is_main and names):
        return
    paths = [run.folder / name for name in names]
    keep = run.config.checkpoints.keep_last
    run.saver(full_state(run), paths, then=lambda: retain(run.folder, keep), before=run.log.flush)
    report_problems(run)


def report_problems(run: Run) -> None:
    """Prints a warning for each save that failed since the last call, and for metrics that could not be written."""
    if not run.ranks.is_main:
        return
    for problem in run.saver.problems():
        run.progress.say(f"warning: {problem}; training continues")
    if (held_up := run.log.problem()) is not None:
        run.progress.say(f"warning: {held_up}; training continues")


def save_at_the_end(run: Run) -> bool:
    """Saves a last time and waits. Returns whether everything is on disk."""
    if run.saved_at != run.place or "last.pt" in run.saver.failed:
        save(run, "last.pt")
    run.saver.wait()
    if run.ranks.is_main and "last.pt" in run.saver.failed:
        save(run, "last.pt")  # it failed in the background; there may be space on the disk by now
        run.saver.wait()
    report_problems(run)
    return not run.saver.failed
