"""When a run saves, and how it tells what went wrong with it."""

import time

from runtime.run_folder import retain
from training.run import Run
from training.state import full_state


def overdue(run: Run) -> bool:
    """Whether `--save_every_minutes` have passed, by this rank's clock."""
    minutes = run.config.save_every_minutes
    return minutes > 0 and time.monotonic() - run.last_save > 60 * minutes


def step_is_due(run: Run) -> bool:
    every, step = run.config.save_every_steps, run.counters.step
    return every > 0 and step > 0 and step % every == 0 and run.saved_at != run.place


def save_on_the_way(run: Run, *names: str) -> None:
    """A save in the midst of training; while updates are being skipped, last.pt stays as it is: it is the one to go
    back to."""
    in_trouble = bool(run.game.update_g.bad_in_row + run.game.update_d.bad_in_row)
    save(run, *names, *(() if in_trouble else ("last.pt",)))


def save(run: Run, *names: str) -> None:
    """Rank 0 starts to save the whole state under each of the names. What fails costs a warning, never the run."""
    run.last_save = time.monotonic()
    if "last.pt" in names:
        run.saved_at = run.place
    if not (run.ranks.is_main and names):
        return
    state = full_state(
        run.config, run.game, run.average, run.counters, run.space, run.scheduler.global_batch, len(run.stream)
    )
    run.saver(state, [run.folder / name for name in names], lambda: retain(run.folder, run.config.keep_last))
    tell_problems(run)


def tell_problems(run: Run) -> None:
    """A line for each save that failed since the last call, and for figures that wait for a writable disk."""
    if not run.ranks.is_main:
        return
    problems = run.saver.problems()
    for problem in problems:
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
    tell_problems(run)
    return not run.saver.failed
