"""Options of decoder training. Nothing here imports torch."""

from kinds.base_options import KindOptions
from registry import opt


class DecoderOptions(KindOptions):
    """decoder"""

    crop_seconds: float = opt(0.0, "train on random crops of this length; 0 = whole clips", ge=0)

    @property
    def observed(self) -> str:
        return "latents"

    def check(self, config) -> None:
        if config.curriculum.pure_gan_mode > 0:
            raise ValueError(
                f"a decoder is trained without noise: leave pure_gan_mode at 0 with --kind {config.data.kind}"
            )


class VocoderOptions(DecoderOptions):
    """vocoding"""

    loss_weight_spectral: float = opt(0.0, "weight of the multi-resolution STFT loss on decoded audio", ge=0)
    loss_weight_mel: float = opt(0.0, "weight of the log-mel loss on decoded audio", ge=0)

    @property
    def makes(self) -> str:
        return "waveforms"

    @property
    def loss_weight(self) -> float:
        return self.loss_weight_spectral + self.loss_weight_mel

    def decodes(self, regression_weights: tuple[float, float]) -> bool:
        return self.loss_weight > 0

    @property
    def decode_every(self) -> int:
        """Losses on waveforms at every step: there is nothing to decode."""
        return 1
