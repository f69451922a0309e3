"""The interface of every codec: audio to latents and back.

Shapes: B batch, N audio samples (24 kHz), D latent channels, T latent frames; `wav_B1N`, `latents_BDT`.
"""

from pathlib import Path
from typing import Protocol, Self, runtime_checkable

from torch import Tensor

from registry import Options


@runtime_checkable
class Codec(Protocol):
    """A frozen pair of maps between mono audio and latents of `frame_rate` frames a second.

    Attributes:
        name: the key in `audio_codecs.options.CODECS`.
        identity: names the latent space; codecs of equal identity encode identically, so that latents can be shared.
        sample_rate: audio samples a second (24000).
        frame_rate: latent frames a second (75).
        hop: audio samples to a frame (`sample_rate / frame_rate`, 320).
        channels: latent channels D (128).
        streams: whether `decode` takes latents of any length with bounded memory; else long ones are decoded in
            pieces, which are joined by cross-fades.
    """

    name: str
    identity: str
    sample_rate: int
    frame_rate: int
    hop: int
    channels: int
    streams: bool

    @classmethod
    def open(cls, weights: str | Path | None, device: str, options: Options) -> Self:
        """Build the codec on `device`; raises UserError if `weights` are wrong or not available."""
        ...

    @classmethod
    def identify(cls, weights: str | Path | None, options: Options) -> str:
        """The identity of the codec from `open(weights, ...)`, without building a network."""
        ...

    def encode(self, wav_B1N: Tensor) -> Tensor:
        """Audio [B, 1, N], N >= 1, in [-1, 1], on the codec's device -> float32 latents [B, D, ceil(N / hop)]."""
        ...

    def decode(self, latents_BDT: Tensor) -> Tensor:
        """Latents [B, D, T] -> float32 audio [B, 1, T * hop], nominally in [-1, 1] but not clipped.

        Differentiable with respect to the latents; no gradient reaches the codec's own weights.
        """
        ...
