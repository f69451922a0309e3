"""Options of checkpoints and of the processes of a run. Nothing here imports torch."""

from registry import Options, opt


class CheckpointOptions(Options):
    """checkpoints"""

    checkpoint_dir: str = opt("checkpoints", "the run's folder", per_call=True)
    save_every: int = opt(10, "keep a checkpoint every so many epochs", ge=1)
    save_every_steps: int = opt(0, "save last.pt every so many steps too; 0 = off", ge=0)
    save_every_minutes: float = opt(10.0, "save last.pt every so many minutes too; 0 = off", ge=0)
    keep_last: int = opt(0, "keep this many of checkpoint_epoch_*.pt, besides best.pt and last.pt; 0 = all", ge=0)
    resume: str | None = opt(
        None, "a checkpoint, or `auto`: the furthest in checkpoint_dir if there is one", per_call=True
    )


class ProcessOptions(Options):
    """processes"""

    num_threads: int = opt(0, "CPU threads per rank; 0 = this machine's cores shared out", ge=0, per_machine=True)
    world_size: int = opt(
        0, "accepted; taken from torchrun. 1 keeps a bare `torchrun` to one device", ge=0, per_call=True
    )
    local_rank: int = opt(-1, "accepted; taken from torchrun", per_call=True)
    timeout_minutes: float = opt(10.0, "a rank that waits longer for another one ends the run", ge=0.05, per_call=True)
    max_restarts: int = opt(3, "plain launcher: how often a run with a dead worker starts again", ge=0)
