"""What the generator is fed: noise alone, or music with a share of noise, as training makes them at its two ends.

Legend: B clips, D latent channels, T frames; sources are normalised latents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from config import RunConfig
from curriculum.pure_gan import mix_noise
from runtime.seeding import Purpose, mix_seed
from synthesis.draws import Draw, Origin, blend, noise
from training.noise import SOURCES
from training.state import LatentSpace
from training.steps import masked_sources


@dataclass(frozen=True)
class NoiseMix:
    """How noise enters music.

    Attributes:
        fraction: share of noise, 0 (the music itself) to 1 (noise of the music's standard deviation).
        channels: latent channels that get it, from the first up to (not including) the second; None: all.
        temperature: factor on the noise.
    """

    fraction: float = 0.0
    channels: tuple[int, int] | None = None
    temperature: float = 1.0


def noise_sources(
    config: RunConfig, space: LatentSpace, draws: Sequence[Draw], frames: int, device, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Input and target [B, D, T] of noise alone: what the curriculum shows at alpha = 1.

    The noise's scale is that of a training clip, chosen by the draw; `temperature` multiplies it.
    """
    scales_B2 = temperature * torch.stack([blend(draw, _scales(space), torch.lerp) for draw in draws]).to(device)
    sources = [
        scales_B2[:, k, None, None] * noise(config, draws, purpose, len(space.mean_D), frames, device)
        for k, purpose in enumerate(SOURCES)
    ]
    return _masked(config, *sources, draws)


def music_sources(
    config: RunConfig, input_BDT: Tensor, target_BDT: Tensor, draws: Sequence[Draw], mix: NoiseMix
) -> tuple[Tensor, Tensor]:
    """Music's normalised latents with a share of noise in the channels that are to have it; the others stay exact."""
    _, D, T = input_BDT.shape
    first, last = mix.channels or (0, D)
    preserve = config.noise_mix == "variance_preserving"
    sources = []
    for clean_BDT, purpose in zip((input_BDT, target_BDT), SOURCES, strict=True):
        noise_BDT = mix.temperature * noise(config, draws, purpose, D, T, clean_BDT.device)
        mixed_BDT = mix_noise(clean_BDT, mix.fraction, noise_BDT, preserve)
        sources.append(torch.cat([clean_BDT[:, :first], mixed_BDT[:, first:last], clean_BDT[:, last:]], dim=1))
    return _masked(config, *sources, draws)


def normalise(latents_BDT: Tensor, space: LatentSpace) -> Tensor:
    """The codec's latents -> mean 0, standard deviation 1 over the training set, per channel."""
    mean_D, std_D = (x.to(latents_BDT.device) for x in (space.mean_D, space.std_D))
    return (latents_BDT - mean_D[:, None]) / std_D[:, None]


def denormalise(latents_BDT: Tensor, space: LatentSpace) -> Tensor:
    """The inverse of `normalise`, float32."""
    mean_D, std_D = (x.to(latents_BDT.device) for x in (space.mean_D, space.std_D))
    return latents_BDT.float() * std_D[:, None] + mean_D[:, None]


def _scales(space: LatentSpace):
    def of(origin: Origin) -> Tensor:
        table_K2 = space.noise_scales_K2
        return table_K2[mix_seed(origin.seed, Purpose.SCALES, origin.index) % len(table_K2)]

    return of


def _masked(config: RunConfig, input_BDT: Tensor, target_BDT: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
    """Under the masks of `--mask_type`; between two draws the masks fade into one another."""
    if config.mask_type == "none":
        return input_BDT, target_BDT
    rows = []
    for row, draw in enumerate(draws):
        one = slice(row, row + 1)

        def masked(origin: Origin, one=one) -> Tensor:
            pair = masked_sources(config, input_BDT[one], target_BDT[one], [origin.index], origin.seed)
            return torch.stack(pair)

        rows.append(blend(draw, masked, torch.lerp))
    masked_input, masked_target = torch.cat(rows, dim=1)
    return masked_input, masked_target
