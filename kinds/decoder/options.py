"""Options of decoder training. Nothing here imports torch."""

from kinds.base_options import KindOptions
from registry import opt


class DecoderOptions(KindOptions):
    """decoder"""

    crop_seconds: float = opt(0.0, "train on random crops of this length; 0 = whole clips", ge=0)

    def check(self, config) -> None:
        if config.curriculum.pure_gan_mode > 0:
            raise ValueError("a decoder is trained without noise: leave pure_gan_mode at 0 with --kind decoder")
