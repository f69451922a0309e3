"""Options of the noise and of sampling. Nothing here imports torch."""

from pydantic import field_validator

from registry import Options, opt


def channel_range(text: str) -> tuple[int, int]:
    """Channels FIRST:END, the second not included. Raises ValueError if it is no range."""
    try:
        first, end = map(int, text.split(":"))
    except ValueError:
        first = end = -1
    if not 0 <= first < end:
        raise ValueError("a range FIRST:END, e.g. 0:64 for the lower half of 128")
    return first, end


class SamplingOptions(Options):
    """sampling"""

    passes: int = opt(
        1, "sampling steps from noise to data; more than 1 needs easy_share and unity_test", ge=1, le=1000
    )
    offset_noise: float = opt(
        0.0,
        "offset noise: share of the noise that is constant over a sample; samples become more varied",
        ge=0,
        lt=1,
        needs="pure_gan_mode",
    )
    offset_seconds: float = opt(
        0.0, "let that share vary slowly, with this correlation time (decay by e); 0 = constant", ge=0
    )

    noise_channels: str | None = opt(
        None, "channels FIRST:END that the curriculum mixes noise into, e.g. 0:64; default: all"
    )

    @field_validator("noise_channels")
    @classmethod
    def _range(cls, value: str | None) -> str | None:
        if value is not None:
            channel_range(value)
        return value

    @property
    def channels(self) -> tuple[int, int] | None:
        """The channels with noise, from the first up to (not including) the second; None: all."""
        return None if self.noise_channels is None else channel_range(self.noise_channels)

    def check(self, config) -> None:
        if self.channels is not None and config.curriculum.pure_gan_mode == 0:
            raise ValueError("noise_channels needs a curriculum: give --pure_gan_mode as well")
        if self.channels is not None and self.channels[1] > config.model.encoding_dim:
            raise ValueError(
                f"noise_channels {self.noise_channels} goes past the {config.model.encoding_dim} channels "
                "(--encoding_dim)"
            )
        in_distribution = config.data.unity_test and config.curriculum.easy_share > 0
        masked = config.chosen("mask_type").part.facts.get("hides", False)
        if self.passes > 1 and (masked or not in_distribution):
            raise ValueError(f"passes {self.passes} needs unity_test, easy_share over 0 and no mask_type, or must be 1")
        if self.offset_seconds > 0 and self.offset_noise == 0:
            raise ValueError("offset_seconds needs offset_noise over 0: it is the correlation time of that noise")
