"""The host's memory: keep what a step frees for the next step."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_NEVER_TRIM = 2**31 - 1
_SIZES = (1 << 30, 32 << 20)  # older C libraries take no more than 32 MiB


def keep_freed_memory() -> bool:
    """Tells the C library to reuse large blocks instead of handing them back to the system after every use.

    The activations of a step on a CPU are as large as those of the step before; mapping and clearing their pages anew
    each time costs a tenth of a step. The peak stays what it was. Returns whether the C library knows how (glibc).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)) and any(mallopt(_MMAP_THRESHOLD, size) for size in _SIZES)
