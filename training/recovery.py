"""Going back: a run whose updates are no longer finite returns to its last good save with half the learning rate."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monitoring.health import Doctor
from monitoring.log import RunLog, read_metrics
from runtime import checkpoint
from runtime.run_folder import furthest_good, trim_metrics
from training.plan import Plan
from training.run import Run
from training.saving import save
from training.state import restore


class Diverged(Exception):
    """Training cannot go on; the message says which loss, step and samples."""


def slowed(plan: Plan, factor: float) -> Plan:
    """The plan at the learning rates that going back has left."""
    return plan if factor == 1 else replace(plan, lr_g=plan.lr_g * factor, lr_d=plan.lr_d * factor)


def is_failing(run: Run) -> bool:
    """Whether `--max_bad_steps` updates in a row were skipped. Looked at now and then only: it waits for the device."""
    limit, game = run.config.max_bad_steps, run.game
    if not limit or run.counters.step % min(run.config.log_every, limit):
        return False
    in_row = torch.stack([game.update_g.bad_in_row, game.update_d.bad_in_row]).max()
    return run.ranks.any(bool(in_row >= limit))


def roll_back(run: Run, figures: dict[str, Tensor], indices: list[int]) -> None:
    """All ranks return to the last good save, at half the learning rate of before.

    Args:
        figures, indices: of the last step, to say what was not finite.

    Raises:
        Diverged: it has happened `--max_rollbacks` times already, or there is no good save.
    """
    now, limit = run.counters, run.config.max_rollbacks
    reason = what_failed(run, figures, indices)
    if now.rollbacks >= limit:
        raise Diverged(f"{reason}, after {limit} return(s) to an earlier save: lower --lr or look at these samples")
    state = last_good_state(run)
    if state is None:
        raise Diverged(f"{reason}, and there is no good save to return to: lower --lr or look at these samples")
    c = run.counters = restore(state, run.game, run.average)
    for updater in (run.game.update_g, run.game.update_d):
        updater.bad_in_row.zero_()
    c.turn, c.rollbacks, c.lr_factor = now.turn + 1, now.rollbacks + 1, now.lr_factor / 2
    run.scheduler.reactions.restore(c.reactions)
    run.progress.say(
        f"warning: {reason}: back to step {c.step} with {c.lr_factor:g} x the learning rate ({c.rollbacks} of {limit})"
    )
    if run.ranks.is_main:
        rewind_log(run)
    save(run, "last.pt")


def last_good_state(run: Run) -> dict[str, Any] | None:
    """The furthest save of finite weights, if possible before the bad steps; read by rank 0, on all ranks."""
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
    bad_in_row = state["skipped"][2:]
    return not bad_in_row.any() and is_finite(state)


def is_finite(state: dict[str, Any]) -> bool:
    weights = [*state["generator"].values(), *state["discriminator"].values()]
    return all(bool(weight.isfinite().all()) for weight in weights if weight.is_floating_point())


def what_failed(run: Run, figures: dict[str, Tensor], indices: list[int]) -> str:
    """Names what is not finite, on which rank, at which step and of which samples; losses before what follows."""
    names = sorted(figures, key=lambda name: (not name.startswith("loss/"), name.endswith("_total"), name))
    bad = [name for name in names if not bool(figures[name].isfinite().all())]
    reports = run.ranks.gather((bad, indices))
    rank = min(range(len(reports)), key=lambda r: (not any(n.startswith("loss/") for n in reports[r][0]), r))
    names, samples = reports[rank]
    what = names[0] if names else "an update"
    return f"{what} of rank {rank} is not finite at step {run.counters.step}, samples {samples[0]} to {samples[-1]}"


def rewind_log(run: Run) -> None:
    """Figures after the save that the run has returned to will be written again."""
    path = run.folder / "metrics.jsonl"
    run.log.close()
    trim_metrics(path, run.counters.step, run.epoch_ended)
    run.log = RunLog(run.folder, run.counters.step + (not run.epoch_ended))
    run.doctor = Doctor(run.config)
    for line in read_metrics(path):
        run.doctor.see(line)
        run.doctor.news()
