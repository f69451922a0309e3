"""Objectives and regressions by name, and the options of all losses. Nothing here imports torch.

An objective is built as `definition(options) -> losses.adversarial.Objective`. Its fact `final_bias` says whether the
discriminator's last layer has a bias (objectives that depend on differences of logits alone would let it drift), and
`differentiates_twice` that it takes gradients of gradients. A regression is called as
`definition(output, target) -> loss_B`.
"""

from typing import Literal

from registry import Options, Registry, opt

OBJECTIVES = Registry("objective")
RECONSTRUCTION = Registry("regression")


class RegressionOptions(Options):
    """regression (reconstruction)"""

    loss_weight_input: float = opt(0.3, "weight of the regression loss to the clean input", ge=0)
    loss_weight_target: float = opt(0.3, "weight of the regression loss to the clean target", ge=0)
    loss_reconstruction: str = RECONSTRUCTION.choice("rmse", "regression loss")

    @property
    def weights(self) -> tuple[float, float]:
        """Of input and target."""
        return self.loss_weight_input, self.loss_weight_target

    @property
    def shown_weights(self) -> tuple[float, float]:
        """Weights of the validation loss: equal if a run trains without regression loss."""
        return self.weights if sum(self.weights) > 0 else (0.5, 0.5)


class TargetOptions(Options):
    """target of the regression"""

    distil_passes: int = opt(
        0,
        "distillation: regression to what the generator of --init_from makes of the same noise in this many sampling "
        "steps, instead of to the clean clips; 0 = off",
        ge=0,
        le=1000,
        shapes_run=True,
    )
    distil_guidance: float = opt(
        1.0,
        "how much that generator's labels are emphasised (classifier-free guidance); 1 = not",
        ge=0,
        le=100,
        needs="distil_passes",
    )

    def check(self, config) -> None:
        if self.distil_passes == 0:
            return
        if config.curriculum.pure_gan_mode == 0:
            raise ValueError("distil_passes needs pure_gan_mode over 0: without noise there is nothing to imitate")
        follows = hasattr(config.chosen("lr_schedule").options, "plateau_metric")
        if follows or config.chosen("adaptive_alpha").part.options.model_fields:
            raise ValueError(
                "distil_passes does not go with schedules that follow the validation loss (lr_schedule plateau, "
                "adaptive_alpha): that loss compares with the clean clips"
            )
        masked = config.chosen("mask_type").part.facts.get("hides", False)
        if masked or not config.data.unity_test:
            raise ValueError("distil_passes needs unity_test and no mask_type, as sampling in several steps does")
        if "noise_size" in config.chosen("generator").part.facts:
            raise ValueError("distil_passes needs a generator with sampling steps, which one of noise vectors has not")
        if sum(config.regression.weights) == 0:
            raise ValueError("distil_passes needs loss_weight_input or loss_weight_target over 0")

    def remarks(self, config) -> list[str]:
        remarks, chosen = super().remarks(config), config.choices.get("conditions")
        # None yet: the conditions come with `init_from`.
        labelled = chosen is None or any(part.facts.get("labelled") for part, _ in chosen.members)
        if learned_guidance(config) != 1 and "distil_guidance" in config.given and not labelled:
            remarks.append("note: distil_guidance has no effect without labels among the conditions")
        return remarks


def learned_guidance(config) -> float:
    """How much labels were emphasised in what a generator learned to imitate; 1 if it learned from the data."""
    options = config.chosen("loss_reconstruction").options
    return options.distil_guidance if getattr(options, "distil_passes", 0) else 1.0


class MaskLossOptions(Options):
    """losses of learned masks"""

    mask_reg_weight: float = opt(0.1, "creative agent: weight of the loss for complementary, varying masks", ge=0)
    balance_loss_weight: float = opt(5.0, "creative agent: weight of the loss for equal use of both inputs", ge=0)

    def remarks(self, config) -> list[str]:
        fields = type(self).model_fields
        given = [name for name in fields if name in config.given and getattr(self, name) != fields[name].default]
        if given and not config.model.use_creative_agent:
            acts = "acts" if len(given) == 1 else "act"
            return [f"note: {' and '.join(given)} {acts} on learned masks only (--use_creative_agent)"]
        return []


