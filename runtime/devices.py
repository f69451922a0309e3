"""The device that a process computes on, and where devices differ. The only file that names the accelerators.

Apple's `mps` was written by its documentation and source, and has not been tried on the hardware.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from errors import UserError

CHOICE = "NOISE2MUSIC_DEVICE"  # environment variable: cpu, cuda or mps instead of the best that is there


def has_mps() -> bool:
    return torch.backends.mps.is_available()


def device_count() -> int:
    """Devices of this machine that a run of several processes would share out."""
    return torch.cuda.device_count() if _best() == "cuda" else 1


def _best() -> str:
    """The type of device that is used where none is named."""
    named = os.environ.get(CHOICE)
    if named:
        return named
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if has_mps() else "cpu"


def choose(name: str | None = None, local_rank: int = 0, local_world: int = 1) -> torch.device:
    """The device named, else the best one of this machine for one of its processes.

    A GPU each; the CPU for processes beyond the number of GPUs, and for all of several processes on a machine with mps,
    which has one device and no way to exchange gradients.

    Raises:
        UserError: the named device cannot be used here.
    """
    kind = name or _best()
    if name is None and kind == "cuda" and local_rank >= torch.cuda.device_count():
        kind = "cpu"
    if name is None and kind == "mps" and local_world > 1:
        kind = "cpu"
    try:
        device = torch.device(kind)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local_rank)
        _touch(device)
    except (RuntimeError, AssertionError, NotImplementedError):
        given = f"--device {name}" if name else f"{CHOICE}={kind}"
        raise UserError(f"{given} cannot be used here: leave it out, or give cpu") from None
    return device


def _touch(device: torch.device) -> None:
    torch.empty(1, device=device)


def autocast(device: torch.device, active: bool):
    """Mixed precision: bfloat16 where it is safe. mps takes it from torch 2.6 and macOS 14 on."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if active else nullcontext()


def fused_skips(device: torch.device) -> bool:
    """Whether a fused optimizer skips its step where `found_inf` says so. On mps it ignores that."""
    return device.type != "mps"


def seed(number: int) -> None:
    """Seeds the generators of those devices that are in use, from which dropout draws."""
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number)
    if has_mps():
        torch.mps.manual_seed(number)


def for_integers(device: str | torch.device) -> str | torch.device:
    """Where integers of 64 bits are computed for a device: mps has none whose products are known to wrap around."""
    return "cpu" if torch.device(device).type == "mps" else device


def finish_copies() -> None:
    """Waits for copies to the host that were started without waiting."""
    if torch.cuda.is_initialized():
        torch.cuda.current_stream().synchronize()
    if has_mps():
        torch.mps.synchronize()


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def peak_memory(device: torch.device) -> int:
    """Bytes: on a GPU the most that torch has reserved, on mps what is allocated, else the most that this process
    held."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # Linux counts in KiB


@contextmanager
def without_gaps() -> Iterator[None]:
    """Around work on a device: what only mps raises becomes what other devices raise, or a sentence.

    Raises:
        UserError: mps lacks an operation, or a type of numbers, that the work needs.
        torch.OutOfMemoryError: for which mps has no type of its own.
    """
    try:
        yield
    except (RuntimeError, TypeError) as error:
        if "MPS backend out of memory" in str(error):
            raise torch.OutOfMemoryError(str(error)) from None
        if not isinstance(error, NotImplementedError | TypeError) or "MPS" not in str(error):
            raise
        operation = next((word.strip("',.") for word in str(error).split() if "aten::" in word), "numbers of 64 bits")
        raise UserError(
            f"the device mps lacks {operation} in torch {torch.__version__}: set {CHOICE}=cpu in the environment, or "
            "PYTORCH_ENABLE_MPS_FALLBACK=1 to compute that part on the CPU"
        ) from None
