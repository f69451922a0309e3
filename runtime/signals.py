"""SIGTERM and SIGINT ask for an orderly end; the ranks decide on it together (see runtime.distributed)."""

import os
import signal

EXIT_SIGNALLED = 143  # 128 + SIGTERM: what a shell reports of a process ended by SIGTERM


class StopRequest:
    """Remembers that somebody asked this process to stop. A second signal leaves at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def listen(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        return self

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def _on_signal(self, number: int, _frame) -> None:
        if self.requested:
            os._exit(128 + number)
        self.signal = number


def ignore_signals(_worker_id: int = 0) -> None:
    """For processes that read data: they end with their rank, not before it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
