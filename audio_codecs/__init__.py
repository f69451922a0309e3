"""Codecs by name: audio [B, 1, N] at 24 kHz <-> latents [B, 128, ceil(N / 320)] at 75 frames a second.

A new codec is one class that follows `audio_codecs.base.Codec`, and one line in `CODECS`. (The room cannot be called
`codecs`: Python's standard library has a module of that name, loaded before any of ours.)
"""

import difflib
from pathlib import Path

from audio_codecs.base import Codec
from audio_codecs.encodec import EncodecCodec
from audio_codecs.mel import MelCodec
from errors import UserError

CODECS: dict[str, type[Codec]] = {
    EncodecCodec.name: EncodecCodec,
    MelCodec.name: MelCodec,
}


def open_codec(name: str, weights: str | Path | None = None, device: str = "cpu") -> Codec:
    """The codec `name`, frozen, on `device`.

    `weights` is a path that the codec understands; without it the codec looks where its weights usually lie. Raises
    UserError for an unknown name, and for weights that are wrong, not found, or not wanted.

    >>> codec = open_codec("mel")
    >>> codec.decode(codec.encode(torch.zeros(1, 1, 24000))).shape
    torch.Size([1, 1, 24000])
    """
    return _codec_class(name).open(weights, device)


def codec_identity(name: str, weights: str | Path | None = None) -> str:
    """What `open_codec(name, weights).identity` would be, in a fraction of the time. Raises the same errors."""
    return _codec_class(name).identify(weights)


def _codec_class(name: str) -> type[Codec]:
    if name not in CODECS:
        nearest = difflib.get_close_matches(name, CODECS, n=1, cutoff=0.0)[0]
        raise UserError(f"There is no codec {name!r}; did you mean {nearest!r}? (--codec takes: {', '.join(CODECS)})")
    return CODECS[name]
