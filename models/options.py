"""Generators, discriminators, agents and masks by name, and their options. Nothing here imports torch.

A generator is built as `definition(options, channels)`, a discriminator as `definition(options, channels, final_bias)`;
those with the fact `conditioned` also get `conditions`, the widths of the run's conditions by name, if it has any. An
agent is built as `definition(options, channels)`. A mask is called as
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
        "conv", "discriminator, or several joined by + whose logits are averaged", shapes_run=True
    )

    @property
    def agent(self) -> str | None:
        """The agent's name in `AGENTS`, None without one."""
        chosen = [name for name, used in self._agents().items() if used]
        return chosen[0] if chosen else None

    def _agents(self) -> dict[str, bool]:
        return {"creative": self.use_creative_agent, "compositional": self.use_compositional_agent}

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
    """spectrum"""

    width: int = opt(192, "token width", ge=8, shapes_run=True)
    num_layers: int = opt(4, "transformer blocks per stage", ge=1, shapes_run=True)


class DiscriminatorOptions(Options):
    """discriminator"""

    disc_dropout: float = opt(0.3, "dropout in the discriminator", ge=0, lt=1)
    disc_spectral_norm: bool = opt(False, "spectral norm on the discriminator's layers", shapes_run=True)
    disc_width: int | None = opt(
        None, "base width of the discriminator; default: depends on the discriminator", ge=4, shapes_run=True
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


GENERATORS.add("cascade", "models.cascade_generator:CascadeGenerator.from_options", CascadeOptions)
GENERATORS.add("patch", "models.patch_generator:PatchCascadeGenerator.from_options", PatchOptions, conditioned=True)
GENERATORS.add("spectrum", "audio_codecs.spectrum_decoder:SpectrumDecoder.from_options", SpectrumOptions, decodes=True)

for _name, _class in (("conv", "ConvDiscriminator"), ("spectrogram", "SpectrogramDiscriminator")):
    DISCRIMINATORS.add(_name, f"models.discriminators:{_class}.from_options", DiscriminatorOptions, conditioned=True)

AGENTS.add("creative", "models.agents:CreativeAgent.from_options")
AGENTS.add("compositional", "models.agents:CompositionalAgent.from_options")

MASKS.add(NONE, "models.masks:unmasked")
MASKS.add("temporal", "models.masks:temporal", TemporalOptions, hides=True, uniforms=lambda channels: 1)
MASKS.add("frequency", "models.masks:frequency", SplitOptions, hides=True)
MASKS.add("spectral", "models.masks:spectral", KeepOptions, hides=True, uniforms=lambda channels: channels)
MASKS.add("energy", "models.masks:energy", EnergyOptions, hides=True)
MASKS.add("hybrid", "models.masks:hybrid", HybridOptions, hides=True, uniforms=lambda channels: 1)
