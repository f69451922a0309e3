"""Options of audio latents. Nothing here imports torch."""

from typing import Literal

from audio_codecs.options import CODECS
from kinds.base_options import KindOptions
from registry import opt


class AudioOptions(KindOptions):
    """audio"""

    codec: str | None = CODECS.choice(None, "audio codec; default: as recorded in the dataset")
    codec_weights: str | None = opt(None, "path of the codec's weights, if it has any", per_machine=True)
    crop_seconds: float = opt(0.0, "train on random crops of this length; 0 = whole clips", ge=0)
    recon_domain: Literal["latent", "audio"] = opt("latent", "domain in which the regression loss is measured")
    loss_weight_spectral: float = opt(0.0, "weight of the multi-resolution STFT loss on decoded audio", ge=0)
    loss_weight_mel: float = opt(0.0, "weight of the log-mel loss on decoded audio", ge=0)
    corr_weight: float = opt(0.0, "weight of a penalty on copying the inputs' loudness envelopes", ge=0)
    decode_every: int = opt(8, "compute losses on decoded audio every this many steps", ge=1)

    def remarks(self, config) -> list[str]:
        idle = not self.decodes(config.regression.weights) and "decode_every" in config.given
        if idle and self.decode_every != type(self).model_fields["decode_every"].default:
            losses = "loss_weight_spectral, loss_weight_mel, corr_weight or recon_domain audio"
            return [*super().remarks(config), f"note: decode_every has no effect without {losses}"]
        return super().remarks(config)

    @property
    def loss_weight(self) -> float:
        return self.loss_weight_spectral + self.loss_weight_mel

    @property
    def regresses_decoded(self) -> bool:
        return self.recon_domain == "audio"

    def decodes(self, regression_weights: tuple[float, float]) -> bool:
        in_audio = self.regresses_decoded and sum(regression_weights) > 0
        return in_audio or self.loss_weight_spectral + self.loss_weight_mel + self.corr_weight > 0
