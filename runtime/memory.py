"""Memory: blocks that a step frees are kept for the next step; what errors say when there is none left."""

import ctypes
import errno

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_NEVER_TRIM = 2**31 - 1
_SIZES = (1 << 30, 32 << 20)  # older C libraries take no more than 32 MiB


def keep_freed_memory() -> bool:
    """Makes the C library reuse large blocks instead of returning them to the system after every use.

    The activations of every step on a CPU have the same size; mapping and clearing their pages anew each time costs a
    tenth of a step. Peak memory is unchanged. Returns whether the C library supports this (glibc).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)) and any(mallopt(_MMAP_THRESHOLD, size) for size in _SIZES)


# What torch, C++, threads, the system's loader of libraries and oneDNN (where it maps the code that it writes) say.
_SIGNS = ("DefaultCPUAllocator", "bad_alloc", "Cannot allocate memory", "can't start new thread", "MemoryError",
          "failed to map segment", "could not create a primitive")  # fmt: skip


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a device, or this process under a limit, got no memory, which says nothing about the
    data or the file that it was for."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM
    text = str(error).replace("a primitive descriptor", "")  # oneDNN's, where it cannot do what is asked
    return isinstance(error, RuntimeError | ImportError | OSError) and any(sign in text for sign in _SIGNS)
