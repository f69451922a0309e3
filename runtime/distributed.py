"""The ranks of a run, and how they communicate. Apart from the worker, only this module uses torch.distributed."""

import inspect
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.backends import cuda
from torch.nn.parallel import DistributedDataParallel

from errors import UserError
from runtime import devices
from runtime.cores import available_cores

T = TypeVar("T")
_PIECE = 64 << 20


class ReportedElsewhere(UserError):
    """An error that another rank reports to the user; this rank ends silently."""


class Interrupted(Exception):
    """A stop was requested before training began; there is nothing to save."""


@dataclass(frozen=True)
class Ranks:
    """This process among the run's processes.

    `control` is a gloo group for decisions made on the host: they never wait for a device.
    """

    rank: int
    local_rank: int
    world: int
    local_world: int
    device: torch.device
    control: dist.ProcessGroup | None = field(default=None, repr=False)

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def vote(self, *flags: bool) -> list[bool]:
        """Logical or over ranks, for all flags in one exchange."""
        if self.world == 1:
            return [bool(flag) for flag in flags]
        votes_K = torch.tensor(flags, dtype=torch.uint8)
        dist.all_reduce(votes_K, op=dist.ReduceOp.MAX, group=self.control)
        return votes_K.bool().tolist()

    def any(self, flag: bool) -> bool:
        """True on all ranks if `flag` is true on one."""
        return self.vote(flag)[0]

    def gather(self, value: T) -> list[T]:
        """Every rank's plain value, in the order of the ranks, on all ranks."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        dist.all_gather_object(values, value, group=self.control)
        return values

    def mean(self, values_K: Tensor) -> Tensor:
        """The mean over ranks of a vector, on the host in float64."""
        values_K = values_K.detach().to("cpu", torch.float64)
        if self.world > 1:
            dist.all_reduce(values_K, group=self.control)
            values_K /= self.world
        return values_K

    def sum(self, values_K: Tensor) -> Tensor:
        """The sum over ranks of a vector, on the host in float64."""
        return self.mean(values_K) * self.world

    def from_main(self, value: object) -> object:
        """Rank 0's plain value, on all ranks."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.control)
        return box[0]

    def bytes_from_main(self, data: bytes | None) -> bytes:
        """Rank 0's bytes, on all ranks, so that a checkpoint need not be on a shared disk."""
        if self.world == 1:
            return data
        size = self.from_main(len(data) if self.is_main else None)
        whole = bytearray(data) if self.is_main else bytearray(size)
        for start in range(0, size, _PIECE):
            piece = torch.frombuffer(whole, dtype=torch.uint8, offset=start, count=min(_PIECE, size - start))
            dist.broadcast(piece, src=0, group=self.control)
        return data if self.is_main else bytes(whole)

    def while_in_touch(self, work: Callable[[], T] | None, stopping: Callable[[], bool] = bool) -> T | None:
        """Runs long work on some ranks (in a thread) without a timeout on the others: all ranks exchange their state
        several times a second, so that a lost rank, an error or a stop is noticed soon.

        Returns:
            This rank's result, None if it had no work.

        Raises:
            Interrupted: `stopping()` became true on some rank.
            UserError: the work raised it here; ReportedElsewhere if it was raised on another rank.
        """
        box: dict[str, object] = {}
        thread = threading.Thread(target=_into, args=(box, work), name="work", daemon=True) if work else None
        if thread:
            thread.start()
        while True:
            if thread:
                thread.join(0.2)
            busy, stop, failed = self.vote(bool(thread and thread.is_alive()), stopping(), "error" in box)
            if failed:
                raise box.get("error") or ReportedElsewhere("another rank reports the error")
            if stop:
                raise Interrupted
            if not busy:
                return box.get("result")

    def main_first(self, work: Callable[[], T]) -> T:
        """Rank 0 does the work first, the others after it; a UserError on rank 0 ends all ranks, reported once."""
        if self.world == 1:
            return work()
        result, problem = None, None
        if self.is_main:
            try:
                result = work()
            except UserError as error:
                problem = str(error)
        problem = self.from_main(problem)
        if problem is not None:
            raise UserError(problem) if self.is_main else ReportedElsewhere(problem)
        return result if self.is_main else work()

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier(group=self.control)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over ranks; with one rank, the module itself.

        Buffers (spectral norm's vectors) depend on weights and step count alone, so they need no broadcast.
        """
        if self.world == 1 or not any(p.requires_grad for p in module.parameters()):
            return module
        own = [self.device] if self.device.type == "cuda" else None
        known = inspect.signature(DistributedDataParallel).parameters
        quiet = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # older name
        return DistributedDataParallel(module, device_ids=own, gradient_as_bucket_view=True, **{quiet: False})


def _into(box: dict[str, object], work: Callable[[], object]) -> None:
    try:
        box["result"] = work()
    except BaseException as error:
        box["error"] = error


def under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ or {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def start(num_threads: int = 0, timeout_minutes: float = 10.0) -> Ranks:
    """Joins the run that torchrun describes in the environment; without torchrun, a run of one rank.

    Args:
        timeout_minutes: how long a rank waits for another in any exchange before it gives up.

    Raises:
        UserError: the device named in the environment cannot be used here.
        RuntimeError: the ranks did not find each other within the time limit.
    """
    rank, local_rank, world = (
        int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
    )
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    device = devices.choose(local_rank=local_rank, local_world=local_world)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what `repeat_exactly` needs, read once by cuBLAS
        torch.cuda.set_device(device)
    elif device.type == "cpu":
        share_cores(num_threads, local_world)
    control = None
    if world > 1:
        limit = timedelta(minutes=timeout_minutes)
        _join(rank, world, device, limit)
        control = dist.new_group(backend="gloo", timeout=limit)
    return Ranks(rank, local_rank, world, local_world, device, control)


def share_cores(num_threads: int, local_world: int) -> None:
    """CPU threads of this rank; 0: its share of the machine's cores. Sums are rounded in the order of the threads."""
    torch.set_num_threads(num_threads or max(1, available_cores() // local_world))


def repeat_exactly(device: torch.device, deterministic: bool) -> str | None:
    """Has results repeat bit for bit where that is wanted; returns a sentence on what does not repeat, if anything.

    On CPUs they always do, for one number of threads. On GPUs cuDNN, cuBLAS and atomic additions have faster ways that
    do not. The gradients of fused attention are among these as long as torch only warns of operations that do not
    repeat (its `attention_backward.cu`), so attention is computed by matrix products instead.
    """
    if device.type == "cpu":
        return "note: deterministic has no effect on CPUs, which always repeat bit for bit" if deterministic else None
    torch.backends.cudnn.deterministic = deterministic
    for enable in (cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_cudnn_sdp):
        enable(not deterministic)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if deterministic:
        return None
    return "note: on GPUs a run repeats bit for bit only with --deterministic"


def _join(rank: int, world: int, device: torch.device, limit: timedelta) -> None:
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(address, port, is_master=_hosts_store(rank), timeout=limit)
    # A restarted worker must not read addresses that a failed attempt left in the store: each has its own prefix.
    attempt = f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{world}"
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        store=dist.PrefixStore(f"run/{attempt}", store),
        rank=rank,
        world_size=world,
        timeout=limit,
        device_id=device if device.type == "cuda" else None,
    )


def _hosts_store(rank: int) -> bool:
    agent_hosts_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return rank == 0 and not agent_hosts_it


def is_lost_peer(error: Exception) -> bool:
    """Whether an error means that another rank is lost."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(sign in text for sign in ("gloo", "nccl", "peer", "timed out"))


def stop(ranks: Ranks) -> None:
    """Leaves the process group."""
    if ranks.world > 1 and dist.is_initialized():
        dist.destroy_process_group()
