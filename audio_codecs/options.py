"""Audio codecs by name, and their options. Nothing here imports torch.

A codec's definition is its class: see `audio_codecs.base.Codec`.
"""

from registry import Options, Registry, opt

CODECS = Registry("audio codec")


class EncodecOptions(Options):
    """EnCodec"""

    encodec_sr: int = opt(
        24000, "sample rate in Hz; EnCodec 24 kHz supports only this one", ge=24000, le=24000, without_effect=True
    )
    encodec_bandwidth: float = opt(
        6.0, "no effect, kept for compatibility: latents are taken before quantisation", gt=0, without_effect=True
    )


CODECS.add("encodec_24khz", "audio_codecs.encodec:EncodecCodec", EncodecOptions)
CODECS.add("mel", "audio_codecs.mel:MelCodec")
CODECS.add("mel_fine", "audio_codecs.mel:FineMelCodec")
