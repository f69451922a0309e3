"""Gradient penalties on the discriminator.

Shapes: B batch, D latent channels, T frames, N = 2 B. D (the network) is written `critic` here; its logits must not
depend on other samples (no batch statistics), because gradients of the summed logits serve as per-sample ones.

Length of a sample. A critic that averages over time spreads its gradient over the frames: the squared norm falls as
1 / T. R1 and R2 are therefore multiplied by the sample's length in the unit of its kind (audio: seconds), so that a
weight tuned on 4 s clips is valid on 16 s clips. A published weight w for the plain squared norm is w / length here.
"""

from collections.abc import Callable

import torch
from torch import Tensor

SIGMA = 0.05  # step of the finite differences, in standard deviations
_TINY = 1e-12  # under the root: the norm's derivative is infinite at a gradient of zero


def _squared_gradient_norm(logits_B: Tensor, x_BDT: Tensor) -> Tensor:
    """||d logit_b / d x_b||^2, [B], differentiable once more."""
    (gradient_BDT,) = torch.autograd.grad(logits_B.sum(), x_BDT, create_graph=True)
    wide_BDT = gradient_BDT.float() if gradient_BDT.dtype.itemsize < 4 else gradient_BDT
    return wide_BDT.square().sum(dim=tuple(range(1, wide_BDT.ndim)))


def exact_penalty(logits_B: Tensor, x_BDT: Tensor, length: float) -> Tensor:
    """R1 where x is real, R2 where x is fake (Mescheder et al. 2018, eq. 9; Roth et al. 2017), by double backward.

    x_BDT must require a gradient and logits_B must depend on it: `x = x.detach().requires_grad_()`, then `critic(x)`.
    Reals and fakes may be joined in one batch. Returns length * ||grad||^2, [B].
    Neither fused attention nor torch.compile can be differentiated twice: use `finite_difference_penalty` there.
    """
    return _squared_gradient_norm(logits_B, x_BDT) * length


def finite_difference_penalty(
    logits_B: Tensor, perturbed_logits_B: Tensor, length: float, sigma: float = SIGMA
) -> Tensor:
    """R1 or R2 without double backward: length * ((D(x + sigma e) - D(x)) / sigma)^2, e ~ N(0, I), [B].

    Its expectation over e is `exact_penalty` up to O(sigma^2). Both logits must be float32 (a difference of bfloat16
    values is mostly rounding error) and share D's dropout masks.
    """
    assert logits_B.dtype.itemsize >= 4, f"a finite difference of {logits_B.dtype} logits is rounding: run D in float32"
    assert logits_B.shape == perturbed_logits_B.shape, f"{logits_B.shape} against {perturbed_logits_B.shape}"
    slope_B = (perturbed_logits_B - logits_B) / sigma
    return slope_B.square() * length


def join_perturbed(real_BDT: Tensor, fake_BDT: Tensor, noise_NDT: Tensor, sigma: float = SIGMA) -> Tensor:
    """[real, fake, real + sigma e, fake + sigma e], [4 B, D, T], for one forward of the critic with `copies=2`."""
    clean_NDT = torch.cat([real_BDT, fake_BDT])
    assert clean_NDT.shape == noise_NDT.shape, f"noise {noise_NDT.shape} for {clean_NDT.shape}"
    return torch.cat([clean_NDT, clean_NDT + sigma * noise_NDT])


def split_penalties(
    joined_logits: Tensor, length: float, sigma: float = SIGMA
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Splits the logits of `join_perturbed`, [4 B] -> real_logits_B, fake_logits_B, r1_B, r2_B."""
    clean_N, perturbed_N = joined_logits.chunk(2)
    penalty_N = finite_difference_penalty(clean_N, perturbed_N, length, sigma)
    return *clean_N.chunk(2), *penalty_N.chunk(2)


def interpolate_penalty(
    critic: Callable[[Tensor], Tensor],
    real_BDT: Tensor,
    fake_BDT: Tensor,
    uniform_B: Tensor,
    per_element: bool = False,
) -> Tensor:
    """WGAN-GP: (||grad D(x_hat)|| - 1)^2, [B], x_hat = u x + (1 - u) y, by double backward (Gulrajani et al. 2017,
    eq. 3): a critic of slope 1 against the Euclidean distance has no penalty.

    That distance grows as sqrt(D T) with a clip of D channels and T frames, and with it the gap between real and fake:
    it is of order 100 for latents, and the optimal slope is 1 + gap / (2 lambda). `per_element` multiplies the norm by
    sqrt(D T), which makes the distance the root mean square error of the samples. The gap is then a transport distance
    in the unit of the RMSE loss, of order 1 whatever the clip's length, and lambda = 10 keeps the slope at 1 to within
    a few percent. (An untrained convolutional critic has a slope of 0.2 to 0.5 by that distance.)

    uniform_B: u in [0, 1], one for each sample. real_BDT and fake_BDT are D's inputs, instance noise included.
    """
    u_B11 = uniform_B.to(real_BDT.dtype).view(-1, *[1] * (real_BDT.ndim - 1))
    between_BDT = (u_B11 * real_BDT + (1.0 - u_B11) * fake_BDT).detach().requires_grad_(True)
    with torch.enable_grad():
        squared_B = _squared_gradient_norm(critic(between_BDT), between_BDT)
    if per_element:
        squared_B = squared_B * between_BDT[0].numel()
    return ((squared_B + _TINY).sqrt() - 1.0).square()
