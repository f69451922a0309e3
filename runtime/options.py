"""Options of checkpoints and of the processes of a run. Nothing here imports torch."""

from registry import Options, opt


class CheckpointOptions(Options):
    """checkpoints"""

    checkpoint_dir: str = opt("checkpoints", "folder of the run", per_call=True)
    save_every: int = opt(10, "save checkpoint_epoch_N.pt every this many epochs", ge=1)
    save_every_steps: int = opt(0, "also save last.pt every this many steps; 0 = off", ge=0)
    save_every_minutes: float = opt(10.0, "also save last.pt every this many minutes; 0 = off", ge=0)
    keep_last: int = opt(0, "keep only the newest this many of checkpoint_epoch_*.pt; 0 = all", ge=0)
    resume: str | None = opt(
        None, "checkpoint to resume, or `auto`: the most advanced one in checkpoint_dir, if any", per_call=True
    )
    init_from: str | None = opt(
        None,
        "begin a new run with the weights of a checkpoint, a run's folder, an export, or hf:user/name",
        shapes_run=True,
    )


class ProcessOptions(Options):
    """processes"""

    num_threads: int = opt(0, "CPU threads per rank; 0 = the machine's cores / its ranks", ge=0, per_machine=True)
    world_size: int = opt(
        0, "workers of the plain launcher; 0 = one per device; 1 = one, even with a plain torchrun", ge=0, per_call=True
    )
    local_rank: int = opt(-1, "accepted for compatibility; set by torchrun", per_call=True, without_effect=True)
    deterministic: bool = opt(
        False, "on GPUs use only algorithms whose results repeat bit for bit (slower); CPUs always do"
    )
    timeout_minutes: float = opt(10.0, "end the run if a rank waits this long for another", ge=0.05, per_call=True)
    max_restarts: int = opt(3, "plain launcher: restarts of a run after a worker was killed", ge=0)
