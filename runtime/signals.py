"""SIGTERM, SIGINT, SIGHUP and SIGQUIT request a clean shutdown; the ranks agree on it (see runtime.distributed).

A signal that was ignored when the program began stays ignored: nohup ignores SIGHUP, shells ignore SIGINT and SIGQUIT
for what a script runs in the background. The exit code is 128 + n after signal n, whether the shutdown was clean or
not. It may take `GRACE_SECONDS`: torchrun and most clusters kill a process 30 seconds after the signal.
"""

import ctypes
import os
import select
import signal
import sys
import threading
import time

EXIT_SIGNALLED = 143  # 128 + SIGTERM, as shells report a process ended by SIGTERM
GRACE_SECONDS = 20.0
SAME_SECONDS = 0.5  # clusters signal both worker and launcher, and the launcher forwards it: one request
_ASKS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def asking() -> list[signal.Signals]:
    """The signals that request a shutdown of this process: all but those that it ignores."""
    return [number for number in _ASKS if signal.getsignal(number) is not signal.SIG_IGN]


class StopRequest:
    """Records that this process was asked to stop. A second request ends it at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0

    def listen(self) -> "StopRequest":
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        for number in asking():
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()
        return self

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def _on_signal(self, number: int, _frame) -> None:
        if not self.requested:
            self.signal, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > SAME_SECONDS:
            os._exit(128 + number)


def _watch(reader: int) -> None:
    """Notices signals even while the main thread is blocked in a read or a collective, where its handler cannot run."""
    first, since = None, 0.0
    while True:
        left = None if first is None else max(0.0, since + GRACE_SECONDS - time.monotonic())
        if not select.select([reader], [], [], left)[0]:
            print(f"no clean shutdown within {GRACE_SECONDS:.0f} s: exiting without one", file=sys.stderr, flush=True)
            os._exit(128 + first)
        for number in os.read(reader, 64):
            if number not in _ASKS:
                continue
            if first is None:
                first, since = number, time.monotonic()
            elif time.monotonic() - since > SAME_SECONDS:
                os._exit(128 + number)


def end_with_rank(_worker_id: int = 0) -> None:
    """For data loading processes: they end with their rank, not before it, even if they are stuck in a read."""
    signal.set_wakeup_fd(-1)
    for number in _ASKS:
        signal.signal(number, signal.SIG_IGN)
    _signalled_with_parent(signal.SIGKILL)
    if sys.platform == "linux" and _is_orphan():
        os._exit(EXIT_SIGNALLED)


def end_with_parent() -> None:
    """Makes the system send SIGTERM to this process when its launcher dies, so that no worker keeps training alone. If
    the launcher is dead already, the process ends at once."""
    _signalled_with_parent(signal.SIGTERM)
    if sys.platform == "linux" and _is_orphan():
        os._exit(EXIT_SIGNALLED)


def _signalled_with_parent(number: signal.Signals) -> None:
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(number))


def _is_orphan() -> bool:
    """Whether process 1 has adopted this one. In a container the launcher can be process 1; it has our interpreter."""
    if os.getppid() != 1:
        return False
    try:
        return os.readlink("/proc/1/exe") != os.readlink("/proc/self/exe")
    except OSError:  # another user's
        return True
