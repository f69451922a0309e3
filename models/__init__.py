"""Networks: tensors in, tensors out.

A new generator, discriminator, agent or mask is one definition, its options, and one line in `models/options.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "agents": ["CompositionalAgent", "CreativeAgent"],
        "cascade_generator": ["CascadeGenerator"],
        "conditions": ["Conditions", "conditions_for", "takes_conditions"],
        "discriminators": ["ConvDiscriminator", "EnsembleDiscriminator", "SpectrogramDiscriminator"],
        "ema": ["WeightAverage"],
        "networks": ["Generated", "GuidedGenerator", "build_discriminator", "build_generator"],
        "options": ["AGENTS", "DISCRIMINATORS", "GENERATORS", "MASKS"],
        "patch_generator": ["PatchCascadeGenerator"],
    },
)
