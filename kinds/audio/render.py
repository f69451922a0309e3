"""From noise to audio, in batches and pieces of bounded memory, for clips of any length.

Legend: B clips, D latent channels, T frames, N audio samples.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor

from audio_codecs import codec_identity, codec_options, open_codec
from errors import UserError
from synthesis.draws import Draw, plain
from synthesis.generation import NOTHING, Wish, generate
from synthesis.loading import LoadedGenerator
from synthesis.sources import NoiseMix
from synthesis.windows import join_windows

FRAMES_AT_ONCE = 12_000  # 160 s: of all clips of a batch together
PIECE_FRAMES, PIECE_OVERLAP, PIECE_FADE = 1500, 64, 4  # of the codec: 20 s; half the overlap is context at each side


def clips_from_noise(
    loaded: LoadedGenerator,
    codec,
    draws: Sequence[Draw],
    duration: float,
    temperature: float = 1.0,
    batch: int | None = None,
    workers: int = 1,
    wish: Wish = NOTHING,
) -> Iterator[np.ndarray]:
    """Yields a clip `[N]` of `duration` seconds for each draw, in order; a clip depends on its draw alone.

    batch: batch size, reduced for long clips; None: 8 on a GPU, 1 on a CPU, whose caches hold no more.
    workers: number of batches made at the same time, each in a thread; on CPUs, one per core together with
        `torch.set_num_threads(1)` is fastest.
    wish: labels and guidance.

    Raises:
        UserError: the generator produces NaN or infinite values.
    """
    length = max(1, round(duration * codec.sample_rate))
    frames = math.ceil(length / codec.hop)

    def make(some: Sequence[Draw]) -> np.ndarray:
        shape = (loaded.space.shape[0], frames)
        sources = loaded.sources.from_noise(loaded.space, some, shape, loaded.device, temperature)
        return decode(codec, generate(loaded, *sources, wish=wish, draws=some))[:, :length]

    return _in_batches(make, draws, _batch_size(batch, frames, loaded.device), workers)


def clips_from_music(
    loaded: LoadedGenerator,
    codec,
    draws: Sequence[Draw],
    input_N: np.ndarray,
    target_N: np.ndarray,
    mix: NoiseMix,
    batch: int | None = None,
    workers: int = 1,
    wish: Wish = NOTHING,
) -> Iterator[np.ndarray]:
    """Yields a clip `[N]` for each draw from two recordings (the longer one is cut) and noise.

    For batch, workers and wish see `clips_from_noise`.

    Raises:
        UserError: the recordings differ, but the generator was trained with the same one twice; or it produces NaN or
            infinite values.
    """
    if loaded.config.data.unity_test and not np.array_equal(input_N, target_N):
        raise UserError(
            f"the generator of {loaded.trained_to} was trained with unity_test, on one recording as input and target, "
            "and would take the difference of two for noise: leave --target_audio out"
        )
    length = min(len(input_N), len(target_N))
    clean = [loaded.space.normalise(encode(codec, wav[:length], loaded.device)) for wav in (input_N, target_N)]

    def make(some: Sequence[Draw]) -> np.ndarray:
        repeated = (x_1DT.expand(len(some), -1, -1) for x_1DT in clean)
        sources = loaded.sources.from_music(*repeated, some, mix)
        return decode(codec, generate(loaded, *sources, mix.fraction, mix.channels, wish))[:, :length]

    return _in_batches(make, draws, _batch_size(batch, clean[0].shape[2], loaded.device), workers)


def generate_from_noise(
    loaded: LoadedGenerator,
    codec,
    num: int,
    duration: float,
    seed: int,
    temperature: float = 1.0,
    batch: int | None = None,
    wish: Wish = NOTHING,
) -> Iterator[np.ndarray]:
    """Yields clips 0 to num - 1 of a seed; see `clips_from_noise`."""
    return clips_from_noise(loaded, codec, plain(seed, num), duration, temperature, batch, wish=wish)


@torch.no_grad()
def decode(codec, latents_BDT: Tensor) -> np.ndarray:
    """Audio `[B, N]`, float32, on the host; long clips piece by piece."""
    if codec.streams:
        return codec.decode(latents_BDT)[:, 0].float().cpu().numpy()
    make = partial(_decode_piece, codec, latents_BDT)
    frames = latents_BDT.shape[2]
    return join_windows(make, frames, PIECE_FRAMES, PIECE_OVERLAP, PIECE_FADE, rate=codec.hop)[:, 0].numpy()


def _decode_piece(codec, latents_BDT: Tensor, start: int, stop: int) -> Tensor:
    return codec.decode(latents_BDT[:, :, start:stop]).float().cpu()


@torch.no_grad()
def encode(codec, wav_N: np.ndarray, device) -> Tensor:
    """Latents [1, D, T] of a recording."""
    return codec.encode(torch.from_numpy(wav_N)[None, None].to(device)).float()


def _batch_size(batch: int | None, frames: int, device) -> int:
    batch = batch or (1 if device.type == "cpu" else 8)
    return max(1, min(batch, FRAMES_AT_ONCE // frames))


def _in_batches(make: Callable, draws: Sequence[Draw], size: int, workers: int) -> Iterator[np.ndarray]:
    """Clips in the order of their draws, with no more than workers + 1 batches held at a time."""
    batches = [draws[first : first + size] for first in range(0, len(draws), size)]
    with ThreadPoolExecutor(workers) as pool:
        pending: deque = deque()
        for some in batches:
            pending.append(pool.submit(make, some))
            if len(pending) > workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()


def open_generators_codec(loaded: LoadedGenerator, weights: str | None, device: str, decoder: str | None = None):
    """The codec that the generator was trained with, with another decoder if one is named.

    Raises:
        UserError: it was trained on another kind of data, or the codec's weights are not available or differ from
            those of training.
    """
    if "codec" not in loaded.space.about:
        raise UserError(f"the generator of {loaded.trained_to} makes {loaded.space.kind}, not audio")
    name = loaded.space.about["codec"]
    weights = weights or loaded.decoder or loaded.config.chosen("kind").options.codec_weights
    chosen = loaded.config.choices.get("codec")
    options = codec_options(name, decoder) if decoder or not chosen else chosen.options
    identity = codec_identity(name, weights, options)
    if identity != loaded.space.identity:
        raise UserError(
            f"the generator was trained with {loaded.space.identity}, the codec is {identity}: give --codec_weights"
        )
    return open_codec(name, weights, device, options)
