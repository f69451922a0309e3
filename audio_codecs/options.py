"""Audio codecs by name, and their options. Nothing here imports torch.

A codec's definition is its class: see `audio_codecs.base.Codec`. Facts: `has_decoders`, it has a choice of decoders;
`non_commercial`, the licence of its weights.
"""

from registry import Options, Registry, opt

CODECS = Registry("audio codec")
DECODERS = ("learned", "griffin_lim")  # of log-mel latents


class EncodecOptions(Options):
    """EnCodec"""

    encodec_sr: int = opt(
        24000, "sample rate in Hz; EnCodec 24 kHz supports only this one", ge=24000, le=24000, without_effect=True
    )
    encodec_bandwidth: float = opt(
        6.0, "no effect, kept for compatibility: latents are taken before quantisation", gt=0, without_effect=True
    )


class MelOptions(Options):
    """log-mel"""

    decoder: str | None = opt(
        None,
        "from latents to sound: learned, griffin_lim, or the folder of a decoder that was trained; default: learned, "
        "where its weights are there",
        per_call=True,
    )


CODECS.add("encodec_24khz", "audio_codecs.encodec:EncodecCodec", EncodecOptions, non_commercial=True)
CODECS.add("mel", "audio_codecs.mel:MelCodec", MelOptions, has_decoders=True)
CODECS.add("mel_slaney", "audio_codecs.mel:SlaneyMelCodec")
