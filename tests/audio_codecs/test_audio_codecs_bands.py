"""The mel codec with finer bands where notes are: its filters, its own identity, and what it keeps apart."""

import math

import pytest
import torch

from audio_codecs import CODECS, codec_identity, codec_options, open_codec
from audio_codecs.filters import fine_filters
from audio_codecs.mel import MelCodec

RATE, FFT = 24_000, 2048


def peaks_hz(filters_MF: torch.Tensor) -> torch.Tensor:
    """Centre of gravity of each filter."""
    hz_F = torch.linspace(0, RATE / 2, FFT // 2 + 1, dtype=torch.float64)
    return (filters_MF * hz_F).sum(1) / filters_MF.sum(1)


def test_bands_are_evenly_spaced_below_and_in_equal_ratios_above():
    filters_MF = fine_filters(RATE, FFT, 128, 12_000.0)
    assert filters_MF.shape == (128, 1025)
    assert (filters_MF.sum(1) > 0).all(), "no band is empty"
    centres = peaks_hz(filters_MF)
    assert (centres.diff() > 0).all()
    assert centres[:70].diff().mean() == pytest.approx(15, abs=0.2)
    ratios = centres[80:120][1:] / centres[80:120][:-1]
    assert ratios.mean() == pytest.approx(1.0437, abs=1e-3)
    assert centres[-1] < 12_000 and centres[-1] * 1.1 > 12_000


def test_every_band_has_the_same_area():
    area_M = MelCodec.filters()[20:].sum(1) * (RATE / FFT)
    torch.testing.assert_close(area_M, torch.ones_like(area_M), atol=0.15, rtol=0)


def test_its_latents_are_a_space_of_their_own():
    assert codec_identity("mel") == MelCodec.identify() != codec_identity("mel_slaney")
    assert {"mel", "mel_slaney"} <= set(CODECS)


def tones(*frequencies: float, seconds: float = 1.0) -> torch.Tensor:
    time_N = torch.arange(int(seconds * RATE)) / RATE
    return sum(0.2 * torch.sin(2 * math.pi * f * time_N) for f in frequencies)[None, None]


def depth_between(name: str, low: float, high: float) -> float:
    """By how much the bands between two tones lie below the weaker of the two, in nepers."""
    codec = open_codec(name)
    latents_M = codec.encode(tones(low, high))[0].mean(1)
    at = [int((peaks_hz(codec.filters()) - f).abs().argmin()) for f in (low, high)]
    between = latents_M[at[0] + 1 : at[1]]
    return float(min(latents_M[at[0]], latents_M[at[1]]) - between.min()) if len(between) else 0.0


def test_two_neighbouring_notes_stay_apart():
    """A4 and B4, 440 and 494 Hz: between them a band falls silent here, and hardly in Slaney's."""
    assert depth_between("mel", 440.0, 493.9) > 2 * max(0.5, depth_between("mel_slaney", 440.0, 493.9))


@pytest.mark.parametrize("decoder", ["learned", "griffin_lim"])
def test_a_round_trip_keeps_pitch_and_level(decoder):
    codec, wav = open_codec("mel", options=codec_options("mel", decoder)), tones(330.0)
    again = codec.decode(codec.encode(wav))
    assert again.shape == wav.shape
    spectrum = torch.fft.rfft(again[0, 0, 4000:-4000]).abs()
    peak_hz = float(spectrum.argmax()) * RATE / (wav.shape[-1] - 8000)
    assert peak_hz == pytest.approx(330.0, abs=4)
    level = again[0, 0, 4000:-4000].square().mean().sqrt() / wav[0, 0, 4000:-4000].square().mean().sqrt()
    assert 0.7 < float(level) < 1.3
