"""EnCodec's 24 kHz network (Defossez et al., High Fidelity Neural Audio Compression, 2022) as a codec.

The network is transformers'; its weights are Meta's, licensed CC BY-NC 4.0: not for commercial use.

Shapes: B batch, N audio samples (24 kHz), D latent channels (128), T latent frames (75/s).
"""

import functools
import importlib.util
import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from audio_codecs.encodec_weights import ARCHITECTURE, HUB_REPOSITORY, EncodecWeights, load_weights, weights_digest
from errors import UserError
from registry import Options

LOGGER = logging.getLogger(__name__)


class EncodecCodec:
    """Frozen EnCodec encoder and decoder, without the quantiser between them; see `audio_codecs.base.Codec`.

    Latents are the encoder's output before quantisation, so they do not depend on a bandwidth. Runs in float32, also
    under autocast. The weights' licence is non-commercial.
    """

    name = "encodec_24khz"
    sample_rate, frame_rate, hop, channels = 24000, 75, 320, 128
    streams = False

    def __init__(self, weights: EncodecWeights, device: str | torch.device = "cpu"):
        self.identity = _identity(weights.digest)
        self._encoder, self._decoder = (network.to(device) for network in _build(weights))
        _announce_licence()

    @classmethod
    def open(
        cls, weights: str | Path | None = None, device: str = "cpu", options: Options | None = None
    ) -> "EncodecCodec":
        """Find and load the weights; raises UserError if they are missing, damaged or of another model.

        `weights`: a Hugging Face folder (config.json, model.safetensors) or the original encodec_24khz-d7cc33bc.th;
        None: the Hugging Face cache, torch hub's cache, a download.
        """
        if importlib.util.find_spec("transformers") is None:
            raise UserError("The codec 'encodec_24khz' needs the package transformers; install it, or use --codec mel.")
        return cls(load_weights(weights), device)

    @classmethod
    def identify(cls, weights: str | Path | None = None, options: Options | None = None) -> str:
        """'encodec_24khz-' and a digest of the weights' names, shapes and values, the same for both file formats."""
        return _identity(weights_digest(weights))

    @property
    def decoder_network(self) -> nn.Module:
        """Latents [B, 128, T] -> audio [B, 1, N], N >= T * 320; for export."""
        return self._decoder

    def encode(self, wav_B1N: Tensor) -> Tensor:
        """Audio [B, 1, N], N >= 1 -> latents [B, 128, ceil(N / 320)], float32, differentiable."""
        assert wav_B1N.ndim == 3 and wav_B1N.shape[1] == 1 and wav_B1N.shape[2] > 0, wav_B1N.shape
        with torch.autocast(wav_B1N.device.type, enabled=False):
            return self._encoder(wav_B1N.float())

    def decode(self, latents_BDT: Tensor) -> Tensor:
        """Latents [B, 128, T], T >= 1 -> audio [B, 1, T * 320], float32, differentiable."""
        assert latents_BDT.ndim == 3 and latents_BDT.shape[1] == self.channels, latents_BDT.shape
        with torch.autocast(latents_BDT.device.type, enabled=False):
            return self._decoder(latents_BDT.float())[..., : latents_BDT.shape[-1] * self.hop]


def _identity(digest: str) -> str:
    return f"{EncodecCodec.name}-{digest[:16]}"


def _build(weights: EncodecWeights) -> tuple[nn.Module, nn.Module]:
    # The import takes seconds, so it is done only where the codec is used.
    from transformers.models.encodec.configuration_encodec import EncodecConfig
    from transformers.models.encodec.modeling_encodec import EncodecDecoder, EncodecEncoder

    config = EncodecConfig(**ARCHITECTURE)
    with torch.random.fork_rng(devices=[]):  # initial values are drawn, then overwritten
        parts = nn.ModuleDict({"encoder": EncodecEncoder(config), "decoder": EncodecDecoder(config)})
    _check_state(weights, parts.state_dict())
    parts.load_state_dict(weights.state)
    _freeze(parts)
    return parts["encoder"], parts["decoder"]


def _check_state(weights: EncodecWeights, expected: dict[str, Tensor]) -> None:
    shapes = [{key: value.shape for key, value in state.items()} for state in (weights.state, expected)]
    wrong = sorted({key for key, _ in shapes[0].items() ^ shapes[1].items()})
    if wrong:
        raise UserError(
            f"The weights {weights.path} are not those of EnCodec's 24 kHz model ({len(wrong)} tensors are missing, "
            f"unknown or of another shape: {wrong[0]} ...); give those of {HUB_REPOSITORY}."
        )


def _freeze(networks: nn.Module) -> None:
    """Make weights constants: no gradient, weight normalisation computed once instead of in every call."""
    networks.eval()
    for module in list(networks.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        if isinstance(module, nn.LSTM):
            module.train()  # the same numbers (there is no dropout), but cuDNN has no backward in evaluation mode
    networks.requires_grad_(False)


@functools.cache
def _announce_licence() -> None:
    LOGGER.warning("EnCodec's weights are licensed CC BY-NC 4.0: for non-commercial use only.")
