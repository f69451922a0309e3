"""Noise in the place of music: mixing it in at a noise level alpha, and taking some of it away again.

Shapes: B batch, D latent channels, T frames; more axes between channels and frames are welcome.
"""

from math import exp, log

import torch
from torch import Tensor


def sample_std(x_BDT: Tensor) -> Tensor:
    """Standard deviation of each sample over (D, T), [B], float32 at least.

    The population's (divided by D T, not D T - 1): a mean square of 1 means 1, and a single value has 0, not NaN.
    The two operations are vectorised; torch's own `std` is not, and takes sixteen times as long on a CPU.
    """
    wide_BX = (x_BDT.float() if x_BDT.dtype.itemsize < 4 else x_BDT).flatten(1)
    return torch.linalg.vector_norm(wide_BX - wide_BX.mean(1, keepdim=True), dim=1) / wide_BX.shape[1] ** 0.5


def offset_noise(noise_BDT: Tensor, lasting_BDX: Tensor, share: float) -> Tensor:
    """sqrt(1 - share^2) noise + share lasting: noise of variance 1 with a part that is constant over the clip (X = 1)
    or varies slowly (X = T, see `slow_noise`).

    White noise averages out over frames, so it barely hides properties of the whole clip, such as its timbre. They
    would be determined in the first sampling step, and alike for all clips (offset noise: Guttenberg 2023,
    "Diffusion with Offset Noise"). share: [0, 1); 0 gives the white noise itself.
    """
    return noise_BDT if share == 0 else (1 - share * share) ** 0.5 * noise_BDT + share * lasting_BDX


def slow_noise(white_BDT: Tensor, frames: float) -> Tensor:
    """Slowly varying noise from white noise: mean 0, variance 1, correlation exp(-t / frames) of frames t apart.

    x_t = r x_(t-1) + sqrt(1 - r^2) white_t, r = exp(-1 / frames), x_0 = white_0: a sampled Ornstein-Uhlenbeck
    process (Uhlenbeck & Ornstein 1930). Computed by doubling (Kogge & Stone 1973): log2 T sums instead of T.
    """
    r = exp(-1 / frames)
    x_BDT = torch.cat([white_BDT[..., :1], (1 - r * r) ** 0.5 * white_BDT[..., 1:]], dim=-1)
    reach = 1
    while reach < x_BDT.shape[-1]:
        x_BDT = torch.cat([x_BDT[..., :reach], x_BDT[..., reach:] + r**reach * x_BDT[..., :-reach]], dim=-1)
        reach *= 2
    return x_BDT


def mix_noise(x_BDT: Tensor, alpha: float | Tensor, noise_BDT: Tensor) -> Tensor:
    """(1 - alpha) x + alpha std(x) noise, with std per sample and noise ~ N(0, I).

    alpha: one number, or one for each sample [B]. Samples with alpha = 0 come back bit for bit (a number 0: x itself).
    The mix reduces the standard deviation to sqrt((1 - alpha)^2 + alpha^2), 0.71 at alpha = 0.5.
    """
    assert x_BDT.shape == noise_BDT.shape, f"noise {tuple(noise_BDT.shape)} for {tuple(x_BDT.shape)}"
    if isinstance(alpha, Tensor):
        alpha_B11 = per_sample(alpha.to(x_BDT), x_BDT)
        return torch.where(alpha_B11 == 0, x_BDT, _mix(x_BDT, alpha_B11, noise_BDT))
    return x_BDT if alpha == 0 else _mix(x_BDT, alpha, noise_BDT)


def _mix(x_BDT: Tensor, alpha: float | Tensor, noise_BDT: Tensor) -> Tensor:
    std_B11 = per_sample(sample_std(x_BDT).to(x_BDT.dtype), x_BDT)
    return (1 - alpha) * x_BDT + alpha * std_B11 * noise_BDT


def per_sample(value_B: Tensor, like: Tensor) -> Tensor:
    """[B] -> [B, 1, 1], with one 1 for each further dimension of `like`."""
    return value_B.view(-1, *[1] * (like.ndim - 1))


def remix_noise(x_BDT: Tensor, made_BDT: Tensor, alpha: float | Tensor, lower: float | Tensor) -> Tensor:
    """The generator's output for x, with the noise of x at a lower level: alpha -> `lower` < alpha, in (0, 1]; both are
    numbers, or one for each sample [B].

    x is interpreted as (1 - alpha) made + alpha std noise, as in `mix_noise`; the result is
    (1 - lower) made + lower std noise. This is the deterministic step of DDIM (Song et al. 2021, eq. 12) for this mix.
    """
    if isinstance(alpha, Tensor):
        alpha, lower = per_sample(alpha.to(x_BDT), x_BDT), per_sample(lower.to(x_BDT), x_BDT)
    else:
        assert 0 <= lower < alpha, f"noise is taken away, so {lower} must lie in [0, {alpha})"
    return (1 - lower) * made_BDT + (lower / alpha) * (x_BDT - (1 - alpha) * made_BDT)


def mean_alpha(alpha: float, lower: float) -> float:
    """The mean alpha of a step from alpha to `lower`, 0 < lower < alpha <= 1, weighted as in `remix_noise`.

    As alpha decreases, x / alpha changes by made d((1 - alpha) / alpha); so this is the mean of alpha over
    (1 - alpha) / alpha. If the output is linear in alpha, its value at this alpha makes the step exact. For both
    levels c times as high it is c times as high.
    """
    assert 0 < lower < alpha <= 1, f"no way from {alpha} to {lower}"
    ratio, area = lambda share: (1 - share) / share, lambda share: -log(share)
    return (area(lower) - area(alpha)) / (ratio(lower) - ratio(alpha))
