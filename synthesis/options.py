"""Options of the noise and of sampling. Nothing here imports torch."""

from registry import Options, opt


class SamplingOptions(Options):
    """sampling"""

    passes: int = opt(
        1, "sampling steps from noise to data; more than 1 needs easy_share and unity_test", ge=1, le=1000
    )
    offset_noise: float = opt(
        0.0, "offset noise: share of the noise that is constant over a sample; samples become more varied", ge=0, lt=1
    )
    offset_seconds: float = opt(
        0.0, "let that share vary slowly, with this correlation time (decay by e); 0 = constant", ge=0
    )

    def check(self, config) -> None:
        in_distribution = config.data.unity_test and config.curriculum.easy_share > 0
        masked = config.chosen("mask_type").part.facts.get("hides", False)
        if self.passes > 1 and (masked or not in_distribution):
            raise ValueError(f"passes {self.passes} needs unity_test, easy_share over 0 and no mask_type, or must be 1")
        if self.offset_seconds > 0 and self.offset_noise == 0:
            raise ValueError("offset_seconds needs offset_noise over 0: it is the correlation time of that noise")
