"""Melodies whose pitch tells the second, so that what is missing, repeated or out of place can be measured."""

import numpy as np
import soundfile

from kinds.audio import mp3

RATE = 44_100


def melody(seconds: int, start: int = 0, rate: int = RATE) -> np.ndarray:
    """float32 [N]: second k is a tone of 400 + 60 (start + k) Hz."""
    hertz = 400 + 60 * (start + np.arange(round(seconds * rate)) // rate)
    return (0.4 * np.sin(2 * np.pi * np.cumsum(hertz) / rate)).astype(np.float32)


def seconds_heard(wav: np.ndarray, rate: int = 24_000) -> list[int]:
    """Which second of a melody is heard in the middle of each second of `wav`."""
    heard = []
    for k in range(len(wav) // rate):
        middle = wav[k * rate + rate // 4 : k * rate + 3 * rate // 4]
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
        heard.append(round((np.argmax(spectrum) * rate / len(middle) - 400) / 60))
    return heard


def write_mp3(path, wav: np.ndarray, mode: str = "CONSTANT", rate: int = RATE) -> bytes:
    """-> the bytes of the file."""
    soundfile.write(path, wav, rate, format="MP3", bitrate_mode=mode, compression_level=0.5)
    return path.read_bytes()


def without_tag(data: bytes) -> bytes:
    """An mp3 without the frame that says how many frames there are."""
    start = max(data.find(b"Xing"), data.find(b"Info"))
    assert start > 0
    start = data.rfind(b"\xff\xfb", 0, start)
    return data[:start] + data[start + mp3.frame_at(data, start).size :]


def ogg_pages(data: bytes) -> list[bytes]:
    pages, at = [], 0
    while at < len(data):
        size = 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        pages.append(data[at : at + size])
        at += size
    return pages


def encode(path, wav: np.ndarray, codec: str, rate: int = RATE, picture: bool = False) -> None:
    """Writes a file by FFmpeg; with `picture` a video of a second beside the sound."""
    import av

    with av.open(str(path), "w") as container:
        if picture:
            video = container.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
        stream = container.add_stream(codec, rate=rate)
        stream.layout, stream.bit_rate = "mono", 128_000
        if picture:
            for _ in range(10):
                image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                container.mux(video.encode(image))
            container.mux(video.encode())
        frame = av.AudioFrame.from_ndarray((wav[None] * 32767).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size or 1024
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode())
