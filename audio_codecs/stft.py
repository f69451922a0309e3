"""The short-time Fourier transform of the log-mel codecs and its inverse.

Shapes: B batch, N audio samples (24 kHz), T frames (75/s), F frequency bins (1025), W samples of a window (2048),
L samples of the padded signal (T * 320 + 1728).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SAMPLE_RATE, N_FFT, HOP = 24_000, 2048, 320
BINS = N_FFT // 2 + 1
MARGIN = (N_FFT - HOP) // 2  # padding at each end, so that frame t is centred on samples 320 t .. 320 t + 319
HOPS_PER_WINDOW = -(-N_FFT // HOP)


class Stft:
    """Frames of 2048 samples under a Hann window, 320 samples apart."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self._window_W = torch.hann_window(N_FFT, device=device)
        self._kept_energy: tuple[int, Tensor] | None = None
        self.noise_level = float(self._window_W.square().sum().sqrt())  # root mean square magnitude of white noise

    def of_audio(self, wav_BN: Tensor) -> Tensor:
        """Spectrum [B, ceil(N / 320), F] of audio whose ends are mirrored."""
        return self.spectrum(self.windows(wav_BN))

    def windows(self, wav_BN: Tensor) -> Tensor:
        """What each frame of audio whose ends are mirrored is made from, [B, ceil(N / 320), W]: a view."""
        frames = -(-wav_BN.shape[-1] // HOP)
        return mirror_ends(wav_BN).unfold(-1, N_FFT, HOP)[:, :frames]

    def spectrum(self, windows_BTW: Tensor) -> Tensor:
        """Spectrum [B, T, F] of windows."""
        return torch.fft.rfft(windows_BTW * self._window_W)

    def to_audio(self, spectrum_BTF: Tensor) -> Tensor:
        """Audio [B, T * 320], without the padding."""
        return self.inverse(spectrum_BTF)[:, MARGIN:-MARGIN]

    def forward(self, wav_BL: Tensor) -> Tensor:
        """Spectrum [B, T, F] of a padded signal."""
        return self.spectrum(wav_BL.unfold(-1, N_FFT, HOP))

    def inverse(self, spectrum_BTF: Tensor) -> Tensor:
        """Padded signal [B, L]. Least-squares inverse (Griffin, Lim 1984, equation 6): windowed overlap-add over the
        windows' energy."""
        return overlap_add(torch.fft.irfft(spectrum_BTF, n=N_FFT) * self._window_W) / self._energy(
            spectrum_BTF.shape[1]
        )

    def _energy(self, frames: int) -> Tensor:
        """Of the windows over each sample, [1, L]; the last one is kept, as a decoder needs it several times."""
        kept = self._kept_energy
        if kept is None or kept[0] != frames:
            with torch.inference_mode(False):  # so that it can be used where gradients are needed, too
                energy_1L = overlap_add((self._window_W**2).expand(1, frames, N_FFT))
                # Only the outermost samples, which are dropped, have less.
                kept = self._kept_energy = frames, energy_1L.clamp(min=1e-6)
        return kept[1]


def absolute(spectrum: Tensor) -> Tensor:
    """Of complex numbers. On a CPU, where no gradient is wanted, by numpy, whose operation is vectorised: it takes 1 ns
    a number on one core (AVX2), torch's 24."""
    if spectrum.requires_grad or spectrum.device.type != "cpu":
        return spectrum.abs()
    return torch.from_numpy(np.abs(spectrum.resolve_conj().numpy()))


def mirror_ends(wav_BN: Tensor) -> Tensor:
    """Pads to whole frames plus a margin at each end; audio too short to be mirrored is followed by silence first."""
    shortest = MARGIN + HOP  # a mirror image must be shorter than what it mirrors
    wav_BN = functional.pad(wav_BN, (0, max(0, shortest - wav_BN.shape[-1])))
    missing = -wav_BN.shape[-1] % HOP
    return functional.pad(wav_BN[:, None], (MARGIN, MARGIN + missing), mode="reflect")[:, 0]


def overlap_add(frames_BTW: Tensor) -> Tensor:
    """Sum of windows, each one hop after the previous one: [B, T, W] -> [B, L]; adds whole hops at a time."""
    batch, frames, window = frames_BTW.shape
    total = frames_BTW.new_zeros(batch, frames + HOPS_PER_WINDOW - 1, HOP)
    for k in range(HOPS_PER_WINDOW):
        part = frames_BTW[..., k * HOP : (k + 1) * HOP]  # the last one is shorter
        total[:, k : k + frames, : part.shape[-1]] += part
    return total.flatten(1)[:, : (frames - 1) * HOP + window]
