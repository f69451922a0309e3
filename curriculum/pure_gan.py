"""The pure-GAN curriculum: how much of the generator's input is noise, epoch by epoch.

Shapes: B batch, D latent channels, T frames. Epochs are counted from 1, as users say them. `alpha` is the share of
noise, 0 (music) to 1 (noise).
"""

from dataclasses import dataclass
from math import acosh, exp, log

import torch
from torch import Tensor


def alpha_at(epoch: int, rate: float, start_epoch: int, ceiling: float) -> float:
    """min(ceiling, rate * max(0, epoch - max(start_epoch, 1) + 1)): the first noisy epoch is `start_epoch` itself.

    A start of 0 means 1; a rate of 0 keeps the music for ever.
    """
    assert epoch >= 1, f"epochs count from 1, not {epoch}"
    return min(ceiling, rate * max(0, epoch - max(start_epoch, 1) + 1))


def phase_at(alpha: float, ceiling: float, rate: float) -> str:
    """ "music" before the curriculum begins (or where its rate is 0), "noise" at its ceiling, "transition" between."""
    if rate <= 0 or alpha <= 0:
        return "music"
    rounding = 1e-9  # rate * epochs may stop short of the ceiling by a last bit
    return "noise" if alpha >= ceiling - rounding else "transition"


def sample_std(x_BDT: Tensor) -> Tensor:
    """Standard deviation of each sample over (D, T), [B], float32 at least.

    The population's (divided by D T, not D T - 1): a mean of squares stays one, and a single value has 0, not NaN.
    In two passes, which are vectorised; torch's own `std` is not, and takes sixteen times as long on a CPU.
    """
    wide_BX = (x_BDT.float() if x_BDT.dtype.itemsize < 4 else x_BDT).flatten(1)
    return torch.linalg.vector_norm(wide_BX - wide_BX.mean(1, keepdim=True), dim=1) / wide_BX.shape[1] ** 0.5


def offset_noise(noise_BDT: Tensor, lasting_BDX: Tensor, share: float) -> Tensor:
    """sqrt(1 - share^2) noise + share lasting: noise of variance 1 of which a part lasts, X = 1: over the whole clip,
    X = T: as long as `slow_noise` says.

    White noise hides what lasts, such as a clip's timbre, worst of all: it averages out over the frames. So what lasts
    would be settled in the very first step from noise, alike for all clips (offset noise: Guttenberg 2023,
    "Diffusion with Offset Noise"). share: [0, 1); 0 gives the white noise itself.
    """
    return noise_BDT if share == 0 else (1 - share * share) ** 0.5 * noise_BDT + share * lasting_BDX


def slow_noise(white_BDT: Tensor, frames: float) -> Tensor:
    """Noise that wanders: mean 0, variance 1, the correlation of two frames t apart is exp(-t / frames); from white.

    x_t = r x_(t-1) + sqrt(1 - r^2) white_t, r = exp(-1 / frames), x_0 = white_0: an Ornstein-Uhlenbeck process, sampled
    (Uhlenbeck & Ornstein 1930). Summed up by doubling (Kogge & Stone 1973): log2 T sums, not T in a row.
    """
    r = exp(-1 / frames)
    x_BDT = torch.cat([white_BDT[:, :, :1], (1 - r * r) ** 0.5 * white_BDT[:, :, 1:]], dim=2)
    reach = 1
    while reach < x_BDT.shape[2]:
        x_BDT = torch.cat([x_BDT[:, :, :reach], x_BDT[:, :, reach:] + r**reach * x_BDT[:, :, :-reach]], dim=2)
        reach *= 2
    return x_BDT


def mix_noise(x_BDT: Tensor, alpha: float | Tensor, noise_BDT: Tensor, variance_preserving: bool = False) -> Tensor:
    """(1 - alpha) x + alpha std(x) noise, with std per sample and noise ~ N(0, I).

    alpha: one number, or one for each sample [B]. Samples with alpha = 0 come back bit for bit (a number 0: x itself).
    The linear mix shrinks the standard deviation to sqrt((1 - alpha)^2 + alpha^2), 0.71 at a half;
    `variance_preserving` takes sqrt(1 - alpha^2) for the music and keeps it.
    """
    assert x_BDT.shape == noise_BDT.shape, f"noise {tuple(noise_BDT.shape)} for {tuple(x_BDT.shape)}"
    if isinstance(alpha, Tensor):
        alpha_B11 = alpha.to(x_BDT).view(-1, 1, 1)
        return torch.where(alpha_B11 == 0, x_BDT, _mix(x_BDT, alpha_B11, noise_BDT, variance_preserving))
    return x_BDT if alpha == 0 else _mix(x_BDT, alpha, noise_BDT, variance_preserving)


def _mix(x_BDT: Tensor, alpha: float | Tensor, noise_BDT: Tensor, variance_preserving: bool) -> Tensor:
    std_B11 = sample_std(x_BDT).to(x_BDT.dtype).view(-1, 1, 1)
    return _keep(alpha, variance_preserving) * x_BDT + alpha * std_B11 * noise_BDT


def _keep(alpha, variance_preserving):
    """The music's factor."""
    return (1 - alpha * alpha) ** 0.5 if variance_preserving else 1 - alpha


