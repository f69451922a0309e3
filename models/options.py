"""Generators, discriminators, agents and masks by name, and their options. Nothing here imports torch.

A generator is built as `definition(options, channels)`, a discriminator as `definition(options, channels, final_bias)`,
an agent as `definition(options, channels)`. Networks with the fact `needs_shape` also get `shape=`, that of a sample,
those with the fact `conditioned` get `conditions=`, the widths of the run's conditions by name, if it has any.
Discriminators with the fact `of_generator` also get `generator=`, the network whose blocks they use; it has the fact
`gives_features`. Further facts: `axes`, the numbers of axes of a sample that a network takes (without it: any);
`noise_size(options)`, for a generator that starts from a vector of that many numbers of noise; `starts_from`, for one
that starts from something else that a kind of data computes (see `kinds.base_options.KindOptions.observed`); `makes`,
for one that makes something else than samples as most kinds hold them, and `of`, for a discriminator of nothing but
that (see `kinds.base_options.KindOptions.makes`).

A classifier is built as `definition(options, columns, shape)`: the number of categories of each column of labels by its
name, and the shape of a sample. A mask is called as
`definition(options, input_BDT, target_BDT, uniform_BK)`; its facts are `hides` (it masks something) and `uniforms` (the
number K of uniform numbers that it uses).
"""

from typing import Literal

from pydantic import model_validator

from registry import NONE, Options, Registry, opt

GENERATORS = Registry("generator")
DISCRIMINATORS = Registry("discriminator", joinable=True)
AGENTS = Registry("agent")
MASKS = Registry("mask")
CLASSIFIERS = Registry("classifier")


class ModelOptions(Options):
    """networks"""

    generator: str = GENERATORS.choice(
        "cascade", "generator; cascade: the baseline; patch: tokens of several frames", shapes_run=True
    )
    encoding_dim: int = opt(128, "latent channels; must match the codec", ge=1, shapes_run=True)
    ema_samples: float = opt(10_000.0, "half-life of the generator's EMA weights, in samples", gt=0)
    use_creative_agent: bool = opt(False, "learned masks on the generator's two inputs", shapes_run=True)
    use_compositional_agent: bool = opt(
        False, "learned mix of rhythm, harmony and timbre of the two inputs", shapes_run=True
    )
    mask_type: str = MASKS.choice(NONE, "fixed, complementary masks on the generator's two inputs")
    discriminator: str = DISCRIMINATORS.choice(
        "conv", "discriminator, or several joined by + whose logits are averaged", shapes_run=True, needs="gan_weight"
    )
    classifier: str = CLASSIFIERS.choice(
        NONE, "auxiliary classifier: learns the labels of real samples, tells those of generated ones", shapes_run=True
    )

    @property
    def agent(self) -> str | None:
        """The agent's name in `AGENTS`, None without one."""
        chosen = [name for name, used in self._agents().items() if used]
        return chosen[0] if chosen else None

    def _agents(self) -> dict[str, bool]:
        return {"creative": self.use_creative_agent, "compositional": self.use_compositional_agent}

    def check(self, config) -> None:
        chosen = config.chosen("generator")
        if "noise_size" not in chosen.part.facts:
            return
        used = {
            "pure_gan_mode": config.curriculum.pure_gan_mode > 0,
            "passes": config.sampling.passes > 1,
            "offset_noise": config.sampling.offset_noise > 0,
            "noise_channels": config.sampling.channels is not None,
            "mask_type": self.mask_type != NONE,
            "the agents": self.agent is not None,
        }
        names = [name for name, there in used.items() if there]
        if names:
            raise ValueError(
                f"--generator {chosen.name} starts from noise alone, so {' and '.join(names)} would have no effect: "
                "leave that out"
            )

    @model_validator(mode="after")
    def _one_agent(self) -> "ModelOptions":
        if all(self._agents().values()):
            raise ValueError("use_creative_agent and use_compositional_agent exclude each other: choose one")
        if self.mask_type != NONE and self.agent:
            raise ValueError("mask_type and the agents exclude each other: leave one out")
        return self


class TransformerOptions(Options):
    """transformer"""

    nhead: int = opt(8, "attention heads", ge=1, shapes_run=True)
    num_layers: int = opt(4, "transformer blocks per stage", ge=1, shapes_run=True)
    num_transformer_layers: int = opt(2, "cascade stages", ge=1, shapes_run=True)
    dropout: float = opt(0.1, "dropout in the generator", ge=0, lt=1)


