"""From draws to audio, in batches and pieces of bounded memory, for clips of any length.

Legend: B clips, D latent channels, T frames, N audio samples.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from errors import UserError
from synthesis.draws import Draw, plain
from synthesis.loading import LoadedGenerator
from synthesis.sources import NoiseMix, denormalise, music_sources, noise_sources, normalise
from synthesis.windows import join_windows

FRAMES_AT_ONCE = 12_000  # 160 s: of all clips of a batch together
OVERLAP_SHARE = 4  # the generator's windows overlap by a quarter
PIECE_FRAMES, PIECE_OVERLAP, PIECE_FADE = 1500, 64, 4  # of the codec: 20 s; half the overlap is context at each side


def clips_from_noise(
    loaded: LoadedGenerator, codec, draws: Sequence[Draw], duration: float, temperature: float = 1.0, batch: int = 8
) -> Iterator[np.ndarray]:
    """Yields a clip `[N]` of `duration` seconds for each draw, `batch` at a time; a clip depends on its draw alone.

    Raises:
        UserError: the generator makes NaN or infinite values.
    """
    length = max(1, round(duration * codec.sample_rate))
    frames = math.ceil(length / codec.hop)
    for some in _batches(draws, frames, batch):
        sources = noise_sources(loaded.config, loaded.space, some, frames, loaded.device, temperature)
        yield from decode(codec, generate(loaded, *sources))[:, :length]


def clips_from_music(
    loaded: LoadedGenerator,
    codec,
    draws: Sequence[Draw],
    input_N: np.ndarray,
    target_N: np.ndarray,
    mix: NoiseMix,
    batch: int = 8,
) -> Iterator[np.ndarray]:
    """Yields a clip `[N]` for each draw out of two recordings (the longer one is cut) and a share of noise.

    Raises:
        UserError: the generator makes NaN or infinite values.
    """
    length = min(len(input_N), len(target_N))
    clean = [normalise(encode(codec, wav[:length], loaded.device), loaded.space) for wav in (input_N, target_N)]
    for some in _batches(draws, clean[0].shape[2], batch):
        repeated = (x_1DT.expand(len(some), -1, -1) for x_1DT in clean)
        sources = music_sources(loaded.config, *repeated, some, mix)
        yield from decode(codec, generate(loaded, *sources))[:, :length]


def generate_from_noise(
    loaded: LoadedGenerator, codec, num: int, duration: float, seed: int, temperature: float = 1.0, batch: int = 8
) -> Iterator[np.ndarray]:
    """Yields clips 0 to num - 1 of a seed; see `clips_from_noise`."""
    return clips_from_noise(loaded, codec, plain(seed, num), duration, temperature, batch)


@torch.no_grad()
def generate(loaded: LoadedGenerator, input_BDT: Tensor, target_BDT: Tensor) -> Tensor:
    """The generator's latents [B, D, T], denormalised, out of two sources of any length; see `synthesis.windows`."""
    window, step = loaded.space.frames, getattr(loaded.network.generator, "patch_frames", 1)
    overlap = max(1, window // OVERLAP_SHARE)

    def make(start: int, stop: int) -> Tensor:
        return loaded.network(input_BDT[:, :, start:stop], target_BDT[:, :, start:stop]).output_BDT.float()

    if input_BDT.shape[2] <= window or window == 1:
        made_BDT = make(0, input_BDT.shape[2])
    else:
        made_BDT = join_windows(make, input_BDT.shape[2], window, overlap, fade=overlap, step=step)
    if not made_BDT.isfinite().all():
        raise UserError(f"the generator of {loaded.trained_to} makes NaN or infinite values: give another checkpoint")
    return denormalise(made_BDT, loaded.space)


@torch.no_grad()
def decode(codec, latents_BDT: Tensor) -> np.ndarray:
    """Audio `[B, N]`, float32, on the host; long clips piece by piece."""
    make = partial(_decode_piece, codec, latents_BDT)
    frames = latents_BDT.shape[2]
    return join_windows(make, frames, PIECE_FRAMES, PIECE_OVERLAP, PIECE_FADE, rate=codec.hop)[:, 0].numpy()


def _decode_piece(codec, latents_BDT: Tensor, start: int, stop: int) -> Tensor:
    return codec.decode(latents_BDT[:, :, start:stop]).float().cpu()


@torch.no_grad()
def encode(codec, wav_N: np.ndarray, device) -> Tensor:
    """Latents [1, D, T] of a recording."""
    return codec.encode(torch.from_numpy(wav_N)[None, None].to(device)).float()


def _batches(draws: Sequence[Draw], frames: int, batch: int) -> Iterator[Sequence[Draw]]:
    size = max(1, min(batch, FRAMES_AT_ONCE // frames))
    return (draws[first : first + size] for first in range(0, len(draws), size))
