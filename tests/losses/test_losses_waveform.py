"""Shapes: B batch, N audio samples, F frequency bins, S spectral frames, M mel bands."""

import numpy as np
import pytest
import scipy.signal
import torch

from losses.waveform import (
    FFT_SIZES,
    envelope,
    envelope_correlation,
    log_mel_l1,
    magnitudes,
    multi_resolution_stft,
    stft_and_mel,
)

RATE = 24_000


def tones(*frequencies, seconds=0.5, dtype=torch.float64):
    t_N = torch.arange(int(seconds * RATE), dtype=dtype) / RATE
    return torch.stack([0.5 * torch.sin(2 * torch.pi * f * t_N) for f in frequencies])[:, None]


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def scipy_magnitudes(wav_N, n_fft):
    """scipy scales by the window's sum; its frames are centred, with zeros beyond the ends, as ours."""
    window = scipy.signal.get_window("hann", n_fft)
    _, _, spectrum_FS = scipy.signal.stft(
        wav_N, window=window, nperseg=n_fft, noverlap=n_fft * 3 // 4, boundary="zeros", padded=False
    )
    return np.abs(spectrum_FS) * window.sum()


def bands(count, n_fft):
    """A bank of disjoint rectangular bands: each sums its own bins."""
    edges = torch.linspace(0, n_fft // 2 + 1, count + 1).long()
    bin_F = torch.arange(n_fft // 2 + 1)
    return ((bin_F >= edges[:-1, None]) & (bin_F < edges[1:, None])).double()


@pytest.mark.parametrize("n_fft", FFT_SIZES)
def test_magnitudes_equal_scipys(n_fft):
    wav_B1N = noise(2, 1, 6144)
    for got_FS, wav_N in zip(magnitudes(wav_B1N, n_fft), wav_B1N[:, 0], strict=True):
        torch.testing.assert_close(got_FS, torch.from_numpy(scipy_magnitudes(wav_N.numpy(), n_fft)))


def test_multi_resolution_stft_equals_scipys():
    output_B1N, target_B1N = 0.1 * noise(2, 1, 6144), 0.1 * noise(2, 1, 6144, seed=1)
    expected = []
    for output_N, target_N in zip(output_B1N[:, 0].numpy(), target_B1N[:, 0].numpy(), strict=True):
        terms = []
        for n_fft in FFT_SIZES:
            output_FS, target_FS = scipy_magnitudes(output_N, n_fft), scipy_magnitudes(target_N, n_fft)
            convergence = np.linalg.norm(target_FS - output_FS) / np.linalg.norm(target_FS)
            terms.append(convergence + np.abs(np.log(target_FS) - np.log(output_FS)).mean())
        expected.append(np.mean(terms))
    got_B = multi_resolution_stft(output_B1N, target_B1N)
    assert got_B.tolist() == pytest.approx(expected, rel=1e-4)


def test_half_the_loudness_is_a_half_and_log_two():
    wav_B1N = noise(2, 1, 6144)
    expected_B = torch.full((2,), 0.5 + np.log(2), dtype=torch.float64)
    torch.testing.assert_close(multi_resolution_stft(0.5 * wav_B1N, wav_B1N), expected_B, rtol=1e-5, atol=0)


def test_the_stft_loss_hears_a_wrong_note_and_not_a_phase():
    wanted_B1N = tones(440.0)
    late_B1N = wanted_B1N.roll(7, dims=-1)
    wrong_B1N = tones(880.0)
    assert multi_resolution_stft(late_B1N, wanted_B1N) < 0.2 * multi_resolution_stft(wrong_B1N, wanted_B1N)


def test_magnitudes_equal_torchaudios():
    torchaudio = pytest.importorskip("torchaudio")
    wav_B1N = noise(1, 1, 4096).float()
    theirs = torchaudio.transforms.Spectrogram(1024, hop_length=256, power=1.0, pad_mode="constant")(wav_B1N[:, 0])
    torch.testing.assert_close(magnitudes(wav_B1N, 1024), theirs, atol=2e-5, rtol=1e-4)


def test_log_mel_l1_equals_scipys():
    output_B1N, target_B1N, filters_MF = noise(1, 1, 6144), noise(1, 1, 6144, seed=1), bands(80, 1024)
    spectra = [filters_MF.numpy() @ scipy_magnitudes(wav[0, 0].numpy(), 1024) for wav in (output_B1N, target_B1N)]
    expected = np.abs(np.log(spectra[0]) - np.log(spectra[1])).mean()
    assert log_mel_l1(output_B1N, target_B1N, filters_MF).item() == pytest.approx(expected, rel=1e-6)


def test_log_mel_l1_of_a_change_of_loudness():
    wav_B1N = noise(2, 1, 6144)
    got_B = log_mel_l1(0.25 * wav_B1N, wav_B1N, bands(80, 2048))
    torch.testing.assert_close(got_B, torch.full((2,), np.log(4), dtype=torch.float64), rtol=1e-5, atol=0)


def test_log_mel_l1_stays_finite_for_an_empty_filter():
    filters_MF = bands(8, 512)
    filters_MF[3] = 0
    assert torch.isfinite(log_mel_l1(noise(1, 1, 2000), noise(1, 1, 2000, seed=1), filters_MF)).all()


@pytest.mark.parametrize(("samples", "parts"), [(384_000, 250), (80_000, 250), (24_000, 75), (640, 2), (100, 1)])
def test_shorter_clips_use_fewer_parts(samples, parts):
    assert envelope(torch.zeros(2, 1, samples)).shape == (2, parts)


def test_the_envelope_is_the_greatest_of_each_part():
    wav_B1N = noise(2, 1, 250 * 400)
    expected_BP = torch.from_numpy(np.abs(wav_B1N.numpy()).reshape(2, 250, 400).max(-1))
    assert torch.equal(envelope(wav_B1N), expected_BP)


def loud(seed):
    """Noise whose loudness changes from part to part."""
    return (noise(2, 1, 250 * 400, seed=seed).view(2, 250, 400) * noise(2, 250, 1, seed=seed + 50)).view(2, 1, -1)


def test_envelope_correlation_equals_numpys():
    output, source, target = loud(0), 0.5 * loud(0) + loud(1), loud(2)
    got_B = envelope_correlation(output, source, target)
    for b in range(2):
        r = [np.corrcoef(envelope(output)[b], envelope(other)[b])[0, 1] for other in (source, target)]
        assert got_B[b].item() == pytest.approx(r[0] ** 2 + r[1] ** 2, rel=1e-6)


def test_a_copy_correlates_fully_and_silence_not_at_all():
    wav = loud(0)
    torch.testing.assert_close(envelope_correlation(0.5 * wav, wav, wav), torch.full((2,), 2.0, dtype=torch.float64))
    assert envelope_correlation(torch.zeros_like(wav), wav, wav).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("loss", ["stft", "mel", "envelope"])
def test_gradients(loss):
    target = 0.3 * noise(1, 1, 1300, seed=1)
    functions = {
        "stft": lambda x: multi_resolution_stft(x, target, (64, 128)),
        "mel": lambda x: log_mel_l1(x, target, bands(6, 64)),
        "envelope": lambda x: envelope_correlation(x, target, target.flip(-1)),
    }
    wav = (0.3 * noise(1, 1, 1300)).requires_grad_()
    assert torch.autograd.gradcheck(functions[loss], (wav,), fast_mode=True)


@pytest.mark.parametrize("output", ["equal", "silent", "both silent"])
def test_no_nan_gradient_at_zero_error_or_in_silence(output):
    target = torch.zeros(1, 1, 9000) if output == "both silent" else tones(440.0, dtype=torch.float32)[..., :9000]
    wav = (target.clone() if output == "equal" else torch.zeros_like(target)).requires_grad_()
    losses = [
        multi_resolution_stft(wav, target),
        log_mel_l1(wav, target, bands(80, 1024)),
        envelope_correlation(wav, target, target),
    ]
    sum(losses).sum().backward()
    assert torch.isfinite(wav.grad).all() and torch.isfinite(sum(losses)).all()
    if output == "equal":
        assert losses[0].item() == losses[1].item() == 0.0


def test_clips_shorter_than_a_window_work():
    wav = noise(2, 1, 100)
    assert torch.isfinite(multi_resolution_stft(wav, 0.5 * wav)).all()


def test_both_losses_at_once_equal_each_by_itself():
    output_B1N, target_B1N = 0.1 * noise(2, 1, 6144), 0.1 * noise(2, 1, 6144, seed=1)
    filters = [bands(20, n_fft) for n_fft in (512, 2048)]
    spectral_B, mel_B = stft_and_mel(output_B1N, target_B1N, filters)
    torch.testing.assert_close(spectral_B, multi_resolution_stft(output_B1N, target_B1N, (512, 2048)))
    apart = [log_mel_l1(output_B1N, target_B1N, filters_MF) for filters_MF in filters]
    torch.testing.assert_close(mel_B, (apart[0] + apart[1]) / 2)
