"""A device that is out of memory: one sentence, with a batch that would probably fit."""

import torch

from config import RunConfig
from runtime.devices import name_of
from runtime.distributed import Ranks
from training.run import Run

_SPARE = 0.1  # share of a device's memory that is lost between blocks
_BYTES = 20  # a parameter: weight, gradient, two averages of the optimizer, EMA


def smaller_batch(batch: int, resting: float = 0.0) -> int:
    """The largest half, quarter, ... of a batch that would probably fit, where `batch` asked for more than all memory
    or little less; 0 if not even one sample would. `resting`: the share of memory that does not depend on the batch."""
    guess = batch // 2
    while guess and resting + (1 - resting) * guess / batch > 1 - _SPARE:
        guess //= 2
    return guess


def sentence(config: RunConfig, world: int, where: str, resting: float = 0.0) -> str:
    """What is wrong and what to do. `where` names the device; for `resting` see `smaller_batch`."""
    batch = config.training.batch_per_device(world)
    fits = smaller_batch(batch, resting)
    begun = f"{where} is out of memory with a batch of {batch} per device"
    if not fits:
        return f"{begun}: give shorter clips or a smaller network (--crop_seconds, --size)"
    if config.training.global_batch_size:
        return f"{begun}: --global_batch_size {fits * world} ({fits} per device) would probably fit"
    return f"{begun}: --batch_size {fits} would probably fit"


def explain(config: RunConfig, world: int, device: torch.device, parameters: int) -> str:
    """The sentence for a device that has just failed to allocate, while networks of so many parameters are trained."""
    if device.type != "cuda":
        return sentence(config, world, device.type)
    total = torch.cuda.get_device_properties(device).total_memory
    return sentence(config, world, name_of(device), min(1.0, _BYTES * parameters / total))


def explain_run(config: RunConfig, ranks: Ranks | None, run: Run | None) -> str:
    """The same for a run; while it is still being built, `run` or both are None."""
    networks = (run.trainer.generator, run.trainer.discriminator) if run else ()
    parameters = sum(p.numel() for network in networks for p in network.parameters())
    if run and run.trainer.teacher is not None:  # which has weights alone
        parameters += sum(p.numel() for p in run.trainer.teacher.network.parameters()) // 5
    world, device = (ranks.world, ranks.device) if ranks else (1, torch.device("cpu"))
    return explain(run.config if run else config, world, device, parameters)
