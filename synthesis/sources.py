"""The generator's two sources: music with noise, or noise alone; the same in training, validation and generation.

Legend: B samples, D channels, T positions; sources are normalised.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from curriculum.mixing import mix_noise
from errors import UserError
from registry import Chosen
from runtime.seeding import Purpose, mix_seed, uniform
from synthesis.draws import Draw, Origin, blend, slerp
from synthesis.noise import source_noise
from synthesis.options import SamplingOptions
from synthesis.sampler import in_channels
from synthesis.space import Space
from synthesis.vectors import VectorSources

PURPOSES = (Purpose.INPUT_NOISE, Purpose.TARGET_NOISE)


@dataclass(frozen=True)
class NoiseMix:
    """How noise is mixed into music.

    Attributes:
        fraction: noise level, 0 (the music itself) to 1 (noise of the music's standard deviation).
        channels: latent channels with noise, from the first up to (not including) the second; None: as in training.
        temperature: factor on the noise.
    """

    fraction: float = 0.0
    channels: tuple[int, int] | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class Sources:
    """Makes the generator's two sources.

    Args:
        sampling: options of the noise.
        mask: the fixed, complementary masks of `--mask_type`.
        rate: positions of the last axis to a unit of length.
    """

    sampling: SamplingOptions
    mask: Chosen
    rate: float
    only_noise = False  # whether samples have no influence on the sources

    @property
    def channels(self) -> tuple[int, int] | None:
        """The channels with noise in training; None: all."""
        return self.sampling.channels

    def mixed(
        self, input_BDT: Tensor, target_BDT: Tensor, alpha: float | Tensor, indices: Sequence[int], seed: int
    ) -> tuple[Tensor, Tensor]:
        """Both sources with noise level `alpha` (a number or [B]), as in the curriculum, then masked."""
        if isinstance(alpha, Tensor) or alpha != 0:
            noises = (self._noise(seed, purpose, indices, input_BDT) for purpose in PURPOSES)
            input_BDT, target_BDT = (
                in_channels(self.channels, x_BDT, mix_noise(x_BDT, alpha, noise_BDT))
                for x_BDT, noise_BDT in zip((input_BDT, target_BDT), noises, strict=True)
            )
        return self.masked(input_BDT, target_BDT, indices, seed)

    def masked(self, input_BDT: Tensor, target_BDT: Tensor, indices: Sequence[int], seed: int) -> tuple[Tensor, Tensor]:
        """Both sources with the masks applied."""
        part = self.mask.part
        count = part.facts["uniforms"](input_BDT.shape[1]) if "uniforms" in part.facts else 0
        uniform_BK = uniform(seed, Purpose.MASK, indices, (count,), input_BDT.device) if count else None
        masking = part.load()(self.mask.options, input_BDT, target_BDT, uniform_BK)
        return (input_BDT, target_BDT) if masking is None else (masking.masked_input, masking.masked_target)

    def from_noise(
        self, space: Space, draws: Sequence[Draw], shape: Sequence[int], device, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Input and target [B, *shape] of noise alone, as in the curriculum at alpha = 1.

        The scale of the noise is that of a training sample, selected by the draw; `temperature` multiplies it.

        Raises:
            UserError: in training, some channels were without noise.
        """
        if self.channels not in (None, (0, shape[0])):
            raise UserError(
                f"this generator was trained with noise in channels {self.sampling.noise_channels} only, so it cannot "
                "start from noise alone: give --input_audio and --noise_fraction"
            )
        scales_B2 = temperature * torch.stack([blend(draw, _scales(space), torch.lerp) for draw in draws]).to(device)
        sources = [
            scales_B2[:, k].view(-1, *[1] * len(shape)) * self.drawn(draws, purpose, shape, device)
            for k, purpose in enumerate(PURPOSES)
        ]
        return self._masked_draws(*sources, draws)

    def from_music(
        self, input_BDT: Tensor, target_BDT: Tensor, draws: Sequence[Draw], mix: NoiseMix
    ) -> tuple[Tensor, Tensor]:
        """Normalised latents of music with noise in the channels of `mix`; the others are unchanged."""
        shape, channels = input_BDT.shape[1:], mix.channels or self.channels
        sources = []
        for clean_BDT, purpose in zip((input_BDT, target_BDT), PURPOSES, strict=True):
            noise_BDT = mix.temperature * self.drawn(draws, purpose, shape, clean_BDT.device)
            mixed_BDT = mix_noise(clean_BDT, mix.fraction, noise_BDT)
            sources.append(in_channels(channels, clean_BDT, mixed_BDT))
        return self._masked_draws(*sources, draws)

    def drawn(self, draws: Sequence[Draw], purpose: Purpose, shape: Sequence[int], device) -> Tensor:
        """Noise [B, *shape] as training draws it; row b depends on draw b alone."""

        def of(origin: Origin) -> Tensor:
            return source_noise(self.sampling, self.rate, origin.seed, purpose, [origin.index], shape, device)

        return torch.cat([blend(draw, of, slerp) for draw in draws])

    def _noise(self, seed: int, purpose: Purpose, indices: Sequence[int], like_BDT: Tensor) -> Tensor:
        return source_noise(self.sampling, self.rate, seed, purpose, indices, like_BDT.shape[1:], like_BDT.device)

    def _masked_draws(self, input_BDT: Tensor, target_BDT: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
        """Applies the masks; between two draws the masks are interpolated."""
        if not self.mask.part.facts.get("hides"):
            return input_BDT, target_BDT
        rows = []
        for row, draw in enumerate(draws):
            one = slice(row, row + 1)

            def of(origin: Origin, one=one) -> Tensor:
                return torch.stack(self.masked(input_BDT[one], target_BDT[one], [origin.index], origin.seed))

            rows.append(blend(draw, of, torch.lerp))
        masked_input, masked_target = torch.cat(rows, dim=1)
        return masked_input, masked_target


def sources_of(generator: Chosen, sampling: SamplingOptions, mask: Chosen, rate: float) -> Sources | VectorSources:
    """What makes a generator's sources: vectors if it starts from noise alone, else samples with noise."""
    size = generator.part.facts.get("noise_size")
    return Sources(sampling, mask, rate) if size is None else VectorSources(size(generator.options))


def _scales(space: Space):
    def of(origin: Origin) -> Tensor:
        table_K2 = space.noise_scales_K2
        return table_K2[mix_seed(origin.seed, Purpose.SCALES, origin.index) % len(table_K2)]

    return of
