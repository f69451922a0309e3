"""Decodes what libsndfile cannot, with FFmpeg's libraries (the optional package `av`): AAC, WMA, WebM, video files.

N samples, C channels.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kinds.audio.errors import AudioError

NEEDED = "needs the package av to be read: pip install av"
MAY_HELP = "the package av may still read it: pip install av"
# Containers that hold recordings. Others are left out, playlists above all: they make FFmpeg open further files.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,webm,matroska,webm,mov,mov,mp4,m4a,3gp,3g2,mj2,"
    "mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,tak,tta,voc,w64,wav,wv"
)


def is_installed() -> bool:
    """Whether the package `av` is there."""
    return importlib.util.find_spec("av") is not None


def decode(path: Path, size: int, remarks: list[str]) -> tuple[int, tuple[str, ...], Iterator[np.ndarray]]:
    """The first audio track -> sample rate, names of its loudspeakers, blocks float32 [N, C] of `size` samples, the
    last one shorter. Packets that cannot be decoded are left out and counted in `remarks`.

    Raises:
        AudioError: here or while reading; `av` is missing, or the file holds no sound that it can read.
    """
    if not is_installed():
        raise AudioError(path, NEEDED)
    frames = _frames(path, remarks)
    first = next(frames, None)
    if first is None:
        raise AudioError(path, "empty")
    return first.sample_rate, tuple(c.name for c in first.layout.channels), _blocks(_arrays(first, frames), size)


def _frames(path: Path, remarks: list[str]) -> Iterator:
    import av

    try:
        with (
            open(path, "rb") as file,
            av.open(file, options={"format_whitelist": _CONTAINERS}, metadata_errors="replace") as container,
        ):
            if not container.streams.audio:
                raise AudioError(path, "holds no sound")
            damaged = 0
            for packet in container.demux(container.streams.audio[0]):
                try:
                    yield from packet.decode()
                except av.error.FFmpegError:
                    damaged += 1
            if damaged:
                remarks.append(f"damaged, {damaged} {'packet' if damaged == 1 else 'packets'} could not be decoded")
    except av.error.FFmpegError:
        raise AudioError(path, "not audio") from None
    except OSError as error:
        raise AudioError(path, f"unreadable ({error.strerror or error})") from None


def _arrays(first, frames: Iterator) -> Iterator[np.ndarray]:
    """float32 [N, C] in the form of the first frame, whatever the form of later ones."""
    import av

    def converter():
        return av.AudioResampler(format="fltp", layout=first.layout, rate=first.sample_rate)

    def form(frame):
        return frame.sample_rate, frame.layout.name, frame.format.name

    resampler, now = converter(), form(first)
    for frame in (f for part in ([first], frames) for f in part):
        if form(frame) != now:
            yield from (piece.to_ndarray().T for piece in resampler.resample(None))
            resampler, now = converter(), form(frame)
        frame.pts = None
        yield from (piece.to_ndarray().T for piece in resampler.resample(frame))
    yield from (piece.to_ndarray().T for piece in resampler.resample(None))


def _blocks(arrays: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in blocks of `size`; the last one is shorter, perhaps empty."""
    waiting, count, channels = [], 0, 1
    for array_NC in arrays:
        waiting.append(array_NC)
        count, channels = count + len(array_NC), array_NC.shape[1]
        while count >= size:
            whole_NC = np.concatenate(waiting)
            yield np.ascontiguousarray(whole_NC[:size])
            waiting, count = [whole_NC[size:]], count - size
    yield np.ascontiguousarray(np.concatenate(waiting)) if waiting else np.zeros((0, channels), np.float32)
