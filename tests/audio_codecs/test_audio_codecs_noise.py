"""Noise filling: hiss stays hiss, tones stay tones."""

import math

import pytest
import torch

from audio_codecs import open_codec
from audio_codecs.noise_filling import BLOCK, NoiseSpectra, filled, noise_share, noise_spectrum
from audio_codecs.stft import HOP, SAMPLE_RATE, Stft


def hiss(seconds: float = 3.0) -> torch.Tensor:
    return 0.05 * torch.randn(1, 1, int(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(3))


def persistence(wav_B1N: torch.Tensor) -> float:
    """Correlation over frequency, above 4 kHz, of log magnitudes of frames 0.13 s apart: 0 for noise, 1 for a tone."""
    log_TF = Stft().of_audio(wav_B1N[:, 0]).abs().clamp(min=1e-6).log()[0, 20:-20, 342:]
    log_TF = log_TF - log_TF.mean(1, keepdim=True)
    one, other = log_TF[:-10].flatten(), log_TF[10:].flatten()
    return float((one @ other) / (one.norm() * other.norm()))


def test_hiss_does_not_ring():
    codec, wav = open_codec("mel"), hiss()
    again = codec.decode(codec.encode(wav))
    assert abs(persistence(wav)) < 0.05
    assert abs(persistence(again)) < 0.15
    level = again.square().mean().sqrt() / wav.square().mean().sqrt()
    assert 0.8 < float(level) < 1.25


def test_smooth_spectra_are_noise_and_rough_ones_tones():
    flat_BTF = torch.zeros(1, 2, 1025)
    assert noise_share(flat_BTF).eq(1).all()
    rippled_BTF = torch.sin(torch.arange(1025) * 2 * math.pi / 5).expand(1, 2, -1)
    assert noise_share(rippled_BTF).max() == 0
    between = noise_share(0.28 * rippled_BTF)[..., 50:-50]
    assert 0.3 < between.mean() < 0.7


def test_the_mix_has_the_energy_of_its_parts():
    phase_BTF = torch.polar(torch.ones(1, 40, 1025), torch.rand(1, 40, 1025) * 6.28)
    noise_BTF = noise_spectrum(Stft(), 100, 140)
    for share in (0.0, 0.3, 1.0):
        mixed_BTF = filled(phase_BTF, torch.full((1, 40, 1025), share), noise_BTF)
        assert mixed_BTF.abs().square().mean() == pytest.approx(1.0, abs=0.05)
    torch.testing.assert_close(filled(phase_BTF, torch.zeros(1, 40, 1025), noise_BTF), phase_BTF)


def test_noise_is_a_function_of_the_frames_numbers():
    stft = Stft()
    whole = noise_spectrum(stft, BLOCK - 30, BLOCK + 50)
    part = noise_spectrum(stft, BLOCK - 10, BLOCK + 30)
    torch.testing.assert_close(part[:, 5:-5], whole[:, 25:55], atol=1e-4, rtol=0)
    assert whole.shape == (1, 80, 1025)
    state = torch.get_rng_state()
    noise_spectrum(stft, 0, 3)
    assert torch.equal(torch.get_rng_state(), state) and HOP * 3 == 960


def test_the_kept_noise_is_that_of_the_frames_asked_for_and_can_be_used_with_gradients():
    stft = Stft()
    noise = NoiseSpectra(stft)
    with torch.inference_mode():
        first = noise(0, 40)
    assert noise(0, 40) is first and not first.is_inference()
    for start, stop in ((10, 50), (0, 41), (0, 40)):
        assert torch.equal(noise(start, stop), noise_spectrum(stft, start, stop))
    magnitude_BTF = torch.ones(1, 40, 1025, requires_grad=True)
    (magnitude_BTF * noise(0, 40).abs()).sum().backward()
    assert magnitude_BTF.grad is not None
