"""Schedules by name, and the options of the curriculum. Nothing here imports torch.

A fade is called as `definition(alpha)` (a number or [B]) and returns the factor on a weight; a shape is called as
`definition(share)`, from 0 to 1. A curriculum is built as `definition(options, curriculum_options)`, see
`curriculum.adaptive.Curriculum`. A learning-rate schedule is built as `definition(options, network)`, network "g" or
"d"; see `curriculum.schedules.ConstantRate`.
"""

from typing import Any

from pydantic import TypeAdapter, ValidationError, field_validator

from registry import NONE, Options, Registry, opt

FADES = Registry("fade")
SHAPES = Registry("shape")
DECAYS = Registry("learning-rate schedule")
ADAPTATIONS = Registry("adaptive curriculum")


class CurriculumOptions(Options):
    """curriculum"""

    pure_gan_mode: float = opt(0.0, "noise curriculum: alpha (noise level) grows by this per epoch; 0 = off", ge=0)
    gan_curriculum_start_epoch: int = opt(
        1, "first epoch with noise, counted from 1 (0 means 1)", ge=0, needs="pure_gan_mode"
    )
    gan_noise_ceiling: float = opt(1.0, "largest alpha of the curriculum", ge=0, le=1, needs="pure_gan_mode")
    easy_share: float = opt(
        0.0,
        "share of samples whose alpha is drawn uniformly from 0 to that of the curriculum",
        ge=0,
        le=1,
        needs="pure_gan_mode",
    )
    adaptive_alpha: str = ADAPTATIONS.choice(
        NONE, "validation sets alpha (level, as true) or its growth (speed): x 0.9 or x 1.1", bare="level"
    )

    @field_validator("adaptive_alpha", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """The option was a boolean, and is accepted as one: true stands for `level`."""
        try:
            return "level" if TypeAdapter(bool).validate_python(value) else NONE
        except ValidationError:
            return value

    def check(self, config) -> None:
        if self.adaptive_alpha != NONE and self.pure_gan_mode == 0:
            raise ValueError("adaptive_alpha needs a curriculum: give --pure_gan_mode as well")


class AdaptiveOptions(Options):
    """adaptive curriculum"""

    adaptive_alpha_threshold: float | None = opt(
        None, "validation loss above which alpha is reduced; default: 1.5 x the loss when noise began", gt=0
    )
    adaptive_alpha_floor: float = opt(
        0.0, "smallest alpha once noise has begun; level: 0 stands for pure_gan_mode", ge=0, le=1
    )


class RateOptions(Options):
    """learning-rate schedules"""

    lr_schedule: str = DECAYS.choice("constant", "learning-rate schedule of both networks after warm-up")
    g_warmup_steps: int = opt(0, "steps of learning-rate warm-up of the generator", ge=0)
    d_warmup_steps: int = opt(0, "steps of learning-rate warm-up of the discriminator", ge=0, needs="gan_weight")
    warmup_shape: str = SHAPES.choice(
        "linear", "shape of the learning-rate warm-ups", needs="g_warmup_steps or d_warmup_steps"
    )


class WeightOptions(Options):
    """loss weights over a run"""

    recon_fade: str = FADES.choice(
        "off",
        "factor on a sample's regression loss by its alpha; off: 1; linear: 1 - alpha; "
        "known: k = (1 - alpha)^2 / ((1 - alpha)^2 + alpha^2); between: 4 k (1 - k)",
        needs="pure_gan_mode",
    )
    gan_fade: str = FADES.choice(
        "off", "factor on a sample's adversarial losses by its alpha; values as in recon_fade", needs="gan_weight"
    )
    g_pretrain_steps: int = opt(
        0, "steps of training the generator alone, before the discriminator joins", ge=0, needs="gan_weight"
    )
    adv_ramp_steps: int = opt(0, "steps over which gan_weight rises from 0 after that", ge=0, needs="gan_weight")
    instance_noise_std: float = opt(
        0.0, "standard deviation of noise on the discriminator's inputs", ge=0, needs="gan_weight"
    )
    instance_noise_decay: float = opt(
        1.0, "factor on instance noise per epoch, applied gradually", gt=0, le=1, needs="instance_noise_std"
    )

    def check(self, config) -> None:
        fade = config.chosen("gan_fade").part.facts
        if fade.get("fades") and config.curriculum.easy_share == 0:
            raise ValueError(f"gan_fade {self.gan_fade} needs easy_share over 0: at alpha 1 all weights are 0")
        if fade.get("needs_noise") and config.curriculum.pure_gan_mode == 0:
            raise ValueError(f"gan_fade {self.gan_fade} needs pure_gan_mode over 0: without noise all weights are 0")


# Metrics of a plateau -> whether they depend on alpha: a change of alpha then restarts the count.
PLATEAU_METRICS = {"current": True, "clean": False, "ceiling": False, "d_loss": True, "g_loss": True}


class PlateauOptions(Options):
    """reduce on plateau"""

    plateau_metric: str = opt(
        "current", "validation metric of the generator's learning rate: current, clean, ceiling, d_loss, g_loss"
    )
    disc_plateau_metric: str = opt(
        "d_loss", "validation metric of the discriminator's learning rate", needs="gan_weight"
    )
    plateau_factor: float = opt(0.5, "factor on a learning rate when its metric stops improving", gt=0, lt=1)
    plateau_patience: int = opt(10, "validations without improvement before the learning rate is reduced", ge=0)

    @property
    def measures_g_loss(self) -> bool:
        """Whether a metric is the generator's total loss, which is measured only then."""
        return "g_loss" in (self.plateau_metric, self.disc_plateau_metric)

    def metric(self, network: str) -> str:
        """The metric that a network's learning rate follows; network "g" or "d"."""
        return {"g": self.plateau_metric, "d": self.disc_plateau_metric}[network]

    def check(self, config) -> None:
        for name in ("plateau_metric", "disc_plateau_metric"):
            value = getattr(self, name)
            if value not in PLATEAU_METRICS:
                known = ", ".join(PLATEAU_METRICS)
                raise ValueError(f"--{name} {value} is not possible: it must be one of {known}")
            if value == "g_loss" and config.adversarial.gan_weight == 0:
                raise ValueError(f"{name} g_loss needs gan_weight over 0: without it, it would be current")
            if value == "ceiling" and config.curriculum.pure_gan_mode == 0:
                raise ValueError(f"{name} ceiling needs a curriculum: give --pure_gan_mode as well")


FADES.add("off", "curriculum.fades:no_fade")
FADES.add("linear", "curriculum.fades:linear_fade", fades=True)
FADES.add("known", "curriculum.fades:known_fade", fades=True)
FADES.add("between", "curriculum.fades:between_fade", fades=True, needs_noise=True)

SHAPES.add("linear", "curriculum.schedules:linear")
SHAPES.add("cosine", "curriculum.schedules:cosine")

ADAPTATIONS.add(NONE, "curriculum.adaptive:Curriculum")
ADAPTATIONS.add("level", "curriculum.adaptive:AdaptiveLevel", AdaptiveOptions)
ADAPTATIONS.add("speed", "curriculum.adaptive:AdaptiveSpeed", AdaptiveOptions)

DECAYS.add("constant", "curriculum.schedules:ConstantRate")
DECAYS.add("cosine", "curriculum.schedules:CosineRate")
DECAYS.add("plateau", "curriculum.schedules:PlateauRate", PlateauOptions)
