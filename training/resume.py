"""Resuming: the run's folder and the checkpoint to resume, found by rank 0 for all ranks."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from config import RunConfig, known_options, plain_value, resolve
from earlier_versions import current_options
from errors import UserError
from registry import Registry, mark_of
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
from training.distillation import check_same_teacher, check_teacher
from training.initial_weights import Origin, options_like, read_origin, shared

LOCK_PATIENCE = 15.0  # seconds that a restarted run waits for the lock of its failed attempt


@dataclass
class Resumed:
    """What a run resumes from.

    Attributes:
        config: the checkpoint's options, overridden by those given now.
        state: the checkpoint; None for a new run.
        rewound: whether the folder holds more advanced checkpoints, which are now outdated.
        own_past: whether the folder holds earlier output of this run.
        remarks: sentences to print.
        origin: the networks with which a new run begins (`--init_from`).
    """

    config: RunConfig
    state: dict[str, Any] | None = None
    rewound: bool = False
    own_past: bool = False
    remarks: list[str] = field(default_factory=list)
    origin: Origin | None = None


def claim_folder(config: RunConfig, ranks: Ranks) -> tuple[Path, RunLock | None]:
    """The run's folder, and on rank 0 its lock. Raises UserError if it is in use or cannot be written."""
    home, resume = Path(config.checkpoints.checkpoint_dir), config.checkpoints.resume
    if "checkpoint_dir" not in config.given and resume not in (None, "auto"):
        home = Path(resume).parent
    patience = LOCK_PATIENCE if attempt() else 0.0
    return ranks.main_first(lambda: open_folder(home, patience) if ranks.is_main else (home, None))


def find_past(config: RunConfig, ranks: Ranks, folder: Path) -> Resumed:
    """What the run resumes from. Only rank 0 reads the folder, which need not be on a shared disk."""
    found: Resumed | None = None
    path: Path | None = None

    def read() -> tuple:
        nonlocal found, path
        found, path = _find(config, folder)
        shared = Resumed(found.config, None, found.rewound, found.own_past, found.remarks)
        return shared, None if path is None else (str(path), found.state["counters"]["rewinds"])

    resumed, where = ranks.from_main(ranks.main_first(lambda: read() if ranks.is_main else None))
    given = {name: value for name, value in config.flat().items() if name in config.given}
    local = {name: value for name, value in given.items() if is_marked(name, "per_machine")}
    resumed.config = replace(resumed.config.replace(**local), flags=config.flags)
    resumed.origin = shared(found.origin if found else None, ranks)
    if where is not None:
        name, rewinds = where
        data = ranks.bytes_from_main(Path(name).read_bytes() if ranks.is_main and ranks.world > 1 else b"")
        resumed.state = found.state if ranks.is_main else checkpoint.decode(data, name)
        resumed.state["counters"]["rewinds"] = rewinds
    return resumed


def is_marked(name: str, mark: str) -> bool:
    """Whether an option has a mark ("shapes_run", "per_call", "per_machine")."""
    return bool(mark_of(known_options()[name].field, mark))


def _find(config: RunConfig, folder: Path) -> tuple[Resumed, Path | None]:
    """What rank 0 finds, and the checkpoint's path."""
    remarks: list[str] = []
    own_past, resume = is_ours(folder), config.checkpoints.resume
    found = furthest_good(folder, remarks.append) if own_past else None
    if found is not None:
        remarks.append(f"attempt {attempt() + 1} of this job")
    elif resume is not None:
        found = load_for_resume(resume, folder, remarks.append)
    if found is None:
        if resume is not None:
            remarks.append(f"no checkpoint in {folder} yet: a new run begins")
        name = config.checkpoints.init_from
        origin = read_origin(name) if name is not None else None
        chosen = options_like(config, origin) if origin else config.for_a_new_run()
        check_teacher(chosen, origin.config if origin else None, name)
        return Resumed(chosen.replace(checkpoint_dir=str(folder)), None, False, own_past, remarks, origin), None
    path, state = found
    resumed, changed = resumed_config(config, state, str(path))
    inside = path.absolute().parent == folder.absolute()
    furthest = max(progress for progress, _ in saves(folder)) if inside else progress_of(state)
    rewound = furthest > progress_of(state)
    if rewound:
        state["counters"]["rewinds"] = furthest[0] + 1
    counters = state["counters"]
    remarks.append(f"resumed from {path}: epoch {counters['finished_epochs']}, step {counters['step']}")
    resumed = resumed.replace(checkpoint_dir=str(folder))
    return Resumed(resumed, state, rewound, inside or own_past, remarks + changed), path


