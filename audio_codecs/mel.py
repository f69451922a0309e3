"""Log-mel spectrograms as a codec: no weights, the shape of EnCodec's latents, decoded by Griffin-Lim.

Shapes: B batch, N audio samples (24 kHz), D mel bands (128), T frames (75/s), F frequency bins (1025),
L samples of the padded signal (T * 320 + 1728), W samples of a window (2048), H samples of a hop (320).
"""

import hashlib
import json
import math
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from audio_codecs.filters import fine_filters, slaney_filters
from errors import UserError
from registry import Options

PARAMETERS = {
    "sample_rate": 24000,
    "n_fft": 2048,
    "hop": 320,
    "bands": 128,
    "f_min": 0.0,
    "f_max": 12000.0,
    "floor": 1e-5,
    "padding": "reflect",
}
SAMPLE_RATE, N_FFT, HOP, BANDS = (PARAMETERS[key] for key in ("sample_rate", "n_fft", "hop", "bands"))
LOG_FLOOR = math.log(PARAMETERS["floor"])
LOG_CEILING = 8.0  # a full-scale sine is below 4; larger values would only overflow exp
MARGIN = (N_FFT - HOP) // 2  # padding at each end, so that frame t is centred on samples 320 t .. 320 t + 319
HOPS_PER_WINDOW = -(-N_FFT // HOP)
ROUNDS, MOMENTUM, PHASE_SEED = 32, 0.99, 0  # of Griffin-Lim
RESCALINGS = 8


class MelCodec:
    """Natural logarithm of a mel spectrogram of magnitudes, floored at 1e-5; see `audio_codecs.base.Codec`.

    Latents lie in about [-11.5, 4]; silence is exactly log(1e-5). The ends of the audio are mirrored, so that a clip
    cut from music has no click in its first and last frames.
    """

    name = "mel"
    parameters: ClassVar[dict[str, object]] = PARAMETERS  # of `encode`; latents of equal parameters are of one space
    sample_rate, hop, channels = SAMPLE_RATE, HOP, BANDS
    frame_rate = SAMPLE_RATE // HOP

    def __init__(self, device: str | torch.device = "cpu", rounds: int = ROUNDS):
        self.identity = self.identify()
        self.rounds = rounds
        filters_DF = self.filters()
        self._filters_FD = filters_DF.T.float().contiguous().to(device)
        self._filter_sums_F = self._filters_FD.sum(1).clamp(min=1e-9)  # the first and last bin are in no filter
        # The filters' pseudo-inverse, transposed; they are independent, so that no decomposition is needed.
        self._inverse_DF = torch.linalg.solve(filters_DF @ filters_DF.T, filters_DF).float().to(device)
        self._window_W = torch.hann_window(N_FFT, device=device)

    @classmethod
    def filters(cls) -> Tensor:
        """The bands, float64 [D, F]."""
        return slaney_filters(SAMPLE_RATE, N_FFT, BANDS, PARAMETERS["f_min"], PARAMETERS["f_max"])

    @classmethod
    def open(cls, weights: str | Path | None = None, device: str = "cpu", options: Options | None = None) -> "MelCodec":
        """Build the codec; raises UserError if `weights` are given, since it has none."""
        cls.identify(weights)
        return cls(device)

    @classmethod
    def identify(cls, weights: str | Path | None = None, options: Options | None = None) -> str:
        """The codec's name and a digest of all parameters of `encode`."""
        if weights is not None:
            raise UserError(
                f"The codec {cls.name!r} has no weights, but --codec_weights {weights} was given; "
                "leave --codec_weights out, or choose --codec encodec_24khz."
            )
        digest = hashlib.sha256(json.dumps(cls.parameters, sort_keys=True).encode()).hexdigest()
        return f"{cls.name}-{digest[:16]}"

    def encode(self, wav_B1N: Tensor) -> Tensor:
        """Audio [B, 1, N], N >= 1 -> log-mel [B, 128, ceil(N / 320)], float32, differentiable."""
        assert wav_B1N.ndim == 3 and wav_B1N.shape[1] == 1 and wav_B1N.shape[2] > 0, wav_B1N.shape
        frames = -(-wav_B1N.shape[-1] // HOP)
        with torch.autocast(wav_B1N.device.type, enabled=False):
            spectrum_BTF = self._stft(_mirror_ends(wav_B1N.float()[:, 0]))[:, :frames]
            mel_BTD = spectrum_BTF.abs() @ self._filters_FD
            return mel_BTD.clamp(min=PARAMETERS["floor"]).log().transpose(1, 2)

    def decode(self, latents_BDT: Tensor) -> Tensor:
        """Log-mel [B, 128, T], T >= 1 -> audio [B, 1, T * 320], float32.

        Magnitudes come from the filters' pseudo-inverse, phases from fast Griffin-Lim. The same latents give the same
        audio, whatever else is in the batch. The gradient is that of the last rescaling of magnitudes and of the last
        inverse transform, with everything before them constant: smooth and as cheap as one iteration, unlike the
        gradient through 32 iterations.
        """
        assert latents_BDT.ndim == 3 and latents_BDT.shape[1] == BANDS and latents_BDT.shape[2] > 0, latents_BDT.shape
        with torch.autocast(latents_BDT.device.type, enabled=False):
            mel_BTD = latents_BDT.float().clamp(LOG_FLOOR, LOG_CEILING).exp().transpose(1, 2)
            with torch.no_grad():
                nearly_BTF = self._invert_filters(mel_BTD)
            magnitude_BTF = self._rescale(nearly_BTF, mel_BTD)
            with torch.no_grad():
                phase_BTF = self._griffin_lim(magnitude_BTF)
            wav_BL = self._inverse_stft(magnitude_BTF * phase_BTF)
        return wav_BL[:, None, MARGIN:-MARGIN]

    def _invert_filters(self, mel_BTD: Tensor) -> Tensor:
        """Non-negative magnitudes whose mel spectrogram is nearly `mel_BTD`.

        The pseudo-inverse is exact but partly negative; clamped, it is wrong by 5 % per band on average. A few
        rescalings reduce that to 0.6 %, and the round trip's error from 0.13 to 0.09. They cannot change a zero, so the
        start is kept above a tenth of the smooth spectrum that one rescaling makes from a flat one.
        """
        flat_BTF = torch.ones_like(mel_BTD[..., :1]).expand(*mel_BTD.shape[:2], N_FFT // 2 + 1)
        magnitude_BTF = torch.maximum(mel_BTD @ self._inverse_DF, 0.1 * self._rescale(flat_BTF, mel_BTD))
        for _ in range(RESCALINGS - 1):
            magnitude_BTF = self._rescale(magnitude_BTF, mel_BTD)
        return magnitude_BTF

    def _rescale(self, magnitude_BTF: Tensor, mel_BTD: Tensor) -> Tensor:
        """One multiplicative step that lowers KL(mel, magnitude @ filters) (Lee, Seung: Algorithms for non-negative
        matrix factorization, NIPS 2000, equation 5)."""
        missing_BTD = mel_BTD / (magnitude_BTF @ self._filters_FD)
        return magnitude_BTF * (missing_BTD @ self._filters_FD.T) / self._filter_sums_F

    def _griffin_lim(self, magnitude_BTF: Tensor) -> Tensor:
        """Phases (unit complex numbers) with which the magnitudes are nearly those of a signal.

        Perraudin, Balazs, Sondergaard: A fast Griffin-Lim algorithm (WASPAA 2013), algorithm 2.
        """
        phase_BTF = _first_phase(magnitude_BTF)
        previous_BTF = torch.zeros_like(phase_BTF)
        for _ in range(self.rounds):
            consistent_BTF = self._stft(self._inverse_stft(magnitude_BTF * phase_BTF))
            phase_BTF = torch.sgn(consistent_BTF - MOMENTUM / (1 + MOMENTUM) * previous_BTF)
            previous_BTF = consistent_BTF
        return phase_BTF

    def _stft(self, wav_BL: Tensor) -> Tensor:
        return torch.fft.rfft(wav_BL.unfold(-1, N_FFT, HOP) * self._window_W)

    def _inverse_stft(self, spectrum_BTF: Tensor) -> Tensor:
        """Least-squares inverse (Griffin, Lim 1984, equation 6): windowed overlap-add over the windows' energy."""
        wav_BL = _overlap_add(torch.fft.irfft(spectrum_BTF, n=N_FFT) * self._window_W)
        energy_L = _overlap_add((self._window_W**2).expand(1, spectrum_BTF.shape[1], N_FFT))
        return wav_BL / energy_L.clamp(min=1e-6)  # only the outermost samples, which `decode` drops, are that small


class FineMelCodec(MelCodec):
    """The same with bands 15 Hz apart where most notes are, so that Griffin-Lim gets sharper magnitudes.

    Between 1.1 and 12 kHz the bands are 4.4 % apart.
    """

    name = "mel_fine"
    parameters: ClassVar[dict[str, object]] = PARAMETERS | {"spacing_hz": 15.0, "knee_hz": 1100.0}

    @classmethod
    def filters(cls) -> Tensor:
        p = cls.parameters
        return fine_filters(SAMPLE_RATE, N_FFT, BANDS, p["f_max"], p["spacing_hz"], p["knee_hz"])


def _first_phase(magnitude_BTF: Tensor) -> Tensor:
    """Random phases, the same for each item of a batch and on each device, from a generator of their own."""
    generator = torch.Generator().manual_seed(PHASE_SEED)
    phases_TF = torch.rand(magnitude_BTF.shape[1:], generator=generator).to(magnitude_BTF.device)
    return torch.polar(torch.ones_like(phases_TF), 2 * math.pi * phases_TF).expand_as(magnitude_BTF)


def _mirror_ends(wav_BN: Tensor) -> Tensor:
    """Pad to whole frames plus a margin at each end; audio too short to be mirrored is followed by silence first."""
    shortest = MARGIN + HOP  # a mirror image must be shorter than what it mirrors
    wav_BN = functional.pad(wav_BN, (0, max(0, shortest - wav_BN.shape[-1])))
    missing = -wav_BN.shape[-1] % HOP
    return functional.pad(wav_BN[:, None], (MARGIN, MARGIN + missing), mode="reflect")[:, 0]


def _overlap_add(frames_BTW: Tensor) -> Tensor:
    """Sum of windows, each one hop after the previous one: [B, T, W] -> [B, L]; adds whole hops at a time."""
    batch, frames, window = frames_BTW.shape
    rows = functional.pad(frames_BTW, (0, HOPS_PER_WINDOW * HOP - window)).view(batch, frames, HOPS_PER_WINDOW, HOP)
    total = rows.new_zeros(batch, frames + HOPS_PER_WINDOW - 1, HOP)
    for k in range(HOPS_PER_WINDOW):
        total[:, k : k + frames] += rows[:, :, k]
    return total.flatten(1)[:, : (frames - 1) * HOP + window]
