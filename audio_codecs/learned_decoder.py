"""The learned decoder of the log-mel codec: its weights on disk, and audio of any length from latents.

Shapes: B batch, T frames (75/s), D mel bands (128), F frequency bins (1025).
"""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from audio_codecs.noise_filling import filled, noise_share, noise_spectrum
from audio_codecs.phases import FEW_ROUNDS, PhaseTracker, griffin_lim
from audio_codecs.spectrum_decoder import LOG_CENTRE, LOG_SCALE, SpectrumDecoder
from audio_codecs.stft import HOP, HOPS_PER_WINDOW, Stft
from errors import UserError

SHIPPED = Path(__file__).parents[1] / "pretrained" / "decoder"
WEIGHTS, DESCRIPTION = "generator.safetensors", "config.json"
PREFIX = "generator."
PIECE = 1500  # frames (20 s) decoded at once; memory does not grow with the length
ROUND_REACH = HOPS_PER_WINDOW  # frames on which one frame of a round of Griffin-Lim depends, to either side


class LearnedDecoder:
    """Called with log-mel magnitudes [B, T, D], it gives audio [B, T * 320].

    Long signals are decoded in pieces with enough context on either side, and with phases that go on from the piece
    before: the audio is that of the whole signal, without seams. The gradient reaches the latents through the
    magnitudes; phases are constant.
    """

    streams = True

    def __init__(self, network: SpectrumDecoder, device: str | torch.device = "cpu", rounds: int = FEW_ROUNDS) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.rounds, self._stft = rounds, Stft(device)

    def __call__(self, log_mel_BTD: Tensor) -> Tensor:
        frames, tracker, pieces = log_mel_BTD.shape[1], PhaseTracker(), []
        after = (self.rounds + 1) * ROUND_REACH
        for start in range(0, frames, PIECE):
            stop = min(frames, start + PIECE)
            left, right = max(0, start - after), min(frames, stop + after)
            log_BTF = self._piece_of_magnitudes(log_mel_BTD, left, right)
            with torch.no_grad():
                next_piece = max(0, stop - after) - left or None
                factor_BTF = filled(
                    tracker.phases(log_BTF.exp(), next_piece),
                    noise_share(log_BTF),
                    noise_spectrum(self._stft, left, right),
                )
                weight_BTF = factor_BTF.abs()
            magnitude_BTF = log_BTF.exp() * weight_BTF
            with torch.no_grad():
                phase_BTF = griffin_lim(self._stft, magnitude_BTF, torch.sgn(factor_BTF), self.rounds)
            wav_BN = self._stft.to_audio(magnitude_BTF * phase_BTF)
            pieces.append(wav_BN[:, (start - left) * HOP : (stop - left) * HOP])
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)

    def _piece_of_magnitudes(self, log_mel_BTD: Tensor, start: int, stop: int) -> Tensor:
        """Log magnitudes [B, stop - start, F] as in the whole signal."""
        reach = self.network.reach
        left, right = max(0, start - reach), min(log_mel_BTD.shape[1], stop + reach)
        return self.log_magnitudes(log_mel_BTD[:, left:right])[:, start - left : stop - left]

    def log_magnitudes(self, log_mel_BTD: Tensor) -> Tensor:
        """Log magnitudes [B, T, F] of log-mel magnitudes [B, T, D]."""
        latents_BDT = (log_mel_BTD.transpose(1, 2) - LOG_CENTRE) / LOG_SCALE
        return self.network(latents_BDT).transpose(1, 2) * LOG_SCALE + LOG_CENTRE


def open_decoder(folder: str | Path, identity: str, device: str) -> LearnedDecoder:
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
            "--codec_weights out, or give a decoder that was trained with this codec."
        )
    try:
        options = described["config"]
        network = SpectrumDecoder(len(tensors["enter.weight"][0]), options["width"], 3 * options["width"],
                                  options["num_layers"])  # fmt: skip
        network.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise UserError(f"{folder} holds no decoder of this program: {str(error).splitlines()[0]}.") from None
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise UserError(f"The decoder in {folder} holds NaN or infinite weights; give another one.")
    return LearnedDecoder(network, device)


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
            f"The decoder's weights in {folder} cannot be used ({reason}); give others as --codec_weights, or decode "
            "without them (--decoder griffin_lim)."
        ) from None
    return described, {name.removeprefix(PREFIX): t for name, t in tensors.items() if name.startswith(PREFIX)}
