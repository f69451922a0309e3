"""The noise that takes the place of music: a function of (seed, sample), in training and in generation alike."""

from collections.abc import Sequence

from torch import Tensor

from config import RunConfig
from curriculum.pure_gan import offset_noise
from runtime.seeding import Purpose, mix_seed, normal

SOURCES = (Purpose.INPUT_NOISE, Purpose.TARGET_NOISE)


def source_noise(
    config: RunConfig, seed: int, purpose: Purpose, indices: Sequence[int], shape: Sequence[int], device
) -> Tensor:
    """[B, *shape], shape (D, T), of mean 0 and variance 1; row b by (seed, purpose, indices[b]) alone.

    White, or in part the same in all frames of a clip (`--offset_noise`).
    """
    noise_BDT = normal(seed, purpose, indices, shape, device)
    if config.offset_noise == 0:
        return noise_BDT
    lasting_BD1 = normal(mix_seed(seed, Purpose.OFFSET), purpose, indices, (shape[0], 1), device)
    return offset_noise(noise_BDT, lasting_BD1, config.offset_noise)
