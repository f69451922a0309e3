"""Comparison of pictures: spectral angle, PSNR, SSIM.

Shapes: B batch, C channels, H rows, W columns. Pictures are [B, C, H, W] in [0, 1]; every function returns one value
per sample and is differentiable.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5  # of SSIM
K1, K2 = 0.01, 0.03
_TINY_SQUARE = 1e-8  # under roots: their slope is not infinite at zero
_TINY_ERROR = 1e-10  # 100 dB: equal pictures have a finite PSNR


def spectral_angle(output_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    """Mean angle in radians, [0, pi / 2], between the colours of corresponding pixels as vectors (Kruse et al. 1993):
    an error of hue, whatever the brightness. [B]. With one channel it is always 0.

    Computed as 2 atan2(|u - v|, |u + v|) of unit vectors (Kahan 2006), which is exact for small angles, where the
    slope of arccos is infinite. Black pixels have no colour and count as equal to any.
    """
    u, v = (x / (x.square().sum(1, keepdim=True) + _TINY_SQUARE).sqrt() for x in (output_BCHW, target_BCHW))
    apart, along = ((w.square().sum(1) + _TINY_SQUARE).sqrt() for w in (u - v, u + v))
    # Without the roots' offset at equal colours, and 0 where a colour is black
    seen = (output_BCHW.square().sum(1) > _TINY_SQUARE) & (target_BCHW.square().sum(1) > _TINY_SQUARE)
    angle_BHW = 2 * torch.atan2(apart - _TINY_SQUARE**0.5, along) * seen
    return angle_BHW.mean((1, 2))


def psnr(output_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, -10 log10(mean squared error), [B]; at most 100."""
    error_B = (output_BCHW - target_BCHW).square().flatten(1).mean(1)
    return -10 * torch.log10(error_B.clamp(min=_TINY_ERROR))


def ssim(output_BCHW: Tensor, target_BCHW: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, eq. 13), [B], at most 1: mean over all positions of an 11 x 11 Gaussian
    window (smaller in pictures that are smaller) within the picture, and over channels."""
    size = min(WINDOW, *(side - 1 + side % 2 for side in output_BCHW.shape[2:]))
    window = _gaussian(size, output_BCHW)

    def smooth(x_BCHW: Tensor) -> Tensor:
        x_N1HW = x_BCHW.flatten(0, 1).unsqueeze(1)
        return F.conv2d(F.conv2d(x_N1HW, window[None, None, :, None]), window[None, None, None])

    mean_x, mean_y = smooth(output_BCHW), smooth(target_BCHW)
    var_x = smooth(output_BCHW.square()) - mean_x.square()
    var_y = smooth(target_BCHW.square()) - mean_y.square()
    covariance = smooth(output_BCHW * target_BCHW) - mean_x * mean_y
    c1, c2 = K1**2, K2**2
    likeness = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    likeness = likeness / ((mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2))
    return likeness.flatten(1).mean(1).view(output_BCHW.shape[:2]).mean(1)


def _gaussian(size: int, like: Tensor) -> Tensor:
    """Weights [size] of sum 1."""
    place = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = (-place.square() / (2 * SIGMA**2)).exp()
    return weights / weights.sum()
