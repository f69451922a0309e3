"""Audio and pictures for TensorBoard: fixed-seed generations, the real clip and its codec round trip."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from audio_codecs.base import Codec
from config import RunConfig
from data.audio import read_audio
from data.cache import LatentPairs
from data.pairs import list_pairs
from monitoring.log import RunLog
from monitoring.pictures import spectrogram_image
from runtime.seeding import Purpose, mix_seed, normal
from training.state import LatentSpace
from training.steps import masked_sources, noised_sources

SHOWN = 2


@torch.no_grad()
def from_noise(
    config: RunConfig,
    network: torch.nn.Module,
    space: LatentSpace,
    num: int,
    frames: int,
    seed: int,
    first: int = 0,
    temperature: float = 1.0,
) -> torch.Tensor:
    """Latents `[num, D, frames]` out of noise alone, denormalised, on the network's device.

    Clip k is a function of (seed, first + k): its noise, and the scale of it, drawn from the standard deviations of
    training clips. It is what the curriculum shows at alpha = 1; `temperature` multiplies the scale.
    """
    device = next(network.parameters()).device
    indices = range(first, first + num)
    table = space.noise_scales_K2
    rows = [mix_seed(seed, Purpose.SCALES, i) % len(table) for i in indices]
    scales_B2 = temperature * table[rows].to(device)
    shape = (len(space.mean_D), frames)
    sources = [
        scales_B2[:, k, None, None] * normal(seed, purpose, indices, shape, device)
        for k, purpose in enumerate((Purpose.INPUT_NOISE, Purpose.TARGET_NOISE))
    ]
    sources = masked_sources(config, *sources, list(indices), seed)
    return denormalise(network(*sources).output_BDT, space)


@torch.no_grad()
def from_music(
    config: RunConfig,
    network: torch.nn.Module,
    space: LatentSpace,
    input_BDT: torch.Tensor,
    target_BDT: torch.Tensor,
    noise_fraction: float,
    seed: int,
) -> torch.Tensor:
    """Latents out of given (codec) latents mixed with a share of noise, as the curriculum mixes them."""
    device = next(network.parameters()).device
    clean = [
        (x.to(device) - space.mean_D[:, None].to(device)) / space.std_D[:, None].to(device)
        for x in (input_BDT, target_BDT)
    ]
    indices = list(range(len(input_BDT)))
    sources = noised_sources(config, *clean, noise_fraction, indices, seed)
    sources = masked_sources(config, *sources, indices, seed)
    return denormalise(network(*sources).output_BDT, space)


def denormalise(latents_BDT: torch.Tensor, space: LatentSpace) -> torch.Tensor:
    return latents_BDT.float() * space.std_D[:, None].to(latents_BDT.device) + space.mean_D[:, None].to(
        latents_BDT.device
    )


def write_generations(
    log: RunLog, config: RunConfig, network, space: LatentSpace, codec, frames: int, step: int
) -> None:
    """Clips of one seed at every call, so that their course over a run can be followed."""
    latents = from_noise(config, network, space, SHOWN, frames, mix_seed(config.seed, Purpose.SAMPLES))
    _write(log, "generated", decoded(codec, latents), space.sample_rate, step)


def write_references(log: RunLog, pairs: LatentPairs, codec: Codec, folder: Path) -> None:
    """Real validation clips, and the same as the codec plays them back: no generation can sound better."""
    shown = range(min(SHOWN, len(pairs)))
    latents = torch.from_numpy(np.stack([pairs.target(i).astype(np.float32) for i in shown]))
    _write(log, "round_trip", decoded(codec, latents), codec.sample_rate, 0)
    files = {files.name: files.target for files in list_pairs(folder)}
    _write(log, "real", [read_audio(files[pairs.names[i]], codec.sample_rate) for i in shown], codec.sample_rate, 0)


@torch.no_grad()
def decoded(codec: Codec, latents_BDT: torch.Tensor) -> np.ndarray:
    """Audio `[B, N]`, float32, on the host."""
    return codec.decode(latents_BDT).squeeze(1).float().cpu().numpy()


def _write(log: RunLog, name: str, wavs: Iterable[np.ndarray], sample_rate: int, step: int) -> None:
    for k, wav in enumerate(wavs):
        log.audio(f"{name}/{k}", wav, sample_rate, step)
        log.image(f"{name}/{k}", spectrogram_image(wav, sample_rate), step)
