"""Where a run goes on from: its folder, and the save that it resumes, found by rank 0 for all ranks."""

from pathlib import Path
from typing import Any

from config import RunConfig
from errors import UserError
from runtime import checkpoint, files
from runtime.distributed import Ranks
from runtime.run_folder import (
    RunLock,
    attempt,
    claim,
    furthest_good,
    is_ours,
    load_for_resume,
    move_earlier_run,
    open_folder,
    progress_of,
    saves,
    trim_metrics,
)
from training.state import resumed_config

LOCAL = ("dataset_folder", "train_dir", "val_dir", "codec_weights", "num_workers", "num_threads")  # a machine's own
LOCK_PATIENCE = 15.0  # seconds that a restarted run waits for its dead attempt to let go of the folder


def claim_folder(config: RunConfig, ranks: Ranks) -> tuple[Path, RunLock | None]:
    """The run's folder, and on rank 0 its lock. Raises UserError where it is in use or cannot be written."""
    home = Path(config.checkpoint_dir)
    if "checkpoint_dir" not in config.model_fields_set and config.resume not in (None, "auto"):
        home = Path(config.resume).parent
    patience = LOCK_PATIENCE if attempt() else 0.0
    return ranks.main_first(lambda: open_folder(home, patience) if ranks.is_main else (home, None))


def take_up(config: RunConfig, ranks: Ranks, folder: Path) -> tuple[RunConfig, dict[str, Any] | None, list[str], bool]:
    """Options, the state to go on from (None: a new run), what to tell, and whether the folder holds this run's past.

    Rank 0 alone reads the folder: it need not be on a disk that every machine sees.
    """
    found: tuple | None = None

    def look() -> tuple[RunConfig, str | None, int, list[str], bool]:
        nonlocal found
        found = find(config, folder)
        resumed, path, _, *rest = found
        return resumed, path, *rest

    told = ranks.main_first(lambda: look() if ranks.is_main else None)
    resumed, path, turn, notes, own_past = ranks.from_main(told)
    resumed = resumed.model_copy(update={k: getattr(config, k) for k in LOCAL if k in config.model_fields_set})
    if path is None:
        return resumed, None, notes, own_past
    data = ranks.bytes_from_main(Path(path).read_bytes() if ranks.is_main and ranks.world > 1 else b"")
    state = found[2] if ranks.is_main else checkpoint.decode(data, path)
    state["saved_turn"], state["counters"]["turn"] = progress_of(state)[0], turn
    return resumed, state, notes, own_past


def find(config: RunConfig, folder: Path) -> tuple[RunConfig, str | None, dict[str, Any] | None, int, list[str], bool]:
    """(options, path, state, turn, notes, whether the folder holds this run's past), as rank 0 finds them."""
    notes: list[str] = []
    own_past = is_ours(folder)
    found = furthest_good(folder, notes.append) if own_past else None
    if found is not None:
        notes.append(f"attempt {attempt() + 1} of this job")
    elif config.resume is not None:
        found = load_for_resume(config.resume, folder, notes.append)
    chosen = config.model_copy(update={"checkpoint_dir": str(folder)})
    if found is None:
        if config.resume is not None:
            notes.append(f"no checkpoint in {folder} yet: a new run begins")
        return chosen, None, None, 0, notes, own_past
    path, state = found
    resumed, changed = resumed_config(config, state)
    resumed = resumed.model_copy(update={"checkpoint_dir": str(folder)})
    inside = path.absolute().parent == folder.absolute()
    turn = progress_of(state)[0]
    if inside and (further := max(progress for progress, _ in saves(folder))) > progress_of(state):
        turn = further[0] + 1  # what lies further on is no longer this run's future
    counters = state["counters"]
    notes.append(f"resumed from {path}: epoch {counters['finished_epochs']}, step {counters['step']}")
    notes += [f"changed: {change}" for change in changed]
    return resumed, str(path), state, turn, notes, inside or own_past


def prepare_folder(
    folder: Path, config: RunConfig, step: int, epoch_end_pending: bool, own_past: bool, notes: list[str]
) -> None:
    """Makes the folder this run's own: figures after `step` go, an earlier run moves out of the way.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        files.remove_partial(folder)
        if own_past:
            trim_metrics(folder / "metrics.jsonl", step, epoch_end_pending)
        elif (moved := move_earlier_run(folder)) is not None:
            notes.append(f"the earlier run in {folder} is now in {moved}")
        claim(folder)
        files.write_bytes(folder / "config.yaml", config.to_yaml().encode())
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; make room there") from None
