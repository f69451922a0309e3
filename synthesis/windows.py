"""Long signals made from windows of the training length, joined without audible seams.

A clip longer than those of training has positions and numbers of tokens that a generator has not been trained on: its
output loses a third of its spread and drifts. So it only processes windows of its training length, cut from one long
noise signal. Neighbouring windows see the same noise where they overlap, but in another context, so their outputs agree
only in part. The cross-fade therefore measures their correlation and keeps the variance; a linear cross-fade would
blur, and one of equal power would be too loud.

Legend: B clips, C channels, T frames, S samples of a fade; more axes between channels and frames are welcome.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def window_starts(frames: int, window: int, overlap: int, step: int = 1) -> list[int]:
    """First frames of windows that cover `frames`, evenly spread, overlapping by about `overlap` or more.

    Starts are multiples of `step` (a patch of the generator must hold the same frames in every window), so the
    last window may be up to step - 1 frames longer, to end where the signal does.
    """
    assert 0 < overlap < window, f"windows of {window} frames cannot overlap by {overlap}"
    if frames <= window:
        return [0]
    count = math.ceil((frames - overlap) / max(step, window - overlap))
    last = (frames - window) // step
    return sorted({round(last * k / max(1, count - 1)) * step for k in range(count)})


def join_windows(
    make: Callable[[int, int], Tensor],
    frames: int,
    window: int,
    overlap: int,
    fade: int,
    step: int = 1,
    rate: int = 1,
) -> Tensor:
    """[B, C, frames * rate] from `make(start, stop) -> [B, C, (stop - start) * rate]`, one window at a time.

    fade: frames of each cross-fade, in the middle of an overlap, from 1 to `overlap`; the rest of the
    overlap is only context. step: see `window_starts`. A signal no longer than `window` is made at once.
    """
    starts = window_starts(frames, window, overlap, step)
    stops = [start + window for start in starts[:-1]] + [frames]
    piece = make(0, stops[0])
    if len(starts) == 1:
        return piece
    whole = piece.new_empty(*piece.shape[:-1], frames * rate)
    whole[..., : stops[0] * rate] = piece
    for start, stop, ended in zip(starts[1:], stops[1:], stops, strict=False):
        before, piece = piece, make(start, stop)
        length = min(fade, ended - start)
        first = (start + ended - length) // 2  # centred in the overlap
        left, right = first * rate, (first + length) * rate
        fresh = piece[..., left - start * rate :]
        mean_BC1 = torch.cat([before, piece], dim=-1).mean(-1, keepdim=True)
        whole[..., left:right] = cross_fade(whole[..., left:right], fresh[..., : right - left], mean_BC1)
        whole[..., right : stop * rate] = fresh[..., right - left :]
    return whole


def cross_fade(old_BCS: Tensor, new_BCS: Tensor, mean_BC1: Tensor) -> Tensor:
    """Cross-fade between two signals of the same level that keeps the level throughout.

    The deviations from the mean get weights cos, sin over a quarter turn, divided by sqrt(1 + 2 cos sin r), where r is
    their correlation within the fade, per clip: if they are equal (r = 1) the result equals both; if they are
    uncorrelated (r = 0) it is a cross-fade of equal power.
    """
    S = old_BCS.shape[-1]
    angle_S = (torch.arange(S, device=old_BCS.device, dtype=old_BCS.dtype) + 0.5) * (math.pi / 2 / S)
    old_BCS, new_BCS = old_BCS - mean_BC1, new_BCS - mean_BC1
    axes = tuple(range(1, old_BCS.ndim))
    power_B11 = old_BCS.square().sum(axes, keepdim=True) * new_BCS.square().sum(axes, keepdim=True)
    r_B11 = (old_BCS * new_BCS).sum(axes, keepdim=True) / power_B11.sqrt().clamp(min=1e-12)
    gain_B1S = (1 + 2 * angle_S.cos() * angle_S.sin() * r_B11.clamp(0, 1)).rsqrt()
    return mean_BC1 + gain_B1S * (angle_S.cos() * old_BCS + angle_S.sin() * new_BCS)
