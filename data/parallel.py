"""Applies a torch function to batches of clips in parallel on a CPU's cores.

Each batch has one thread, instead of several threads per operation: these operations are small, and threads that wait
for each other in each of them lose most of their time as soon as a core is busy with something else.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from runtime.cores import available_cores


def parallel_batches(device: str) -> int:
    """How many batches `map_batches` works on at a time: on a CPU one on each core, else one."""
    return available_cores() if torch.device(device).type == "cpu" else 1


def map_batches(
    function: Callable[[torch.Tensor], torch.Tensor], rows: np.ndarray, batch: int, device: str = "cpu"
) -> np.ndarray:
    """Apply `function` to slices of `batch` rows, without gradient -> its results joined along the first dimension.

    function: must treat rows independently; called from several threads on a CPU, from one on other devices.
    """

    def one(start: int) -> np.ndarray:
        with torch.inference_mode():
            return function(torch.as_tensor(rows[start : start + batch]).to(device)).cpu().numpy()

    workers = parallel_batches(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if workers > 1 else threads)
    try:
        with ThreadPoolExecutor(workers) as pool:
            return np.concatenate(list(pool.map(one, range(0, len(rows), batch))))
    finally:
        torch.set_num_threads(threads)
