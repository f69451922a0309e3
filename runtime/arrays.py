"""Arrays in numpy's files, which may be damaged."""

from pathlib import Path

import numpy as np

from runtime.memory import is_out_of_memory


def load_array(path: Path, mapped: bool = False) -> np.ndarray:
    """The array in a `.npy` file, as a read-only memory map if `mapped`.

    Raises:
        OSError: the file cannot be read.
        ValueError: its header is damaged. numpy itself then raises whatever Python's parser does.
    """
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:
        if isinstance(error, OSError) or is_out_of_memory(error):
            raise
        raise ValueError("its header is damaged") from None
