"""Audio of log-mel latents with nothing learned: the filters' pseudo-inverse, then phases by Griffin-Lim.

Shapes: B batch, T frames (75/s), D mel bands (128), F frequency bins (1025).
"""

import torch
from torch import Tensor

from audio_codecs.phases import griffin_lim, random_phases
from audio_codecs.stft import BINS, Stft

ROUNDS = 32
RESCALINGS = 8


class GriffinLimDecoder:
    """Called with log-mel magnitudes [B, T, D], it gives audio [B, T * 320].

    The gradient is that of the last rescaling of magnitudes and of the last inverse transform, with everything before
    them constant: smooth and as cheap as one iteration, unlike the gradient through 32 iterations.
    """

    streams = False  # long signals are decoded in pieces, joined by a cross-fade

    def __init__(self, filters_DF: Tensor, device: str | torch.device = "cpu", rounds: int = ROUNDS) -> None:
        self.rounds, self._stft = rounds, Stft(device)
        self._filters_FD = filters_DF.T.float().contiguous().to(device)
        self._filter_sums_F = self._filters_FD.sum(1).clamp(min=1e-9)  # the first and last bin are in no filter
        # The filters' pseudo-inverse, transposed; they are independent, so that no decomposition is needed.
        self._inverse_DF = torch.linalg.solve(filters_DF @ filters_DF.T, filters_DF).float().to(device)

    def __call__(self, log_mel_BTD: Tensor) -> Tensor:
        mel_BTD = log_mel_BTD.exp()
        with torch.no_grad():
            nearly_BTF = self.invert_filters(mel_BTD)
        magnitude_BTF = self.rescale(nearly_BTF, mel_BTD)
        with torch.no_grad():
            phase_BTF = griffin_lim(self._stft, magnitude_BTF, random_phases(magnitude_BTF), self.rounds)
        return self._stft.to_audio(magnitude_BTF * phase_BTF)

    def invert_filters(self, mel_BTD: Tensor) -> Tensor:
        """Non-negative magnitudes [B, T, F] whose mel spectrogram is nearly `mel_BTD`.

        The pseudo-inverse is exact but partly negative; clamped, it is wrong by 5 % per band on average. A few
        rescalings reduce that to 0.6 %, and the round trip's error from 0.13 to 0.09. They cannot change a zero, so the
        start is kept above a tenth of the smooth spectrum that one rescaling makes from a flat one.
        """
        flat_BTF = torch.ones_like(mel_BTD[..., :1]).expand(*mel_BTD.shape[:2], BINS)
        magnitude_BTF = torch.maximum(mel_BTD @ self._inverse_DF, 0.1 * self.rescale(flat_BTF, mel_BTD))
        for _ in range(RESCALINGS - 1):
            magnitude_BTF = self.rescale(magnitude_BTF, mel_BTD)
        return magnitude_BTF

    def rescale(self, magnitude_BTF: Tensor, mel_BTD: Tensor) -> Tensor:
        """One multiplicative step that lowers KL(mel, magnitude @ filters) (Lee, Seung: Algorithms for non-negative
        matrix factorization, NIPS 2000, equation 5)."""
        missing_BTD = mel_BTD / (magnitude_BTF @ self._filters_FD)
        return magnitude_BTF * (missing_BTD @ self._filters_FD.T) / self._filter_sums_F