def remix_noise(
    x_BDT: Tensor, made_BDT: Tensor, alpha: float, lower: float, variance_preserving: bool = False
) -> Tensor:
    """What the generator made of x, with the same noise as in x, but less of it: alpha -> `lower` < alpha, in (0, 1].

    x is taken for keep(alpha) made + alpha std noise, as `mix_noise` would have mixed it; the answer is
    keep(lower) made + lower std noise. This is the deterministic step of DDIM (Song et al. 2021, eq. 12) for this mix.
    """
    assert 0 <= lower < alpha, f"noise is taken away, so {lower} must lie in [0, {alpha})"
    keep, keep_lower = (_keep(share, variance_preserving) for share in (alpha, lower))
    return keep_lower * made_BDT + (lower / alpha) * (x_BDT - keep * made_BDT)


def mean_alpha(alpha: float, lower: float, variance_preserving: bool = False) -> float:
    """The mean share of noise on the way from alpha to `lower`, 0 < lower < alpha <= 1, as `remix_noise` weighs it.

    With less and less noise, x / alpha moves by made d(keep / alpha); so this is the mean of alpha over keep / alpha.
    Where what is made goes along a line in alpha, its value at this share makes the step exact.
    """
    assert 0 < lower < alpha <= 1, f"no way from {alpha} to {lower}"
    if variance_preserving:
        ratio, area = lambda share: (1 - share * share) ** 0.5 / share, lambda share: acosh(1 / share)
    else:
        ratio, area = lambda share: (1 - share) / share, lambda share: -log(share)
    return (area(lower) - area(alpha)) / (ratio(lower) - ratio(alpha))


def jitter_alpha(alpha: float, uniform_B: Tensor, width: float, ceiling: float) -> Tensor:
    """One alpha for each sample, [B]: uniform within `width` of the schedule's, from uniforms in [0, 1).

    Near 0 and near the ceiling the interval shrinks on both sides, so its mean stays alpha, the music phase stays
    music and the last phase stays at the ceiling.
    """
    reach = max(0.0, min(width, alpha, ceiling - alpha))
    return (alpha + reach * (2 * uniform_B - 1)).clamp(0.0, ceiling)  # no last bit over 1: mix_noise takes a root


def ease_alpha(alpha_B: Tensor, uniform_B2: Tensor, share: float) -> Tensor:
    """With probability `share` a sample's alpha is drawn evenly from 0 to its own instead, from uniforms in [0, 1).

    So the network goes on seeing easy cases when the schedule has reached noise; one trained with share 1 knows every
    mixture, and generation may then walk from noise to music in several passes.
    """
    return torch.where(uniform_B2[:, 0] < share, uniform_B2[:, 1] * alpha_B, alpha_B)


def _linear_fade(alpha):
    return 1 - alpha


def _known_fade(alpha):
    """Share of x's variance that the linear mix (1 - alpha) x + alpha noise explains (its R^2)."""
    return (1 - alpha) ** 2 / ((1 - alpha) ** 2 + alpha**2)


def _between_fade(alpha):
    """1 at alpha = 0.5, 0 at both ends: where some of x is known and some is not."""
    known = _known_fade(alpha)
    return 4 * known * (1 - known)


FADES = {"off": lambda alpha: 0 * alpha + 1.0, "linear": _linear_fade, "known": _known_fade, "between": _between_fade}


def faded(alpha: float | Tensor, fade: str) -> float | Tensor:
    """What is left at alpha (a number or [B]) of a weight of 1.

    "off": 1 always; "linear": 1 - alpha; "known": the share of the target that the input still knows,
    k = (1 - alpha)^2 / ((1 - alpha)^2 + alpha^2); "between": 4 k (1 - k), nothing where all or none of it is known.
    """
    return FADES[fade](alpha)


def recon_weight(alpha: float | Tensor, fade: str = "off", floor: float = 0.0) -> float | Tensor:
    """Factor of the regression losses at alpha (a number or [B]): max(floor, faded(alpha)).

    Without a fade the floor has no effect.
    """
    weight = faded(alpha, fade)
    return weight.clamp(min=floor) if isinstance(weight, Tensor) else max(floor, weight)


@dataclass(frozen=True)
class AdaptiveAlpha:
    """State of the adaptive curriculum; plain numbers, so a checkpoint holds it (`dataclasses.asdict`)."""

    alpha: float = 0.0
    speed: float = 1.0


def adapt_alpha(
    state: AdaptiveAlpha,
    val_loss: float | None,
    *,
    epoch: int,
    rate: float,
    start_epoch: int,
    ceiling: float,
    threshold: float,
    slow: float = 0.9,
    fast: float = 1.1,
    speed_range: tuple[float, float] = (0.1, 10.0),
    floor: float = 0.0,
) -> AdaptiveAlpha:
    """The state for `epoch` (from 1), given the state of the epoch before and its validation loss (None: none yet).

    Once the curriculum has begun, a loss over the threshold (or NaN) multiplies its speed by `slow`, one under it by
    `fast`, within `speed_range`; then alpha moves by rate * speed, up to the ceiling. It never moves backwards (unless
    the run goes on with a lower ceiling), and is never under `floor` from `start_epoch` on.
    At speed 1 this is `alpha_at`.
    """
    if rate <= 0 or epoch < max(start_epoch, 1):
        return state
    speed = state.speed
    if val_loss is not None and state.alpha > 0 and val_loss != threshold:
        speed = speed * fast if val_loss < threshold else speed * slow
        speed = min(max(speed, speed_range[0]), speed_range[1])
    alpha = min(ceiling, max(floor, state.alpha + rate * speed))
    return AdaptiveAlpha(alpha, speed)
