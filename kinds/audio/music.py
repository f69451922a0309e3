"""A trained generator of audio with its codec, ready to make clips; shared by all programs that make some.

N samples of a clip, 24 kHz.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from errors import UserError
from kinds.audio.files import write_wav
from kinds.audio.render import clips_from_music, clips_from_noise, open_generators_codec
from kinds.audio.request import Request, labels_given, recordings_of
from kinds.audio.spectrograms import save_spectrogram
from runtime import devices
from synthesis.labels import Vocabulary
from synthesis.loading import LoadedGenerator
from synthesis.sources import NoiseMix


@dataclass(frozen=True)
class Clip:
    """A piece of music. wav_N: float32, full scale 1.0 (peaks may exceed it)."""

    wav_N: np.ndarray
    sample_rate: int

    @property
    def seconds(self) -> float:
        return len(self.wav_N) / self.sample_rate

    def save(self, path: str | Path) -> Path:
        """Writes a 16-bit wav; a peak over full scale is scaled down. UserError if the file cannot be written."""
        return _written(Path(path), lambda target: write_wav(target, self.wav_N, self.sample_rate))

    def save_spectrogram(self, path: str | Path, title: str = "") -> Path:
        """Writes a picture (PNG). UserError if the file cannot be written."""
        return _written(Path(path), lambda target: save_spectrogram(self.wav_N, self.sample_rate, target, title))


class Music:
    """A generator with its codec.

    >>> music = Music.open(load_generator("pretrained/demo"))
    >>> music.generate(seconds=10, seed=1).save("clip.wav")
    """

    def __init__(self, loaded: LoadedGenerator, codec) -> None:
        self.loaded, self.codec = loaded, codec

    @classmethod
    def open(cls, loaded: LoadedGenerator, codec_weights: str | None = None, decoder: str | None = None) -> "Music":
        """With the codec of its training. UserError if that is not available, or if it makes no audio."""
        return cls(loaded, open_generators_codec(loaded, codec_weights, str(loaded.device), decoder))

    @property
    def sample_rate(self) -> int:
        """Of the clips, in Hz."""
        return self.codec.sample_rate

    @property
    def labels(self) -> Vocabulary:
        """What it can be asked for: values or mean and deviation by label; see `synthesis.labels`."""
        return self.loaded.conditioning.known_labels

    @property
    def trained_to(self) -> str:
        """How far it was trained, e.g. "epoch 90, step 1080"."""
        return self.loaded.trained_to

    def generate(
        self,
        seconds: float | None = None,
        seed: int = 0,
        label: str | Sequence[str] | Mapping[str, object] | None = None,
        **options,
    ) -> Clip:
        """One clip, the first that generate.py makes with the same options.

        Args:
            seconds: 0.05 to 36000; None: 10, or as long as the recording `input_audio`.
            label: "genre=jazz", several of these, or {"genre": "jazz", "tempo": 120}. From noise, labels that are not
                given are those of a training clip; "none": they are left open.
            options: others of generate.py, see `Request`: temperature, passes, guidance, input_audio, noise_fraction...

        Raises:
            UserError: values out of range, labels that it does not know, recordings that cannot be read.
            TypeError: there is no such option.
        """
        if not {"input_audio", "interpolate", "variations"} & options.keys():
            options = {"num": 1} | options
        request = Request(seed=seed, duration=seconds, label=labels_given(label), **options)
        return next(self.clips(request))

    def clips(
        self, request: Request, recordings: Sequence[np.ndarray] | None = None, batch: int | None = None
    ) -> Iterator[Clip]:
        """All clips of a request, in order.

        recordings: input and target [N] if they have been read; None: they are read as the request says.
        batch: see `kinds.audio.render.clips_from_noise`.

        Raises:
            UserError: as `generate`.
        """
        request.check()
        if recordings is None:
            recordings = [recording.wav for _, recording in recordings_of(request)]
        loaded = self.loaded if request.passes is None else self.loaded.in_steps(request.passes)
        wish = request.wish(loaded)
        channels, most = request.channels(), loaded.space.shape[0]
        if channels and channels[1] > most:
            raise UserError(f"--noise_channels goes past the generator's {most} channels")
        draws = request.draws()
        with _one_thread_per_clip(loaded.device) as workers:
            if recordings:
                mix = NoiseMix(request.value("noise_fraction"), channels, request.temperature)
                wavs = clips_from_music(loaded, self.codec, draws, *recordings, mix, batch, workers, wish)
            else:
                seconds = request.value("duration")
                wavs = clips_from_noise(loaded, self.codec, draws, seconds, request.temperature, batch, workers, wish)
            for wav_N in wavs:
                yield Clip(wav_N, self.sample_rate)


@contextmanager
def _one_thread_per_clip(device: torch.device) -> Iterator[int]:
    """Yields the number of clips to make at a time: on a CPU one per core, each in one thread, which is faster than
    several threads per operation."""
    threads = torch.get_num_threads()
    if device.type != "cpu":
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)


def _written(path: Path, write) -> Path:
    try:
        write(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; choose another folder") from None
    return path


def device_of(name: str | None) -> str:
    """The device to generate on: the one named, else a GPU if there is one. UserError if it cannot be used."""
    return str(devices.choose(name))
