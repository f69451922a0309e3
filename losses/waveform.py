"""Losses on waveforms.

Shapes: B batch, N audio samples, F frequency bins, S spectral frames, M mel bands, P parts of an envelope. Waveforms
are [B, 1, N] in [-1, 1], of any length; every loss returns one value per sample.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

FFT_SIZES = (512, 1024, 2048)
ENVELOPE_PARTS = 250
SHORTEST_PART = 320  # samples; shorter parts would follow the waveform of a bass note, not its envelope
_TINY_POWER = 1e-10  # -100 dB: magnitudes stay differentiable, and their logarithms finite, in silence
_TINY_MEL = 1e-7  # for a filter that covers no bin
_TINY_CORRELATION = 1e-12


def magnitudes(wav_B1N: Tensor, n_fft: int) -> Tensor:
    """Magnitudes of the short-time Fourier transform, [B, F, S]: Hann window, hop n_fft / 4, zeros beyond the ends.

    Never under 1e-5. Computed in float32 at least.
    """
    wav_BN = wav_B1N.squeeze(1)
    wav_BN = wav_BN.float() if wav_BN.dtype.itemsize < 4 else wav_BN
    window = torch.hann_window(n_fft, dtype=wav_BN.dtype, device=wav_BN.device)
    spectrum_BFS = torch.stft(
        wav_BN, n_fft, hop_length=n_fft // 4, window=window, pad_mode="constant", return_complex=True
    )
    return (spectrum_BFS.real.square() + spectrum_BFS.imag.square() + _TINY_POWER).sqrt()


def _stft_loss(output_BFS: Tensor, target_BFS: Tensor) -> Tensor:
    """Spectral convergence plus mean absolute difference of log magnitudes (Yamamoto et al. 2020, sec. 2.2)."""
    distance_B = torch.linalg.vector_norm(target_BFS - output_BFS, dim=(1, 2))
    convergence_B = distance_B / torch.linalg.vector_norm(target_BFS, dim=(1, 2))
    return convergence_B + (target_BFS.log() - output_BFS.log()).abs().mean(dim=(1, 2))


def multi_resolution_stft(output_B1N: Tensor, target_B1N: Tensor, fft_sizes: tuple[int, ...] = FFT_SIZES) -> Tensor:
    """Mean of the STFT loss over several resolutions (Yamamoto et al. 2020, sec. 2.2), [B]."""
    per_size = [_stft_loss(magnitudes(output_B1N, n_fft), magnitudes(target_B1N, n_fft)) for n_fft in fft_sizes]
    return torch.stack(per_size).mean(0)


def _mel_loss(output_BFS: Tensor, target_BFS: Tensor, mel_filters_MF: Tensor) -> Tensor:
    filters_MF = mel_filters_MF.to(output_BFS)
    output_BMS, target_BMS = ((filters_MF @ x_BFS).clamp(min=_TINY_MEL).log() for x_BFS in (output_BFS, target_BFS))
    return (output_BMS - target_BMS).abs().mean(dim=(1, 2))


def log_mel_l1(output_B1N: Tensor, target_B1N: Tensor, mel_filters_MF: Tensor) -> Tensor:
    """Mean absolute difference of log mel magnitudes, [B].

    mel_filters_MF: the filter bank, [bands, n_fft / 2 + 1]; its width determines n_fft, the hop is n_fft / 4.
    """
    n_fft = 2 * (mel_filters_MF.shape[1] - 1)
    return _mel_loss(magnitudes(output_B1N, n_fft), magnitudes(target_B1N, n_fft), mel_filters_MF)


def stft_and_mel(output_B1N: Tensor, target_B1N: Tensor, mel_filters: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """`multi_resolution_stft` and the mean of `log_mel_l1` over the resolutions of these filter banks, [B] each; every
    spectrum is computed once."""
    spectral, mel = [], []
    for filters_MF in mel_filters:
        n_fft = 2 * (filters_MF.shape[1] - 1)
        spectra = magnitudes(output_B1N, n_fft), magnitudes(target_B1N, n_fft)
        spectral.append(_stft_loss(*spectra))
        mel.append(_mel_loss(*spectra, filters_MF))
    return torch.stack(spectral).mean(0), torch.stack(mel).mean(0)


def envelope(wav_B1N: Tensor, parts: int = ENVELOPE_PARTS) -> Tensor:
    """Greatest |sample| in each of `parts` equal parts of the clip, [B, P]; parts of at least 320 samples, so fewer in
    a clip that is shorter than 250 of them."""
    fitting = max(1, min(parts, wav_B1N.shape[-1] // SHORTEST_PART))
    return F.adaptive_max_pool1d(wav_B1N.abs(), fitting).squeeze(1)


def _squared_correlation(a_BP: Tensor, b_BP: Tensor) -> Tensor:
    """Pearson's r squared, [B]; 0 where either is constant."""
    a_BP, b_BP = a_BP - a_BP.mean(1, keepdim=True), b_BP - b_BP.mean(1, keepdim=True)
    product_B = a_BP.square().sum(1) * b_BP.square().sum(1)
    return (a_BP * b_BP).sum(1).square() / (product_B + _TINY_CORRELATION)


def envelope_correlation(output_B1N: Tensor, input_B1N: Tensor, target_B1N: Tensor) -> Tensor:
    """r_input^2 + r_target^2 of the loudness envelopes, [B], 0 to 2: how much of either rhythm the output copies."""
    output_BP, input_BP, target_BP = (envelope(wav) for wav in (output_B1N, input_B1N, target_B1N))
    return _squared_correlation(output_BP, input_BP) + _squared_correlation(output_BP, target_BP)
