"""`--profile`: a profile of training steps."""

from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

WARM_UP, PROFILED, SHOWN = 5, 5, 10
TRACE = "profile.json"


class StepProfile:
    """Profiles steps 6 to 10 after a start: a trace for chrome://tracing or Perfetto, and the slowest operations.

    Args:
        folder: the run's folder, for the trace. None: no profiling.
        say: prints a line.
    """

    def __init__(self, folder: Path | None, say) -> None:
        self._folder, self._say, self._steps = folder, say, 0
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        self._profile = profile(activities=activities) if folder else None

    def step(self) -> None:
        """To be called after every step."""
        if self._profile is None:
            return
        self._steps += 1
        if self._steps == WARM_UP:
            self._profile.start()
        elif self._steps == WARM_UP + PROFILED:
            self._finish()

    def close(self) -> None:
        """Stops a profile that is still open at the end of the run: it would crash the process at exit."""
        if self._profile is not None and self._steps >= WARM_UP:
            self._profile.stop()
        self._profile = None

    def _finish(self) -> None:
        self._profile.stop()
        self._profile.export_chrome_trace(str(self._folder / TRACE))
        for line in slowest(self._profile.key_averages(), PROFILED):
            self._say(line)
        self._say(f"trace of {PROFILED} steps: {self._folder / TRACE}")
        self._profile = None


def slowest(operations, steps: int) -> list[str]:
    """Lines on the operations that take most of a step's time, on the GPU if there is one."""
    on_gpu = any(one.self_device_time_total for one in operations)
    time_of = {one: one.self_device_time_total if on_gpu else one.self_cpu_time_total for one in operations}
    whole = sum(time_of.values())
    ranked = sorted(time_of, key=time_of.get, reverse=True)[:SHOWN]
    lines = []
    for one in ranked:
        share, took = 100 * time_of[one] / whole, time_of[one] / steps / 1e3
        lines.append(f"{share:5.1f} %  {took:9.2f} ms per step  {one.count / steps:6.1f} calls  {one.key}")
    return lines
