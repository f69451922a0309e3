"""Fixed masks: which parts of a clip come from the input and which from the target.

Pure functions. The caller draws K uniform numbers in [0, 1) per sample (see `models.options.MASKS`), so that a mask is
a function of (seed, sample index) and not of the rank or of a hidden generator. The two masks add up to one everywhere,
by construction.

Legend: B batch, D latent channels, T frames, K uniform numbers per sample.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.options import EnergyOptions, HybridOptions, KeepOptions, SplitOptions, TemporalOptions
from registry import Options

FADE_FRAMES = 8  # about 0.1 s, so that there is no click between segments


class Masking(NamedTuple):
    """Masked sources and their masks in [0, 1], all [B, D, T]."""

    masked_input: Tensor
    masked_target: Tensor
    mask_input: Tensor
    mask_target: Tensor


def unmasked(options: Options, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> Masking | None:
    """No masks."""
    return None


def temporal(options: TemporalOptions, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> Masking:
    """Segments of `mask_temporal_segment` frames, alternating input and target, short linear fades, random start."""
    segments_B1T = _segments(uniform_BK[:, 0], input_BDT.shape[2], options.mask_temporal_segment)
    return _complementary(segments_B1T, input_BDT, target_BDT)


def frequency(options: SplitOptions, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> Masking:
    """The lowest `mask_freq_split` of the channels from the input, the others from the target."""
    low_1D1 = _low_channels(input_BDT, options.mask_freq_split)
    return _complementary(low_1D1, input_BDT, target_BDT)


def spectral(options: KeepOptions, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> Masking:
    """A random `mask_channel_keep` of the channels from the input."""
    D = int(input_BDT.shape[1])  # a constant where the mask is traced for an export
    assert uniform_BK.shape[1] >= D, f"{uniform_BK.shape[1]} uniform numbers for {D} channels"
    ranks_BD = uniform_BK[:, :D].argsort(dim=1).argsort(dim=1)
    return _complementary((ranks_BD < round(options.mask_channel_keep * D)).unsqueeze(2), input_BDT, target_BDT)


def energy(options: EnergyOptions, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> Masking:
    """From the input the frames whose energy reaches its own `mask_energy_threshold` quantile."""
    energy_B1T = input_BDT.float().square().mean(dim=1, keepdim=True)
    loud_B1T = energy_B1T >= energy_B1T.quantile(options.mask_energy_threshold, dim=2, keepdim=True)
    return _complementary(loud_B1T, input_BDT, target_BDT)


def hybrid(options: HybridOptions, input_BDT: Tensor, target_BDT: Tensor, uniform_BK: Tensor) -> Masking:
    """Temporal x frequency: the two sides of the channel split are swapped in every other segment."""
    T = input_BDT.shape[2]
    segments_B1T = _segments(uniform_BK[:, 0], T, options.mask_temporal_segment)
    low_1D1 = _low_channels(input_BDT, options.mask_freq_split)
    return _complementary(segments_B1T * low_1D1 + (1 - segments_B1T) * (1 - low_1D1), input_BDT, target_BDT)


def _complementary(mask: Tensor, input_BDT: Tensor, target_BDT: Tensor) -> Masking:
    """The input times the mask, the target times its complement, without rescaling: their sum is a cross-fade between
    input and target."""
    mask_BDT = mask.to(input_BDT.dtype).expand(input_BDT.shape)
    return Masking(input_BDT * mask_BDT, target_BDT * (1 - mask_BDT), mask_BDT, 1 - mask_BDT)


def _segments(uniform_B: Tensor, frames: int, segment: int) -> Tensor:
    """[B, 1, T]: alternating segments of one and zero, `segment` frames each, with a random start and linear fades."""
    offset_B1 = uniform_B[:, None] * 2 * segment
    place_BT = (torch.arange(frames, device=uniform_B.device) + offset_B1) % (2 * segment)
    within_BT = place_BT % segment
    to_border_BT = torch.minimum(within_BT, segment - within_BT)
    signed_BT = torch.where(place_BT < segment, to_border_BT, -to_border_BT)
    return (0.5 + signed_BT / min(FADE_FRAMES, segment)).clamp(0, 1).unsqueeze(1)


def _low_channels(like_BDT: Tensor, share: float) -> Tensor:
    """[1, D, 1]: one for the lowest `share` of the channels."""
    D = int(like_BDT.shape[1])  # a constant where the mask is traced for an export
    return (torch.arange(D, device=like_BDT.device) < round(share * D)).float()[None, :, None]
