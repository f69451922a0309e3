"""The noise that takes the place of music: a function of (seed, sample), in training and in generation alike."""

from collections.abc import Sequence

from torch import Tensor

from config import RunConfig
from curriculum.pure_gan import offset_noise, slow_noise
from losses.penalties import FRAME_RATE
from runtime.seeding import Purpose, mix_seed, normal

SOURCES = (Purpose.INPUT_NOISE, Purpose.TARGET_NOISE)


def source_noise(
    config: RunConfig, seed: int, purpose: Purpose, indices: Sequence[int], shape: Sequence[int], device
) -> Tensor:
    """[B, *shape], shape (D, T), of mean 0 and variance 1; row b by (seed, purpose, indices[b]) alone.

    White, or in part the same in all frames of a clip (`--offset_noise`), or for some time (`--offset_seconds`).
    """
    noise_BDT = normal(seed, purpose, indices, shape, device)
    if config.offset_noise == 0:
        return noise_BDT
    lasting_shape = (shape[0], 1) if config.offset_seconds == 0 else shape
    lasting_BDX = normal(mix_seed(seed, Purpose.OFFSET), purpose, indices, lasting_shape, device)
    if config.offset_seconds > 0:
        lasting_BDX = slow_noise(lasting_BDX, config.offset_seconds * FRAME_RATE)
    return offset_noise(noise_BDT, lasting_BDX, config.offset_noise)
