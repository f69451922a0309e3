"""Recovery: a run whose updates are not finite returns to its last good checkpoint with half the learning rate."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monitoring.log import RunLog, read_metrics
from runtime import checkpoint
from runtime.run_folder import furthest_good, trim_metrics
from training.checkpointing import save
from training.run import Run
from training.step_plan import StepPlan

MOST_ROLLBACKS = 3


class Diverged(Exception):
    """Training cannot continue; the message names the loss, the step and the samples."""


def slowed(plan: StepPlan, factor: float) -> StepPlan:
    """The plan with learning rates reduced by earlier rollbacks."""
    return plan if factor == 1 else replace(plan, lr_g=plan.lr_g * factor, lr_d=plan.lr_d * factor)


def is_failing(run: Run) -> bool:
    """Whether `--max_bad_steps` updates in a row were skipped. Checked rarely, since it waits for the device."""
    limit, trainer = run.config.training.max_bad_steps, run.trainer
    if not limit or run.counters.step % min(run.config.logging.log_every, limit):
        return False
    in_row = torch.stack([trainer.update_g.bad_in_row, trainer.update_d.bad_in_row]).max()
    return run.ranks.any(bool(in_row >= limit))


def roll_back(run: Run, metrics: dict[str, Tensor], indices: list[int]) -> None:
    """All ranks return to the last good checkpoint and halve the learning rate.

    Args:
        metrics, indices: of the last step, to say what was not finite.

    Raises:
        Diverged: it has happened `MOST_ROLLBACKS` times already, or there is no good checkpoint.
    """
    before, limit = asdict(run.counters), MOST_ROLLBACKS
    reason = what_failed(run, metrics, indices)
    if before["rollbacks"] >= limit:
        raise Diverged(f"{reason}, after {limit} return(s) to an earlier checkpoint: lower --lr or check these samples")
    state = last_good_state(run)
    if state is None:
        raise Diverged(f"{reason}, and there is no good checkpoint to return to: lower --lr or check these samples")
    run.load(state)
    for updater in (run.trainer.update_g, run.trainer.update_d):
        updater.bad_in_row.zero_()
    c = run.counters
    c.rewinds, c.rollbacks = before["rewinds"] + 1, before["rollbacks"] + 1
    c.lr_factor = before["lr_factor"] / 2
    run.progress.say(
        f"warning: {reason}: back to step {c.step} with {c.lr_factor:g} x the learning rate ({c.rollbacks} of {limit})"
    )
    if run.ranks.is_main:
        rewind_log(run)
    save(run, "last.pt")


def last_good_state(run: Run) -> dict[str, Any] | None:
    """The most advanced checkpoint with finite weights, if possible before the bad steps; rank 0 reads it."""
    run.saver.wait()
    found = None
    if run.ranks.is_main:
        found = furthest_good(run.folder, run.progress.say, is_sound) or furthest_good(run.folder, id, is_finite)
    path = run.ranks.from_main(str(found[0]) if found else None)
    if path is None:
        return None
    data = run.ranks.bytes_from_main(Path(path).read_bytes() if run.ranks.is_main else None)
    return checkpoint.decode(data, path)


def is_sound(state: dict[str, Any]) -> bool:
    bad_in_row = state["trainer"]["skipped"][2:]
    return not bad_in_row.any() and is_finite(state)


def is_finite(state: dict[str, Any]) -> bool:
    weights = [*state["trainer"]["generator"].values(), *state["trainer"]["discriminator"].values()]
    return all(bool(weight.isfinite().all()) for weight in weights if weight.is_floating_point())


def what_failed(run: Run, metrics: dict[str, Tensor], indices: list[int]) -> str:
    """Names what is not finite (losses first), with rank, step and samples."""
    names = sorted(metrics, key=lambda name: (not name.startswith("loss/"), name.endswith("_total"), name))
    bad = [name for name in names if not bool(metrics[name].isfinite().all())]
    reports = run.ranks.gather((bad, indices))
    rank = min(range(len(reports)), key=lambda r: (not any(n.startswith("loss/") for n in reports[r][0]), r))
    names, samples = reports[rank]
    what = names[0] if names else "an update"
    return f"{what} of rank {rank} is not finite at step {run.counters.step}, samples {samples[0]} to {samples[-1]}"


def rewind_log(run: Run) -> None:
    """Removes the metrics after the checkpoint that the run has returned to: they will be written again."""
    path = run.folder / "metrics.jsonl"
    run.log.close()
    trim_metrics(path, run.counters.step, run.epoch_ended)
    run.log = RunLog(run.folder, run.counters.step + (not run.epoch_ended))
    run.doctor = run.new_doctor()
    for line in read_metrics(path):
        run.doctor.see(line)
        run.doctor.news()
