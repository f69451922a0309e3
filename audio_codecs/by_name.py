"""Codecs by name, opened with their weights."""

import difflib
from pathlib import Path

from audio_codecs.base import Codec
from audio_codecs.options import CODECS
from errors import UserError
from registry import Options


def open_codec(
    name: str, weights: str | Path | None = None, device: str = "cpu", options: Options | None = None
) -> Codec:
    """The codec `name`, frozen, on `device`.

    `weights` is a path in a form that the codec accepts; without it the codec searches the usual places. `options` are
    the codec's own, None for their defaults. Raises UserError for an unknown name, and for weights that are wrong, not
    found, or not used by the codec.

    >>> codec = open_codec("mel")
    >>> codec.decode(codec.encode(torch.zeros(1, 1, 24000))).shape
    torch.Size([1, 1, 24000])
    """
    return codec_class(name).open(weights, device, options or CODECS[name].options())


def codec_identity(name: str, weights: str | Path | None = None, options: Options | None = None) -> str:
    """What `open_codec(name, weights).identity` would be, in a fraction of the time. Raises the same errors."""
    return codec_class(name).identify(weights, options or CODECS[name].options())


def codec_class(name: str) -> type[Codec]:
    """The class of that name. Raises UserError for an unknown one."""
    if name not in CODECS:
        close = difflib.get_close_matches(name, CODECS, n=1, cutoff=0.0)[0]
        raise UserError(f"There is no codec {name!r}; did you mean {close!r}? (--codec takes: {', '.join(CODECS)})")
    return CODECS[name].load()


def codec_options(name: str, decoder: str | None = None) -> Options:
    """The codec's default options, with another decoder if one is named. Raises UserError if it has no choice."""
    part = CODECS[codec_class(name).name]
    if decoder is None:
        return part.options()
    if not part.facts.get("has_decoders"):
        raise UserError(f"--decoder {decoder} has no effect: the codec {name} has one decoder; leave it out.")
    return part.options(decoder=decoder)
