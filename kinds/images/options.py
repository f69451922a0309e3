"""Options of images. Nothing here imports torch."""

from kinds.base_options import KindOptions
from registry import opt


class ImagesOptions(KindOptions):
    """images"""

    upscale: int = opt(1, "factor from the small image to the large one: 2, 4, ...", ge=1, le=16, shapes_run=True)
    loss_weight_angle: float = opt(0.0, "weight of the spectral angle, an error of hue, between images", ge=0)

    @property
    def observed(self) -> str | None:
        return "a smaller image" if self.upscale > 1 else None

    @property
    def loss_weight(self) -> float:
        return self.loss_weight_angle

    @property
    def decode_every(self) -> int:
        return 1

    def decodes(self, regression_weights: tuple[float, float]) -> bool:
        return self.loss_weight_angle > 0

    def check(self, config) -> None:
        if self.upscale > 1 and config.curriculum.pure_gan_mode > 0:
            raise ValueError("images are enlarged without noise: leave pure_gan_mode at 0 with --upscale")
        if self.loss_weight_angle > 0 and config.model.encoding_dim < 3:
            raise ValueError("loss_weight_angle compares colours: it needs images of three channels (--encoding_dim 3)")
