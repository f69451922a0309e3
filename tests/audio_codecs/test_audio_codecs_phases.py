"""Phases from magnitudes: closed forms for tones, pieces against the whole."""

import math

import pytest
import torch

from audio_codecs.phases import PhaseTracker, griffin_lim, random_phases, to_audio, tracked_phases
from audio_codecs.stft import HOP, N_FFT, SAMPLE_RATE, Stft

TIME_N = torch.arange(SAMPLE_RATE * 2, dtype=torch.float64) / SAMPLE_RATE
INNER = slice(4000, -4000)


def tone(*frequencies: float) -> torch.Tensor:
    return sum(0.2 * torch.cos(2 * math.pi * f * TIME_N + f) for f in frequencies).float()[None]


def left_over(wav_BN: torch.Tensor, frequency: float) -> float:
    """Share of the energy that no sine of this frequency explains."""
    wav_N, time_N = wav_BN[0, INNER].double(), TIME_N[INNER]
    basis = torch.stack([torch.cos(2 * math.pi * frequency * time_N), torch.sin(2 * math.pi * frequency * time_N)], 1)
    fitted = basis @ torch.linalg.lstsq(basis, wav_N[:, None]).solution
    return float((wav_N - fitted[:, 0]).square().sum() / wav_N.square().sum())


@pytest.mark.parametrize("frequency", [220.0, 441.3, 1000.0, 3456.7])
def test_a_tone_stays_one_tone_without_any_iteration(frequency):
    """Also between bins, where the parabola errs most."""
    stft = Stft()
    again = to_audio(stft, stft.of_audio(tone(frequency)).abs(), rounds=0)
    assert left_over(again, frequency) < 0.01
    assert again[0, INNER].square().mean().sqrt() == pytest.approx(0.2 / math.sqrt(2), rel=0.05)


def test_the_advance_of_a_tone_is_that_of_its_frequency():
    magnitude_BTF = Stft().of_audio(tone(1000.0)).abs()
    angle_BTF = tracked_phases(magnitude_BTF).angle()
    steps = angle_BTF[0, 20:100, round(1000 * N_FFT / SAMPLE_RATE)].diff()
    expected = 2 * math.pi * 1000 * HOP / SAMPLE_RATE
    assert ((steps - expected + math.pi) % (2 * math.pi) - math.pi).abs().max() < 0.02


def test_tracked_phases_are_a_better_start_than_random_ones():
    stft = Stft()
    magnitude_BTF = stft.of_audio(tone(220.0, 331.0, 550.0, 1234.0)).abs()

    def inconsistency(start):
        phase_BTF = griffin_lim(stft, magnitude_BTF, start, 4)
        again = stft.of_audio(stft.to_audio(magnitude_BTF * phase_BTF)).abs()
        return float((again - magnitude_BTF)[:, 10:-10].norm() / magnitude_BTF[:, 10:-10].norm())

    assert inconsistency(tracked_phases(magnitude_BTF)) < 0.5 * inconsistency(random_phases(magnitude_BTF))


def test_pieces_go_on_where_the_one_before_ended():
    magnitude_BTF = Stft().of_audio(torch.randn(2, 320 * 60, generator=torch.Generator().manual_seed(1))).abs()
    whole = tracked_phases(magnitude_BTF)
    tracker = PhaseTracker()
    first = tracker.phases(magnitude_BTF[:, :40], next_piece=25)
    second = tracker.phases(magnitude_BTF[:, 25:])
    torch.testing.assert_close(first, whole[:, :40])
    torch.testing.assert_close(second, whole[:, 25:], atol=1e-4, rtol=0)


def test_silence_and_single_frames():
    silent = to_audio(Stft(), torch.zeros(1, 3, 1025))
    assert silent.shape == (1, 960) and silent.abs().max() == 0
    assert to_audio(Stft(), torch.rand(2, 1, 1025)).isfinite().all()
