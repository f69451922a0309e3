"""What a checkpoint holds, when a run saves, and how it reports saves that failed."""

import time
from typing import Any

from runtime.checkpoint import plain
from runtime.run_folder import retain
from training.run import Run


def full_state(run: Run) -> dict[str, Any]:
    """Everything that a resumed run needs, as tensors and plain types."""
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
    """Whether `--save_every_steps` asks for a save now."""
    every, step = run.config.checkpoints.save_every_steps, run.counters.step
    return every > 0 and step > 0 and step % every == 0 and run.saved_at != run.place


def save_on_the_way(run: Run, *names: str) -> None:
    """A save in the midst of training; while updates are being skipped, last.pt stays as it is: it is the one to go
    back to."""
    in_trouble = bool(run.trainer.update_g.bad_in_row + run.trainer.update_d.bad_in_row)
    save(run, *names, *(() if in_trouble else ("last.pt",)))


def save(run: Run, *names: str) -> None:
    """Rank 0 starts to save the whole state under each of the names. What fails costs a warning, never the run."""
    run.last_save = time.monotonic()
    if "last.pt" in names:
        run.saved_at = run.place
    if not (run.ranks.is_main and names):
        return
    paths = [run.folder / name for name in names]
    run.saver(full_state(run), paths, lambda: retain(run.folder, run.config.checkpoints.keep_last))
    report_problems(run)


def report_problems(run: Run) -> None:
    """A line for each save that failed since the last call, and for metrics that wait for a writable disk."""
    if not run.ranks.is_main:
        return
    for problem in run.saver.problems():
        run.progress.say(f"warning: {problem}; training goes on")
    if (held_up := run.log.problem()) is not None:
        run.progress.say(f"warning: {held_up}; training goes on")


def save_at_the_end(run: Run) -> bool:
    """The last save, waited for. Whether everything that was to be saved is on disk."""
    if run.saved_at != run.place or "last.pt" in run.saver.failed:
        save(run, "last.pt")
    run.saver.wait()
    if run.ranks.is_main and "last.pt" in run.saver.failed:
        save(run, "last.pt")  # it failed unseen; the disk may have room by now
        run.saver.wait()
    report_problems(run)
    return not run.saver.failed
