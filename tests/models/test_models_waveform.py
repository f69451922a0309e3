"""Discriminators of waveforms: how they fold and transform, and what their options build.

B batch, H samples of a frame, T frames, N samples."""

import pytest
import torch

from models.options import DISCRIMINATORS, DiscriminatorOptions
from models.waveform_discriminators import (
    COMPRESSION,
    PERIODS,
    MultiPeriodDiscriminator,
    MultiResolutionDiscriminator,
    by_period,
    compressed_spectrum,
)

RATE = 24_000


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def noise(batch: int, frames: int) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 320, frames, generator=torch.Generator().manual_seed(frames))


def test_a_period_is_folded_into_its_phases():
    wav_BN = torch.stack([torch.arange(10.0), 100 + torch.arange(10.0)])
    folded = by_period(wav_BN, 3)
    assert folded.shape == (6, 1, 4)
    assert folded[:3, 0].tolist() == [[0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 0]]  # zeros are appended
    assert folded[3:, 0].tolist() == [[100, 103, 106, 109], [101, 104, 107, 0], [102, 105, 108, 0]]


@pytest.mark.parametrize("period", PERIODS)
def test_a_wave_of_that_period_is_constant_in_each_phase(period):
    wave_N = torch.rand(period).repeat(20)
    folded = by_period(wave_N[None], period)
    assert torch.equal(folded, wave_N[:period, None, None].expand(period, 1, 20))


def test_periods_see_samples_in_their_order():
    """A sample's frame and its place in the frame make its place in the waveform."""
    network = MultiPeriodDiscriminator(width=4).eval()
    x_BHT = noise(2, 6)
    wav_BN = x_BHT.transpose(1, 2).flatten(1)
    assert wav_BN[1, 320 + 7] == x_BHT[1, 7, 1]
    torch.testing.assert_close(network(wav_BN[:, None]), _logits_of_plain(network, wav_BN))
    torch.testing.assert_close(network(x_BHT), _logits_of_plain(network, wav_BN))


def _logits_of_plain(network, wav_BN):
    """Logits with every convolution along the last axis of [B, P, L], written out for each phase."""
    logits = []
    for period, stack, final in zip(PERIODS, network.stacks, network.finals, strict=True):
        rows = [by_period(wav_BN, period)[p::period] for p in range(period)]
        logits.append(torch.stack([final(stack(row)[0]).mean((1, 2)) for row in rows]).mean(0))
    return torch.stack(logits).mean(0)


def test_a_spectrum_has_compressed_magnitudes_and_its_phases():
    t_N = torch.arange(4096, dtype=torch.float64) / RATE
    k = 40
    wav_BN = (0.5 * torch.cos(2 * torch.pi * k * RATE / 1024 * t_N))[None]
    parts_B2KS = compressed_spectrum(wav_BN, 1024)
    assert parts_B2KS.shape == (1, 2, 513, 17)
    window = torch.hann_window(1024, dtype=torch.float64)
    peak = 0.5 * window.sum() / 2 / window.square().sum().sqrt()  # half of the energy is at negative frequencies
    torch.testing.assert_close(torch.hypot(*parts_B2KS[0, :, k, 8]), peak**COMPRESSION, rtol=1e-3, atol=0)
    louder_B2KS = compressed_spectrum(8 * wav_BN, 1024)
    torch.testing.assert_close(louder_B2KS[0, :, k, 8], 8**COMPRESSION * parts_B2KS[0, :, k, 8], rtol=1e-3, atol=1e-9)
    assert compressed_spectrum(0 * wav_BN, 1024).abs().max() == 0


def test_silence_has_finite_gradients():
    for network in (MultiPeriodDiscriminator(width=4), MultiResolutionDiscriminator(width=4)):
        x_BHT = torch.zeros(1, 320, 8, requires_grad=True)
        network(x_BHT).sum().backward()
        assert x_BHT.grad.isfinite().all()


@pytest.mark.parametrize(("name", "own_width"), [("multi_period", 16), ("multi_resolution", 8)])
def test_the_options_build_what_they_say(name, own_width):
    build = DISCRIMINATORS[name].load()
    assert build(DiscriminatorOptions(), 320).stacks[0].layers[0].out_channels == own_width
    built = build(DiscriminatorOptions(disc_width=4, disc_dropout=0.1, disc_spectral_norm=True), 320, False)
    assert {stack.dropout for stack in built.stacks} == {0.1}
    assert all(final.bias is None for final in built.finals)
    plain = build(DiscriminatorOptions(disc_width=4), 320)
    assert count(plain) == count(built) + len(plain.finals)
    assert not any(hasattr(module, "parametrizations") for module in plain.modules())


def test_the_sizes_follow_from_the_width():
    convolution = lambda c_in, c_out, kernel: c_in * c_out * kernel + c_out  # noqa: E731
    sizes = zip((1, 4, 8, 16), (4, 8, 16, 16), strict=True)
    one = sum(convolution(*size, 5) for size in sizes) + convolution(16, 1, 1)
    assert count(MultiPeriodDiscriminator(width=4)) == len(PERIODS) * one
    sizes = zip((2, 4, 8, 16), (4, 8, 16, 16), (25, 9, 9, 9), strict=True)
    assert count(MultiResolutionDiscriminator(width=4)) == 3 * (
        sum(convolution(*size) for size in sizes) + convolution(16, 1, 1)
    )