class CascadeOptions(TransformerOptions):
    """cascade"""

    anti_cheating: float = opt(0.0, "noise on the inputs of attention, in units of their std, in training only", ge=0)

    def check(self, config) -> None:
        width = 2 * config.model.encoding_dim
        if width % self.nhead:
            raise ValueError(f"nhead {self.nhead} must divide 2 x encoding_dim ({width})")


# What `--size` stands for: patch generators of 2.6, 6.8, 31 and 112 million parameters at 128 latent channels.
_ONE_STAGE = {"generator": "patch", "num_transformer_layers": 1}
SIZES = {
    "tiny": _ONE_STAGE | {"width": 192, "nhead": 6, "num_layers": 4},
    "small": _ONE_STAGE | {"width": 256, "nhead": 8, "num_layers": 7},
    "base": _ONE_STAGE | {"width": 512, "nhead": 8, "num_layers": 9},
    "large": _ONE_STAGE | {"width": 768, "nhead": 12, "num_layers": 15},
}


class PatchOptions(TransformerOptions):
    """patch"""

    size: Literal["tiny", "small", "base", "large"] | None = opt(
        None, "one stage of 2.6, 6.8, 31 or 112 million parameters: sets width, nhead and num_layers"
    )
    width: int = opt(192, "token width", ge=8, shapes_run=True)
    patch_frames: int = opt(2, "latent frames per token", ge=1, shapes_run=True)
    precondition: bool = opt(
        False, "scale the output added to the inputs' mean by the inputs' distance, at most 1", shapes_run=True
    )
    refine_channels: int = opt(
        0, "channels of the convolutions over bands and frames behind the last stage; 0 = none", ge=0, shapes_run=True
    )
    clip_statistics: bool = opt(True, "statistics of the clip scale and shift the norms", shapes_run=True)

    def check(self, config) -> None:
        if not (self.clip_statistics or config.data.conditions):
            raise ValueError("clip_statistics no needs --conditions alpha, which tells the network the noise level")

    @model_validator(mode="after")
    def _even_heads(self) -> "PatchOptions":
        if self.width % (2 * self.nhead):
            raise ValueError(f"width {self.width} must be a multiple of 2 x nhead ({2 * self.nhead})")
        return self


class SpectrumOptions(Options):
    """spectrum, vocoder"""

    width: int = opt(192, "token width", ge=8, shapes_run=True)
    num_layers: int = opt(4, "transformer blocks per stage", ge=1, shapes_run=True)


class DcganOptions(Options):
    """dcgan"""

    noise_size: int = opt(100, "numbers in the noise vector that the generator starts from", ge=1, shapes_run=True)
    gen_width: int = opt(64, "channels of the generator's last hidden layer; earlier ones: more", ge=4, shapes_run=True)
    output_limit: float = opt(
        1.0, "bound on the generator's output, in standard deviations for audio; images: 1", gt=0, shapes_run=True
    )


class SuperResolutionOptions(Options):
    """super_resolution"""

    upscale: int = opt(1, "factor from the small image to the large one: 2, 4, ...", ge=1, le=16, shapes_run=True)
    blocks: int = opt(6, "residual blocks", ge=1, shapes_run=True)
    block_width: int = opt(32, "channels of the residual blocks", ge=4, shapes_run=True)

    def check(self, config) -> None:
        if self.upscale < 2 or self.upscale & (self.upscale - 1):
            raise ValueError(f"upscale {self.upscale} is not possible: it must be 2, 4, 8 or 16")


class DiscriminatorOptions(Options):
    """discriminator"""

    disc_dropout: float = opt(0.3, "dropout in the discriminator", ge=0, lt=1, needs="gan_weight")
    disc_spectral_norm: bool = opt(
        False, "spectral norm on the discriminator's layers", shapes_run=True, needs="gan_weight"
    )
    disc_width: int | None = opt(
        None,
        "base width of the discriminator; default: depends on the discriminator",
        ge=4,
        shapes_run=True,
        needs="gan_weight",
    )


class DenoiserOptions(Options):
    """denoiser"""

    backbone_share: float = opt(
        0.75, "share of the generator's blocks that it consists of", gt=0, le=1, shapes_run=True
    )
    head_width: int = opt(64, "channels of the head on the blocks' features", ge=4, shapes_run=True)

    def check(self, config) -> None:
        generator, objective = config.chosen("generator"), config.chosen("gan_loss")
        if not generator.part.facts.get("gives_features"):
            raise ValueError(
                f"discriminator {config.model.discriminator} is made of the generator's blocks, which --generator "
                f"{generator.name} has not: give --generator patch"
            )
        if objective.part.facts.get("differentiates_twice"):
            raise ValueError(
                f"discriminator {config.model.discriminator} cannot be differentiated twice, as --gan_loss "
                f"{objective.name} needs: give another objective"
            )


