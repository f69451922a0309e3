"""Curriculum: noise level, weights and learning rates as functions of the number of epochs or samples.

A new fade, shape or learning-rate schedule is one definition, its options, and one line in `curriculum/options.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adaptive": ["AdaptiveLevel", "AdaptiveSpeed", "Curriculum"],
        "alpha": ["adapt_alpha", "adapt_speed", "alpha_at", "ease_alpha", "phase_at"],
        "mixing": ["mix_noise", "remix_noise", "sample_std"],
        "options": ["ADAPTATIONS", "DECAYS", "FADES", "SHAPES"],
        "schedules": ["adversarial_ramp", "instance_noise", "is_pretraining", "warmup"],
    },
)