class AdversarialOptions(Options):
    """adversarial training"""

    gan_loss: str = OBJECTIVES.choice(
        "bce", "adversarial objective of both networks", shapes_run=True, needs="gan_weight"
    )
    gan_weight: float = opt(0.15, "weight of the generator's adversarial loss", ge=0)
    r1_weight: float = opt(
        0.0, "R1: gradient penalty on real samples, per unit of length (audio: second)", ge=0, needs="gan_weight"
    )
    r2_weight: float = opt(
        0.0, "R2: gradient penalty on generated samples, per unit of length", ge=0, needs="gan_weight"
    )
    penalty_every: int = opt(
        1,
        "compute R1 and R2 every this many steps, with that many times the weight",
        ge=1,
        needs="r1_weight or r2_weight",
    )
    feature_matching_weight: float = opt(
        0.0, "weight of the feature matching loss of the generator", ge=0, needs="gan_weight"
    )

    def check(self, config) -> None:
        others = sum(config.regression.weights) + config.chosen("kind").options.loss_weight
        if self.gan_weight == 0 and others == 0:
            raise ValueError("gan_weight and every other loss weight are 0: the generator would learn nothing")


class LabelOptions(Options):
    """labels of reals"""

    label_smoothing: float = opt(
        1.0, "one-sided label smoothing: label of real samples; 0.9 is usual", gt=0.5, le=1, needs="gan_weight"
    )


class CentringOptions(Options):
    """objectives that compare logits"""

    centring_weight: float = opt(
        0.0, "weight of the mean squared logit, which keeps logits near 0", ge=0, needs="gan_weight"
    )


class ArcOptions(CentringOptions):
    """adversarial post-training"""

    renoise: float = opt(
        1.0, "real and generated samples get noise of a level drawn uniformly from 0 to this; 0: none", ge=0, le=1
    )
    contrastive_weight: float = opt(
        1.0, "weight of the loss that compares right with shuffled labels, where labels are conditions", ge=0
    )
    adversarial_easy_share: float | None = opt(
        None, "easy_share once the discriminator has joined; default: no other", ge=0, le=1, needs="pure_gan_mode"
    )

    def check(self, config) -> None:
        names = (config.data.conditions or "").split("+")
        if self.renoise > 0 and "alpha" not in names:
            raise ValueError("gan_loss arc needs --conditions alpha, so that both networks know the level of the noise")
        if "noise_size" in config.chosen("generator").part.facts:
            raise ValueError("gan_loss arc compares a sample with the one it was made from: give a generator with such")

    def remarks(self, config) -> list[str]:
        labelled = "labels" in (config.data.conditions or "").split("+")
        if labelled or "contrastive_weight" not in config.given:
            return super().remarks(config)
        return [
            *super().remarks(config),
            "note: contrastive_weight has no effect without labels among the --conditions",
        ]


class WassersteinOptions(CentringOptions):
    """Wasserstein critic"""

    gp_weight: float = opt(10.0, "weight of the gradient penalty on interpolates", ge=0, needs="gan_weight")
    gp_distance: Literal["euclidean", "rms"] = opt(
        "euclidean",
        "distance between samples in which the penalty leads the critic's slope to 1; rms: per element",
        needs="gp_weight",
    )


OBJECTIVES.add("bce", "losses.adversarial:bce", LabelOptions, final_bias=True)
OBJECTIVES.add("hinge", "losses.adversarial:hinge", final_bias=True)
OBJECTIVES.add("lsgan", "losses.adversarial:lsgan", LabelOptions, final_bias=True)
OBJECTIVES.add(
    "wgan-gp", "losses.adversarial:wasserstein", WassersteinOptions, final_bias=False, differentiates_twice=True
)
OBJECTIVES.add("rpgan", "losses.adversarial:relativistic", CentringOptions, final_bias=False)
OBJECTIVES.add("arc", "losses.adversarial:arc", ArcOptions, final_bias=False)

RECONSTRUCTION.add("rmse", "losses.reconstruction:rmse")
for _name in ("l1", "mse", "huber"):
    RECONSTRUCTION.add(_name, f"losses.reconstruction:{_name}", TargetOptions)
