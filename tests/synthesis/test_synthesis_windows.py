"""Windows cover every frame; joined, they show neither where they meet nor how far they are from the start."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthesis.draws import plain
from synthesis.generation import generate
from synthesis.windows import cross_fade, join_windows, window_starts


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(2, 200), st.data())
def test_windows_cover_all_with_the_overlap(frames, window, data):
    overlap = data.draw(st.integers(1, window - 1))
    step = data.draw(st.integers(1, min(4, window - overlap)))
    starts = window_starts(frames, window, overlap, step)
    assert starts[0] == 0 and all(start % step == 0 for start in starts)
    stops = [start + window for start in starts[:-1]] + [frames]
    assert frames <= window or all(window <= b - a < window + step for a, b in zip(starts, stops, strict=True))
    overlaps = [stop - start for start, stop in zip(starts[1:], stops, strict=False)]
    assert all(overlap - 2 * step < shared < window for shared in overlaps)


@settings(deadline=None)
@given(st.integers(1, 500), st.sampled_from([(20, 5, 5, 1), (20, 8, 2, 1), (21, 6, 6, 2)]), st.sampled_from([1, 3]))
def test_windows_of_one_signal_give_it_back(frames, sizes, rate):
    window, overlap, fade, step = sizes
    signal = torch.randn(2, 3, frames * rate, generator=torch.Generator().manual_seed(frames), dtype=torch.float64)
    joined = join_windows(
        lambda a, b: signal[..., a * rate : b * rate], frames, window, overlap, fade, step=step, rate=rate
    )
    torch.testing.assert_close(joined, signal)


@pytest.mark.parametrize("shared", [0.0, 0.3, 1.0])
def test_fade_keeps_the_variance_whatever_the_agreement(shared):
    generator = torch.Generator().manual_seed(0)
    common, a, b = (torch.randn(1, 4000, 64, generator=generator, dtype=torch.float64) for _ in range(3))
    old, new = (shared**0.5 * common + (1 - shared) ** 0.5 * own for own in (a, b))
    mean = torch.full((1, 4000, 1), 5.0, dtype=torch.float64)
    faded = cross_fade(old + mean, new + mean, mean)
    assert (faded.std(dim=1) - 1).abs().max() < 0.06  # a linear fade falls to 0.71 (shared 0) in the middle
    assert abs(faded.mean() - 5) < 0.01


def stationary(loaded, minutes_of_windows=40, clips=6):
    """Latents of clips of training length, and of long clips of the same statistics, normalised."""
    space, sources = loaded.space, loaded.sources
    D, L = space.shape
    T = minutes_of_windows * L
    long_BDT = generate(loaded, *sources.from_noise(space, plain(0, clips), (D, T), "cpu"))
    draws = plain(1, clips * minutes_of_windows // 2)
    short_BDT = generate(loaded, *sources.from_noise(space, draws, (D, L), "cpu"))
    return space.normalise(long_BDT), space.normalise(short_BDT)


def distances(x_BDT, y_BDT):
    """Differences of means (in standard deviations), log standard deviations, and those of the change by frame."""
    pooled = y_BDT.std()
    mean = (x_BDT.mean((0, 2)) - y_BDT.mean((0, 2))).abs().mean() / pooled
    std = (x_BDT.std((0, 2)) / y_BDT.std((0, 2))).log().mean().abs()
    change = (x_BDT.diff(dim=2).std((0, 2)) / y_BDT.diff(dim=2).std((0, 2))).log().mean().abs()
    return mean, std, change


def modulation(x_BDT, frames=32):
    """Log power of the rates of change of eight groups of channels."""
    groups_BGKT = x_BDT.unflatten(1, (8, -1)).mean(2).unfold(2, frames, frames)
    centred = groups_BGKT - groups_BGKT.mean(-1, keepdim=True)
    return torch.fft.rfft(centred * torch.hann_window(frames)).abs().square().mean((0, 2))[:, 1:].log()


def test_no_drift(loaded):
    """First, last third, and clips of training length: the same statistics and temporal modulation."""
    long_BDT, short_BDT = stationary(loaded)
    third = long_BDT.shape[2] // 3
    first, last = long_BDT[..., :third], long_BDT[..., -third:]
    for a, b in ((first, last), (first, short_BDT), (last, short_BDT)):
        mean, std, change = distances(a, b)
        assert mean < 0.06 and std < 0.04 and change < 0.06, (mean, std, change)
        assert (modulation(a) - modulation(b)).abs().mean() < 0.35


def test_no_seams(loaded):
    """The middle of cross-fades against all other frames; change across it against change elsewhere."""
    long_BDT, short_BDT = stationary(loaded)
    L, T = loaded.space.shape[-1], long_BDT.shape[2]
    step = getattr(loaded.network.generator, "patch_frames", 1)
    starts = window_starts(T, L, L // 4, step)
    centres = torch.tensor([(a + L + b) // 2 for a, b in zip(starts, starts[1:], strict=False)])
    at_seam = torch.zeros(T, dtype=torch.bool)
    at_seam[(centres[:, None] + torch.arange(-2, 3)).flatten()] = True
    seams, others = long_BDT[..., at_seam], long_BDT[..., ~at_seam]
    # Positions leave their mark on what a cascade makes: no more of it at seams than in clips of training length.
    marks = short_BDT.mean(0).std(1).mean() / others.std()
    assert (seams.mean((0, 2)) - others.mean((0, 2))).abs().mean() / others.std() < max(0.08, marks)
    assert abs((seams.std((0, 2)) / others.std((0, 2))).log().mean()) < 0.08
    # Seams fall on odd and even frames of a patch alike, else a patch's own rhythm would be taken for a seam.
    jump = long_BDT.diff(dim=2).square().mean((0, 1)).sqrt()
    parity = torch.arange(T - 1) % step
    for phase in range(step):
        here = parity == phase
        if (at_seam[:-1] & here).any():
            assert abs((jump[at_seam[:-1] & here].mean() / jump[~at_seam[:-1] & here].mean()).log()) < 0.12
