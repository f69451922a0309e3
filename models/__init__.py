"""Networks: tensors in, tensors out. Generators and discriminators are built by name from the registries below.

build_generator("cascade", channels=128, num_stages=2)
build_discriminator("conv+spectrogram", dropout=0.1, spectrogram={"width": 24})
"""

import inspect
from collections.abc import Callable

from torch import nn

from models.cascade import CascadeGenerator
from models.discriminators import (
    ConvDiscriminator,
    EnsembleDiscriminator,
    MultiScaleDiscriminator,
    SpectrogramDiscriminator,
)
from models.patch_cascade import PatchCascadeGenerator

GENERATORS: dict[str, type[nn.Module]] = {"cascade": CascadeGenerator, "patch": PatchCascadeGenerator}
DISCRIMINATORS: dict[str, type[nn.Module]] = {
    "conv": ConvDiscriminator,
    "multiscale": MultiScaleDiscriminator,
    "spectrogram": SpectrogramDiscriminator,
}


def option_names(build: Callable) -> tuple[str, ...]:
    """Names of the options that a registered class takes."""
    return tuple(inspect.signature(build).parameters)


def build_generator(name: str, **options) -> nn.Module:
    """The generator of that name; forward(input_BDT, target_BDT) -> output_BDT. ValueError: unknown name or option."""
    return _build("generator", GENERATORS, name, options)


def build_discriminator(name: str, **options) -> nn.Module:
    """The discriminator of that name; forward(x_BDT, copies=1, return_features=False) -> logits_B.

    Names joined by `+` make an ensemble ("conv+spectrogram"): options go to every member, and an option named like a
    member is a dict of options for it alone. ValueError: unknown name or option.
    """
    names = name.split("+")
    if len(names) == 1:
        return _build("discriminator", DISCRIMINATORS, name, options)
    if len(set(names)) < len(names):
        raise ValueError(f"discriminator '{name}' names a member twice")
    shared = {key: value for key, value in options.items() if key not in names}
    return EnsembleDiscriminator(
        {member: _build("discriminator", DISCRIMINATORS, member, shared | options.get(member, {})) for member in names}
    )


def _build(kind: str, registry: dict[str, type[nn.Module]], name: str, options: dict) -> nn.Module:
    if name not in registry:
        raise ValueError(f"no {kind} is called '{name}': choose from {', '.join(sorted(registry))}")
    known = option_names(registry[name])
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"{kind} '{name}' has no option {', '.join(unknown)}: it takes {', '.join(known)}")
    return registry[name](**options)
