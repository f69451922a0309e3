"""Log-mel spectrograms as a codec: the shape of EnCodec's latents, no weights to encode, two decoders.

Shapes: B batch, N audio samples (24 kHz), D mel bands (128), T frames (75/s), F frequency bins (1025).
"""

import hashlib
import json
import math
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from audio_codecs.filters import fine_filters, slaney_filters
from audio_codecs.griffin_lim import ROUNDS, GriffinLimDecoder
from audio_codecs.learned_decoder import SHIPPED, PiecewiseDecoder, open_decoder
from audio_codecs.options import DECODERS, MelOptions
from audio_codecs.stft import HOP, N_FFT, SAMPLE_RATE, Stft, absolute
from errors import UserError
from registry import Options

BANDS = 128
PARAMETERS = {
    "sample_rate": SAMPLE_RATE,
    "n_fft": N_FFT,
    "hop": HOP,
    "bands": BANDS,
    "f_min": 0.0,
    "f_max": 12000.0,
    "floor": 1e-5,
    "padding": "reflect",
}
CACHED_WINDOWS = 256  # of all clips of a batch: encoded at once on CPUs, whose caches hold no more
LOG_FLOOR = math.log(PARAMETERS["floor"])
LOG_CEILING = 8.0  # a full-scale sine is below 4; larger values would only overflow exp


class MelCodec:
    """Natural logarithm of a mel spectrogram of magnitudes, floored at 1e-5; see `audio_codecs.base.Codec`.

    Bands lie 15 Hz apart up to 1.1 kHz, where most notes are, and 4.4 % apart above. Latents lie in about [-11.5, 4];
    silence is exactly log(1e-5). The ends of the audio are mirrored, so that a clip cut from music has no click in its
    first and last frames.
    """

    name = "mel"
    parameters: ClassVar[dict[str, object]] = PARAMETERS | {"spacing_hz": 15.0, "knee_hz": 1100.0}
    sample_rate, hop, channels = SAMPLE_RATE, HOP, BANDS
    frame_rate = SAMPLE_RATE // HOP

    def __init__(
        self, device: str | torch.device = "cpu", rounds: int = ROUNDS, learned: PiecewiseDecoder | None = None
    ) -> None:
        self.identity = self.identify()
        self._stft = Stft(device)
        self._filters_FD = self.filters().T.float().contiguous().to(device)
        self.decoder = learned or GriffinLimDecoder(self.filters(), device, rounds)
        self.streams = self.decoder.streams

    @classmethod
    def filters(cls) -> Tensor:
        """The bands, float64 [D, F]."""
        p = cls.parameters
        return fine_filters(SAMPLE_RATE, N_FFT, BANDS, p["f_max"], p["spacing_hz"], p["knee_hz"])

    @classmethod
    def open(cls, weights: str | Path | None = None, device: str = "cpu", options: Options | None = None) -> "MelCodec":
        """Build the codec. `weights`: an exported decoder; without it, the one that comes with the program. A decoder
        that the options name goes before it.

        Raises:
            UserError: there is no such decoder, or its weights are damaged, missing or of another codec.
        """
        options = options if isinstance(options, MelOptions) else MelOptions()
        if options.decoder == "griffin_lim":
            return cls(device)
        if weights is None and options.decoder is None and not SHIPPED.is_dir():
            return cls(device)
        return cls(device, learned=open_decoder(_decoder_folder(options.decoder, weights), cls.identify(), device))

    @classmethod
    def identify(cls, weights: str | Path | None = None, options: Options | None = None) -> str:
        """The codec's name and a digest of all parameters of `encode`."""
        digest = hashlib.sha256(json.dumps(cls.parameters, sort_keys=True).encode()).hexdigest()
        return f"mel-{digest[:16]}"

    def encode(self, wav_B1N: Tensor) -> Tensor:
        """Audio [B, 1, N], N >= 1 -> log-mel [B, 128, ceil(N / 320)], float32, differentiable."""
        assert wav_B1N.ndim == 3 and wav_B1N.shape[1] == 1 and wav_B1N.shape[2] > 0, wav_B1N.shape
        with torch.autocast(wav_B1N.device.type, enabled=False):
            windows_BTW = self._stft.windows(wav_B1N.float()[:, 0])
            B, T, _ = windows_BTW.shape
            at_once = max(1, CACHED_WINDOWS // B) if windows_BTW.device.type == "cpu" else T
            pieces = windows_BTW.split(at_once, dim=1)
            return torch.cat([self.latents_of(absolute(self._stft.spectrum(piece))) for piece in pieces], dim=2)

    def magnitudes(self, wav_BN: Tensor) -> Tensor:
        """Audio [B, N] -> magnitudes of all bins [B, ceil(N / 320), F]."""
        return absolute(self._stft.of_audio(wav_BN))

    def latents_of(self, magnitude_BTF: Tensor) -> Tensor:
        """Magnitudes [B, T, F] -> log-mel [B, D, T]."""
        return (magnitude_BTF @ self._filters_FD).clamp(min=PARAMETERS["floor"]).log().transpose(1, 2)

    def decode(self, latents_BDT: Tensor) -> Tensor:
        """Log-mel [B, 128, T], T >= 1 -> audio [B, 1, T * 320], float32.

        The same latents give the same audio, whatever else is in the batch. The gradient is that of the magnitudes and
        of the last inverse transform, with the phases constant.
        """
        assert latents_BDT.ndim == 3 and latents_BDT.shape[1] == BANDS and latents_BDT.shape[2] > 0, latents_BDT.shape
        with torch.autocast(latents_BDT.device.type, enabled=False):
            log_mel_BTD = latents_BDT.float().clamp(LOG_FLOOR, LOG_CEILING).transpose(1, 2)
            return self.decoder(log_mel_BTD)[:, None]


def _decoder_folder(decoder: str | None, weights: str | Path | None) -> Path:
    """Where the weights are of a decoder that is named, or of the one that `weights` gives."""
    named = decoder in (None, "learned")
    folder = Path((weights or SHIPPED) if named else decoder).expanduser()
    if not named and not folder.exists():
        names = ", ".join(DECODERS)
        raise UserError(f"There is no decoder {decoder!r}; give {names}, or the folder of one that was trained.")
    return folder


class SlaneyMelCodec(MelCodec):
    """The codec `mel` of earlier versions: Slaney's mel bands, 27 Hz apart up to 1 kHz. Griffin-Lim decodes it."""

    name = "mel_slaney"
    parameters: ClassVar[dict[str, object]] = PARAMETERS

    @classmethod
    def open(
        cls, weights: str | Path | None = None, device: str = "cpu", options: Options | None = None
    ) -> "SlaneyMelCodec":
        """Build the codec; raises UserError if `weights` are given, since it has none."""
        cls.identify(weights)
        return cls(device)

    @classmethod
    def identify(cls, weights: str | Path | None = None, options: Options | None = None) -> str:
        """The codec's name and a digest of all parameters of `encode`. Raises UserError if weights are given."""
        if weights is not None:
            raise UserError(
                f"The codec {cls.name!r} has no weights, but --codec_weights {weights} was given; "
                "leave --codec_weights out, or choose another --codec."
            )
        return super().identify()

    @classmethod
    def filters(cls) -> Tensor:
        return slaney_filters(SAMPLE_RATE, N_FFT, BANDS, PARAMETERS["f_min"], PARAMETERS["f_max"])
