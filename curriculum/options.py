"""Schedules by name, and the options of the curriculum. Nothing here imports torch.

A fade is called as `definition(alpha)` (a number or [B]) and gives what is left of a weight of 1; a shape as
`definition(share)`, from 0 to 1. A learning-rate schedule is built as `definition(options, network)`, network "g" or
"d"; see `curriculum.schedules.Rate`.
"""

from registry import Options, Registry, opt

FADES = Registry("fade")
SHAPES = Registry("shape")
DECAYS = Registry("learning-rate schedule")


class CurriculumOptions(Options):
    """curriculum"""

    pure_gan_mode: float = opt(0.0, "noise added per epoch: alpha grows by this; 0 = no curriculum", ge=0)
    gan_curriculum_start_epoch: int = opt(1, "first epoch with noise, from 1 (0 means the same)", ge=0)
    gan_noise_ceiling: float = opt(1.0, "alpha never passes this", ge=0, le=1)
    easy_share: float = opt(
        0.0, "share of samples whose alpha is drawn evenly from 0 to the schedule's, to the end", ge=0, le=1
    )
    adaptive_alpha: bool = opt(False, "validation slows the curriculum (x 0.9) or speeds it up (x 1.1)")
    adaptive_alpha_threshold: float | None = opt(
        None, "validation loss that slows it; default: half as much again as when noise began", gt=0
    )
    adaptive_alpha_floor: float = opt(0.0, "alpha is at least this once noise has begun", ge=0, le=1)

    def check(self, config) -> None:
        if self.adaptive_alpha and self.pure_gan_mode == 0:
            raise ValueError("adaptive_alpha needs a curriculum: give --pure_gan_mode as well")
        for name in ("adaptive_alpha_threshold", "adaptive_alpha_floor"):
            if not self.adaptive_alpha and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} needs --adaptive_alpha")


class RateOptions(Options):
    """learning-rate schedules"""

    lr_schedule: str = DECAYS.choice("constant", "learning rates after their warm-up")
    g_warmup_steps: int = opt(0, "steps over which the generator's learning rate rises", ge=0)
    d_warmup_steps: int = opt(0, "steps over which the discriminator's learning rate rises", ge=0)
    warmup_shape: str = SHAPES.choice("linear", "shape of the warm-ups")


class WeightOptions(Options):
    """weights over a run"""

    recon_fade: str = FADES.choice("off", "what is left of the regression at a sample's alpha")
    gan_fade: str = FADES.choice("off", "weight of a sample in the adversarial losses at its alpha")
    g_pretrain_steps: int = opt(0, "steps before the discriminator joins", ge=0)
    adv_ramp_steps: int = opt(0, "steps over which gan_weight rises once it has joined", ge=0)
    adv_ramp_shape: str = SHAPES.choice("linear", "shape of that rise")
    instance_noise_std: float = opt(0.0, "noise on all that the discriminator sees, in standard deviations", ge=0)
    instance_noise_decay: float = opt(1.0, "factor on instance noise per epoch, step by step", gt=0, le=1)

    def check(self, config) -> None:
        fade = config.chosen("gan_fade").part.facts
        if fade.get("fades") and config.curriculum.easy_share == 0:
            raise ValueError(f"gan_fade {self.gan_fade} needs easy_share over 0: in full noise no other sample counts")
        if fade.get("needs_noise") and config.curriculum.pure_gan_mode == 0:
            raise ValueError(f"gan_fade {self.gan_fade} needs pure_gan_mode over 0: without noise no sample counts")


class PlateauOptions(Options):
    """reduce on plateau"""

    plateau_metric: str = opt(
        "current", "the validation figure that the generator's rate waits for: current, clean, ceiling or d_loss"
    )
    disc_plateau_metric: str = opt("d_loss", "the figure that the discriminator's rate waits for")
    plateau_factor: float = opt(0.5, "factor on a learning rate where its figure stands still", gt=0, lt=1)
    plateau_patience: int = opt(10, "validations without improvement before a reduction", ge=0)

    def metric(self, network: str) -> str:
        """The figure that a network's rate waits for; network "g" or "d"."""
        return {"g": self.plateau_metric, "d": self.disc_plateau_metric}[network]

    def check(self, config) -> None:
        known = ("current", "clean", "ceiling", "d_loss")
        for name in ("plateau_metric", "disc_plateau_metric"):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"--{name} {value} is not possible: it must be one of {', '.join(known)}")
            if value == "ceiling" and config.curriculum.pure_gan_mode == 0:
                raise ValueError(f"{name} ceiling needs a curriculum: give --pure_gan_mode as well")


FADES.add("off", "curriculum.pure_gan:no_fade")
FADES.add("linear", "curriculum.pure_gan:linear_fade", fades=True)
FADES.add("known", "curriculum.pure_gan:known_fade", fades=True)
FADES.add("between", "curriculum.pure_gan:between_fade", fades=True, needs_noise=True)

SHAPES.add("linear", "curriculum.schedules:linear")
SHAPES.add("cosine", "curriculum.schedules:cosine")

DECAYS.add("constant", "curriculum.schedules:ConstantRate")
DECAYS.add("cosine", "curriculum.schedules:CosineRate")
DECAYS.add("plateau", "curriculum.schedules:PlateauRate", PlateauOptions)
