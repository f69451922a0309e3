"""Codecs by name: audio [B, 1, N] at 24 kHz <-> latents [B, 128, ceil(N / 320)] at 75 frames a second.

A new codec is one class that follows `audio_codecs.base.Codec`, its options, and one line in `audio_codecs/options.py`.
(The package cannot be called `codecs`: Python's standard library has a module of that name.)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Codec"],
        "encodec": ["EncodecCodec"],
        "mel": ["MelCodec", "SlaneyMelCodec"],
        "by_name": ["codec_class", "codec_identity", "codec_options", "open_codec"],
        "options": ["CODECS"],
    },
)
