"""The noise in the sources: a function of (seed, sample), the same in training and generation."""

from collections.abc import Sequence

from torch import Tensor

from curriculum.mixing import offset_noise, slow_noise
from runtime.seeding import Purpose, mix_seed, normal
from synthesis.options import SamplingOptions


def source_noise(
    options: SamplingOptions,
    rate: float,
    seed: int,
    purpose: Purpose,
    indices: Sequence[int],
    shape: Sequence[int],
    device,
) -> Tensor:
    """[B, *shape], shape (D, T), of mean 0 and variance 1; row b depends on (seed, purpose, indices[b]) alone.

    White, or partly constant over a sample (`--offset_noise`), or partly slowly varying (`--offset_seconds`).
    rate: positions of the last axis to a unit of length.
    """
    noise_BDT = normal(seed, purpose, indices, shape, device)
    if options.offset_noise == 0:
        return noise_BDT
    lasting_shape = (shape[0], *[1] * (len(shape) - 1)) if options.offset_seconds == 0 else shape
    lasting_BDX = normal(mix_seed(seed, Purpose.OFFSET), purpose, indices, lasting_shape, device)
    if options.offset_seconds > 0:
        lasting_BDX = slow_noise(lasting_BDX, options.offset_seconds * rate)
    return offset_noise(noise_BDT, lasting_BDX, options.offset_noise)
