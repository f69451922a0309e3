"""Host memory: blocks that a step frees are kept for the next step."""

import ctypes

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