def resumed_config(given: RunConfig, state: dict[str, Any], source: str) -> tuple[RunConfig, list[str]]:
    """The checkpoint's options, overridden by those given now, and remarks on changes ("changed: lr 0.0001 -> 0.0002").

    Raises:
        UserError: an option marked `shapes_run` differs from the checkpoint's.
    """
    saved, remarks = current_options(state["config"], source, for_training=True)
    known = known_options()
    saved = {name: value for name, value in saved.items() if name in known}
    explicit = {name: value for name, value in given.flat().items() if name in given.given}
    explicit |= given.deferred
    _check_shapes(explicit, saved)
    passing = {name for name in saved if is_marked(name, "per_call")}
    base = {name: value for name, value in saved.items() if name not in passing}
    config = resolve(base | explicit, frozenset(explicit), frozenset(base) - set(explicit), may_defer=False)
    check_same_teacher(config, saved)
    changed = [
        f"changed: {name} {saved[name]} -> {value}"
        for name, value in explicit.items()
        if name in saved and name not in passing and saved[name] != value
    ]
    return config, remarks + changed


def _check_shapes(given: dict[str, Any], saved: dict[str, Any]) -> None:
    """Raises UserError where an option contradicts one that shaped the run's past; an option of no part that is younger
    than the checkpoint had its default there."""
    for name, value in given.items():
        known = known_options()[name]
        if not is_marked(name, "shapes_run") or (name not in saved and known.owners):
            continue
        before = saved.get(name, plain_value(known.field.default))
        if not _goes_with(known.field, value, before):
            raise UserError(
                f"--{name} {value} contradicts the checkpoint, which was trained with {before}: "
                "leave it out, or start a new run without --resume"
            )


def _goes_with(field_info: Any, value: Any, saved: Any) -> bool:
    """Whether a run that was trained with `saved` can continue with `value`: objectives that need the same weights of
    the discriminator are interchangeable."""
    registry: Registry | None = mark_of(field_info, "registry")
    if value != saved and registry is not None and value in registry and saved in registry:
        needed, there = (registry[name].facts.get("final_bias") for name in (value, saved))
        return needed is not None and needed == there
    return value == saved


def changed_sizes(state: dict[str, Any], per_step: int, pairs: int) -> list[str]:
    """Remarks on a batch size or dataset that differs from the checkpoint's."""
    remarks, batch, before = [], state["global_batch"], state.get("pairs") or pairs
    if batch != per_step:
        remarks.append(
            f"note: the global batch was {batch} and is {per_step} now (--global_batch_size {batch} would keep it)"
        )
    if before != pairs:
        remarks.append(f"note: the dataset had {before} training pairs and has {pairs} now: epochs are recounted")
    return remarks


def check_dataset(data: Any, given: frozenset[str]) -> None:
    """Raises UserError if the dataset that a checkpoint names is not there any more; `given`: options given now."""
    for name in ("train_dir" if data.train_dir else "dataset_folder", "val_dir"):
        folder = getattr(data, name)
        if folder and name not in given and not Path(folder).is_dir():
            raise UserError(
                f"the dataset on which the checkpoint was trained is not in {folder} any more: say where it is with "
                f"--{name}"
            )


def check_identity(state: dict[str, Any], identity: str) -> None:
    """Raises UserError if a checkpoint was trained on another kind of latents than the dataset's."""
    saved = state["space"]["identity"]
    if saved != identity:
        raise UserError(
            f"the checkpoint was trained on {saved} latents, not on {identity}: "
            "prepare the dataset with the same codec and weights"
        )


def prepare_folder(folder: Path, config: RunConfig, step: int, epoch_end_pending: bool, resumed: Resumed) -> None:
    """Prepares the folder for this run: drops metrics after `step`, or moves an earlier run aside.

    Raises:
        UserError: the folder cannot be written to.
    """
    try:
        files.remove_partial(folder)
        if resumed.own_past:
            trim_metrics(folder / "metrics.jsonl", step, epoch_end_pending)
        elif (moved := move_earlier_run(folder)) is not None:
            resumed.remarks.append(f"the earlier run in {folder} is now in {moved}")
        claim(folder)
        files.write_bytes(folder / "config.yaml", config.to_yaml().encode())
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; free some space there") from None
