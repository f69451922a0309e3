"""The ranks of a run: who am I, what do we all say. The only room beside the worker that names torch.distributed."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from errors import UserError

T = TypeVar("T")


class ToldElsewhere(UserError):
    """An error that rank 0 tells the user; this rank only ends with it."""


@dataclass(frozen=True)
class Ranks:
    """This process among the run's processes.

    `control` is a gloo group for decisions taken on the host: they never wait for a device.
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

    def any(self, flag: bool) -> bool:
        """True on all ranks if `flag` is true on one."""
        if self.world == 1:
            return flag
        votes = torch.tensor([float(flag)])
        dist.all_reduce(votes, op=dist.ReduceOp.MAX, group=self.control)
        return bool(votes.item() > 0)

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

    def main_first(self, work: Callable[[], T]) -> T:
        """Rank 0 does the work first, the others after it; a UserError on rank 0 ends all ranks, told once."""
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
            raise UserError(problem) if self.is_main else ToldElsewhere(problem)
        return result if self.is_main else work()

    def barrier(self) -> None:
        if self.world > 1:
            dist.barrier(group=self.control)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over ranks; with one rank, the module itself.

        Buffers (spectral norm's vectors) follow from weights and step count alone, so they need no broadcast.
        """
        if self.world == 1 or not any(p.requires_grad for p in module.parameters()):
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            module, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
        )


def under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ or {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def start(num_threads: int = 0) -> Ranks:
    """Joins the run that torchrun describes in the environment; without torchrun, a run of one.

    Raises:
        RuntimeError: the ranks did not find each other within the time limit.
    """
    rank, local_rank, world = (
        int(os.environ.get(k, d)) for k, d in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
    )
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    on_gpu = torch.cuda.is_available() and local_rank < torch.cuda.device_count()
    device = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    else:
        torch.set_num_threads(num_threads or max(1, len(os.sched_getaffinity(0)) // local_world))
    control = None
    if world > 1:
        _join(rank, world, device)
        control = dist.new_group(backend="gloo", timeout=timedelta(minutes=30))
    return Ranks(rank, local_rank, world, local_world, device, control)


def _join(rank: int, world: int, device: torch.device) -> None:
    # A restarted worker must not meet addresses that a dead attempt left in the store: each attempt has its own prefix.
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=_hosts_store(rank))
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(
        backend,
        store=dist.PrefixStore(f"run/{attempt}", store),
        rank=rank,
        world_size=world,
        timeout=timedelta(minutes=10),
        device_id=device if device.type == "cuda" else None,
    )


def _hosts_store(rank: int) -> bool:
    agent_hosts_it = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return rank == 0 and not agent_hosts_it


def stop(ranks: Ranks) -> None:
    """Leaves the run in order."""
    if ranks.world > 1 and dist.is_initialized():
        dist.destroy_process_group()
