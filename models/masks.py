"""Fixed masks: which parts of a clip come from the input and which from the target.

Pure functions. Chance enters as uniform numbers in [0, 1) that the caller draws, K of them per sample
(`uniforms_needed`), so that a mask can be a function of (seed, sample index) and not of the rank or of a hidden
generator. The two masks add up to one everywhere, by construction.

Legend: B batch, D latent channels, T frames, K uniform numbers per sample.
"""

from typing import NamedTuple

import torch
from torch import Tensor

FADE_FRAMES = 8  # about 0.1 s, so that segments do not click into one another


class Masking(NamedTuple):
    """Masked sources and their masks in [0, 1], all [B, D, T]."""

    masked_input: Tensor
    masked_target: Tensor
    mask_input: Tensor
    mask_target: Tensor


def uniforms_needed(kind: str, channels: int) -> int:
    """K, how many uniform numbers per sample a kind of mask uses. ValueError: unknown kind."""
    needed = {"temporal": 1, "frequency": 0, "spectral": channels, "energy": 0, "hybrid": 1}
    if kind not in needed:
        raise ValueError(f"no mask is called '{kind}': choose from {', '.join(needed)}")
    return needed[kind]


def fixed_masks(
    kind: str,
    input_BDT: Tensor,
    target_BDT: Tensor,
    *,
    uniform_BK: Tensor,
    temporal_segment: int = 150,
    freq_split: float = 0.3,
    channel_keep: float = 0.5,
    energy_threshold: float = 0.7,
) -> Masking:
    """Both sources, masked so that what one shows the other hides; the masks' sum is one.

    temporal   segments of `temporal_segment` frames, input and target in turns, short linear fades, random start.
    frequency  the lowest `freq_split` of the channels from the input, the others from the target.
    spectral   a random `channel_keep` of the channels from the input.
    energy     from the input the frames whose energy reaches its own `energy_threshold` quantile.
    hybrid     temporal x frequency: with each segment the two sides of the channel split change places.
    uniform_BK  at least `uniforms_needed(kind, D)` columns in [0, 1); further columns are not looked at.
    What is shown keeps its level: together the masked sources are a cross-fade between input and target.
    Raises ValueError for an unknown kind or too few uniform numbers.
    """
    B, D, T = input_BDT.shape
    needed = uniforms_needed(kind, D)
    if uniform_BK.shape[0] != B or uniform_BK.shape[1] < needed:
        raise ValueError(f"mask '{kind}' needs uniform numbers [{B}, {needed}], not {list(uniform_BK.shape)}")
    uniform_BK = uniform_BK.to(input_BDT.device)
    if kind == "temporal":
        mask = _segments(uniform_BK[:, 0], T, temporal_segment)
    elif kind == "frequency":
        mask = _low_channels(D, freq_split, input_BDT.device)
    elif kind == "spectral":
        ranks_BD = uniform_BK[:, :D].argsort(dim=1).argsort(dim=1)
        mask = (ranks_BD < round(channel_keep * D)).unsqueeze(2)
    elif kind == "energy":
        energy_B1T = input_BDT.float().square().mean(dim=1, keepdim=True)
        mask = energy_B1T >= energy_B1T.quantile(energy_threshold, dim=2, keepdim=True)
    else:
        turn_B1T, low_1D1 = (
            _segments(uniform_BK[:, 0], T, temporal_segment),
            _low_channels(D, freq_split, input_BDT.device),
        )
        mask = turn_B1T * low_1D1 + (1 - turn_B1T) * (1 - low_1D1)
    mask_BDT = mask.to(input_BDT.dtype).expand(B, D, T)
    return Masking(input_BDT * mask_BDT, target_BDT * (1 - mask_BDT), mask_BDT, 1 - mask_BDT)


def _segments(uniform_B: Tensor, frames: int, segment: int) -> Tensor:
    """[B, 1, T]: one and zero in turns of `segment` frames, from a random point of the period, with linear fades."""
    offset_B1 = uniform_B[:, None] * 2 * segment
    place_BT = (torch.arange(frames, device=uniform_B.device) + offset_B1) % (2 * segment)
    within_BT = place_BT % segment
    to_border_BT = torch.minimum(within_BT, segment - within_BT)
    signed_BT = torch.where(place_BT < segment, to_border_BT, -to_border_BT)
    return (0.5 + signed_BT / min(FADE_FRAMES, segment)).clamp(0, 1).unsqueeze(1)


def _low_channels(channels: int, share: float, device: torch.device) -> Tensor:
    """[1, D, 1]: one for the lowest `share` of the channels."""
    return (torch.arange(channels, device=device) < round(share * channels)).float()[None, :, None]
