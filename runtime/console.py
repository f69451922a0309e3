"""Standard output and error that may be lost without the work being lost: a closed pipe or terminal, a full disk."""

import errno
import io
import os
import sys

_LOST = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EBADF, errno.ENXIO, errno.EFBIG}


class _Lenient(io.FileIO):
    """A file whose loss is no error: what cannot be written any more is dropped."""

    def write(self, data) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _LOST:
                raise
            return len(memoryview(data).cast("B"))


def plain_console(**more):
    """A console of rich that shows text as it stands: names of files may look like its markup ("[live]", ":bell:")."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, **more)


def outlive_readers() -> None:
    """From here on the program goes on when nobody reads its output any more (`| head -1`, a closed terminal), when the
    disk that it goes to is full, or when it was closed from the start. Letters that the output's encoding lacks are
    escaped. Call it first in a program; further calls do nothing."""
    _open_standard_files()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _guarded(stream, 1 if name == "stdout" else 2))


def _open_standard_files() -> None:
    """Opens those that are closed, or the next file that the program opens would get their number, and its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number


def _guarded(stream: io.TextIOWrapper | None, number: int) -> io.TextIOWrapper:
    raw = _Lenient(number, "w", closefd=False)
    if stream is None:
        return io.TextIOWrapper(raw, errors="backslashreplace", write_through=True)
    stream.flush()
    unbuffered = stream.write_through
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=unbuffered,
    )
