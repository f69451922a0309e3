"""The learned decoders of the log-mel codec: their weights on disk, and audio of any length from latents.

Shapes: B batch, T frames (75/s), D mel bands (128), F frequency bins (1025).
"""

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from audio_codecs.noise_filling import NoiseSpectra, filled, noise_share
from audio_codecs.phases import FEW_ROUNDS, PhaseTracker, griffin_lim
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE, SpectrumDecoder
from audio_codecs.stft import HOP, HOPS_PER_WINDOW, Stft, absolute
from audio_codecs.vocoder import Predicted, Vocoder
from errors import UserError

SHIPPED = Path(__file__).parents[1] / "pretrained" / "decoder"
WEIGHTS, DESCRIPTION = "generator.safetensors", "config.json"
PREFIX = "generator."
PIECE = 1500  # frames (20 s) decoded at once; memory does not grow with the length
ROUND_REACH = HOPS_PER_WINDOW  # frames on which one frame of a round of Griffin-Lim depends, to either side


class PiecewiseDecoder(ABC):
    """Called with log-mel magnitudes [B, T, D], it gives audio [B, T * 320].

    Long signals are decoded in pieces with enough context on either side, and with phases that go on from the piece
    before: the audio is that of the whole signal, without seams. The gradient reaches the latents through the
    magnitudes; phases are constant.
    """

    streams = True

    def __init__(self, network: SpectrumDecoder, device: str | torch.device, rounds: int) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.rounds, self._stft = rounds, Stft(device)
        self._noise = NoiseSpectra(self._stft)

    def __call__(self, log_mel_BTD: Tensor) -> Tensor:
        frames, tracker, pieces = log_mel_BTD.shape[1], PhaseTracker(), []
        context = (self.rounds + 1) * ROUND_REACH
        for start in range(0, frames, PIECE):
            stop = min(frames, start + PIECE)
            left, right = max(0, start - context), min(frames, stop + context)
            next_piece = max(0, stop - context) - left or None
            magnitude_BTF, phase_BTF = self.spectrum(log_mel_BTD, left, right, tracker, next_piece)
            with torch.no_grad():
                phase_BTF = griffin_lim(self._stft, magnitude_BTF, phase_BTF, self.rounds)
            wav_BN = self._stft.to_audio(magnitude_BTF * phase_BTF)
            pieces.append(wav_BN[:, (start - left) * HOP : (stop - left) * HOP])
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    @abstractmethod
    def spectrum(
        self, log_mel_BTD: Tensor, start: int, stop: int, tracker: PhaseTracker, next_piece: int | None
    ) -> tuple[Tensor, Tensor]:
        """Magnitudes and first phases (unit complex numbers) [B, stop - start, F]; next_piece as in
        `PhaseTracker.phases`."""

    def around(self, log_mel_BTD: Tensor, start: int, stop: int) -> tuple[Tensor, slice]:
        """Normalised latents [B, D, T'] on which the network's output for these frames depends, and where in them these
        frames are."""
        left, right = max(0, start - self.network.reach), min(log_mel_BTD.shape[1], stop + self.network.reach)
        return (log_mel_BTD[:, left:right].transpose(1, 2) - LOG_CENTRE) / LOG_SCALE, slice(start - left, stop - left)


class LearnedDecoder(PiecewiseDecoder):
    """Sharp magnitudes by the network; phases are tracked and mixed with noise."""

    def __init__(self, network: SpectrumDecoder, device: str | torch.device = "cpu", rounds: int = FEW_ROUNDS) -> None:
        super().__init__(network, device, rounds)

    def spectrum(self, log_mel_BTD, start, stop, tracker, next_piece):
        latents_BDT, inner = self.around(log_mel_BTD, start, stop)
        log_BTF = self.log_magnitudes(latents_BDT)[:, inner]
        magnitude_BTF = log_BTF.exp()
        with torch.no_grad():
            phase_BTF = tracker.phases(magnitude_BTF, next_piece)
            factor_BTF = filled(phase_BTF, noise_share(log_BTF), self._noise(start, stop))
        return magnitude_BTF * absolute(factor_BTF), torch.sgn(factor_BTF)

    def log_magnitudes(self, latents_BDT: Tensor) -> Tensor:
        """Log magnitudes [B, T, F] of normalised latents."""
        return self.network.log_magnitudes(latents_BDT, self.network.predicted(latents_BDT))


class VocoderDecoder(PiecewiseDecoder):
    """Magnitudes and first phases by the network, whose spectrum one round of Griffin-Lim makes more consistent."""

    def __init__(self, network: Vocoder, device: str | torch.device = "cpu", rounds: int = 1) -> None:
        super().__init__(network, device, rounds)

    def spectrum(self, log_mel_BTD, start, stop, tracker, next_piece):
        latents_BDT, inner = self.around(log_mel_BTD, start, stop)
        predicted = Predicted(*(value_BTF[:, inner] for value_BTF in self.network.predictions(latents_BDT)))
        with torch.no_grad():
            phase_BTF = tracker.phases(predicted.log_BTF.exp(), next_piece)
        spectrum_BTF = predicted.spectrum(phase_BTF, self._noise(start, stop))
        return absolute(spectrum_BTF), torch.sgn(spectrum_BTF.detach())


# By the generator that was trained.
_NETWORKS = {"spectrum": (SpectrumDecoder, LearnedDecoder), "vocoder": (Vocoder, VocoderDecoder)}


def open_decoder(folder: str | Path, identity: str, device: str) -> PiecewiseDecoder:
    """The decoder exported to a folder.

    identity: of the codec whose latents it is to decode.

    Raises:
        UserError: the weights are missing, truncated, altered, or of a decoder for other latents.
    """
    folder = Path(folder).expanduser()
    folder = folder.parent if folder.name == WEIGHTS else folder
    described, tensors = _read(folder)
    decodes = described.get("space", {}).get("about", {}).get("decodes")
    if decodes != identity:
        raise UserError(
            f"The decoder in {folder} is for latents {decodes or 'of no codec'}, not for {identity}; leave "
            "it out, or give a decoder that was trained with this codec."
        )
    try:
        options = described["config"]
        network_class, decoder_class = _NETWORKS[options["generator"]]
        network = network_class(len(tensors["enter.weight"][0]), options["width"], 3 * options["width"],
                                options["num_layers"])  # fmt: skip
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise UserError(f"{folder} holds no decoder of this program: {str(error).splitlines()[0]}.") from None
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise UserError(f"The decoder in {folder} holds NaN or infinite weights; give another one.")
    return decoder_class(network, device)


def _read(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        data = (folder / WEIGHTS).read_bytes()
        expected = described.get("weights_sha256")
        if expected is not None and hashlib.sha256(data).hexdigest() != expected:
            raise ValueError(f"{WEIGHTS} was altered or truncated: its SHA-256 is not that in {DESCRIPTION}")
        tensors = load(data)
    except (OSError, ValueError, AttributeError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"The decoder's weights in {folder} cannot be used ({reason}); give another folder as --decoder or "
            "--codec_weights, or decode without weights (--decoder griffin_lim)."
        ) from None
    return described, {name.removeprefix(PREFIX): t for name, t in tensors.items() if name.startswith(PREFIX)}