class ClassifierOptions(Options):
    """classifier"""

    classifier_width: int = opt(32, "channels of the classifier's first layer", ge=4, shapes_run=True)
    classifier_lr: float = opt(1e-3, "learning rate of the classifier", gt=0)
    classifier_labels: str | None = opt(
        None, "labels to learn, joined by commas; default: all that have two or more categories", shapes_run=True
    )


class TemporalOptions(Options):
    """temporal masks"""

    mask_temporal_segment: int = opt(150, "frames per segment", ge=2)


class SplitOptions(Options):
    """channel split"""

    mask_freq_split: float = opt(0.3, "share of the channels, from the lowest, taken from the input", gt=0, lt=1)


class HybridOptions(TemporalOptions, SplitOptions):
    """temporal masks whose channels are split"""


class KeepOptions(Options):
    """random channels"""

    mask_channel_keep: float = opt(0.5, "share of the channels, drawn at random, taken from the input", gt=0, lt=1)


class EnergyOptions(Options):
    """loud frames"""

    mask_energy_threshold: float = opt(0.7, "frames above this quantile of energy are taken from the input", gt=0, lt=1)


GENERATORS.add("cascade", "models.cascade_generator:CascadeGenerator.from_options", CascadeOptions, axes=(2,))
GENERATORS.add(
    "patch",
    "models.patch_generator:PatchCascadeGenerator.from_options",
    PatchOptions,
    axes=(2,),
    conditioned=True,
    gives_features=True,
)
GENERATORS.add(
    "spectrum",
    "audio_codecs.spectrum_decoder:SpectrumDecoder.from_options",
    SpectrumOptions,
    axes=(2,),
    starts_from="latents",
)
GENERATORS.add(
    "vocoder",
    "audio_codecs.vocoder:Vocoder.from_options",
    SpectrumOptions,
    axes=(2,),
    starts_from="latents",
    makes="waveforms",
)
GENERATORS.add(
    "dcgan",
    "models.dcgan:DcganGenerator.from_options",
    DcganOptions,
    axes=(2, 3),
    needs_shape=True,
    noise_size=lambda options: options.noise_size,
)
GENERATORS.add(
    "super_resolution",
    "models.super_resolution:SuperResolutionGenerator.from_options",
    SuperResolutionOptions,
    axes=(3,),
    starts_from="a smaller image",
)

_OF_LATENTS = {"options": DiscriminatorOptions, "axes": (2,), "conditioned": True}
DISCRIMINATORS.add("conv", "models.discriminators:ConvDiscriminator.from_options", **_OF_LATENTS)
DISCRIMINATORS.add("spectrogram", "models.discriminators:SpectrogramDiscriminator.from_options", **_OF_LATENTS)
DISCRIMINATORS.add(
    "denoiser",
    "models.denoiser_discriminator:DenoiserDiscriminator.from_options",
    DenoiserOptions,
    axes=(2,),
    conditioned=True,
    of_generator=True,
)
DISCRIMINATORS.add(
    "dcgan", "models.dcgan:DcganDiscriminator.from_options", DiscriminatorOptions, axes=(2, 3), needs_shape=True
)

_OF_WAVEFORMS = {"options": DiscriminatorOptions, "axes": (2,), "of": "waveforms"}
DISCRIMINATORS.add(
    "multi_period", "models.waveform_discriminators:MultiPeriodDiscriminator.from_options", **_OF_WAVEFORMS
)
DISCRIMINATORS.add(
    "multi_resolution", "models.waveform_discriminators:MultiResolutionDiscriminator.from_options", **_OF_WAVEFORMS
)

CLASSIFIERS.add(NONE, "models.classifiers:ConvClassifier.from_options")
CLASSIFIERS.add("conv", "models.classifiers:ConvClassifier.from_options", ClassifierOptions)

AGENTS.add("creative", "models.agents:CreativeAgent.from_options")
AGENTS.add("compositional", "models.agents:CompositionalAgent.from_options")

MASKS.add(NONE, "models.masks:unmasked")
MASKS.add("temporal", "models.masks:temporal", TemporalOptions, hides=True, uniforms=lambda channels: 1)
MASKS.add("frequency", "models.masks:frequency", SplitOptions, hides=True)
MASKS.add("spectral", "models.masks:spectral", KeepOptions, hides=True, uniforms=lambda channels: channels)
MASKS.add("energy", "models.masks:energy", EnergyOptions, hides=True)
MASKS.add("hybrid", "models.masks:hybrid", HybridOptions, hides=True, uniforms=lambda channels: 1)
