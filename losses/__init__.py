"""Losses and logged metrics, as pure functions.

A new objective or regression is one definition, its options, and one line in `losses/options.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adversarial": ["Objective", "Regulariser", "centring"],
        "waveform": ["envelope_correlation", "log_mel_l1", "multi_resolution_stft"],
        "features": ["feature_matching"],
        "masks": ["complementarity", "mask_balance", "mask_regularisation"],
        "options": ["OBJECTIVES", "RECONSTRUCTION"],
        "penalties": ["exact_penalty", "finite_difference_penalty", "interpolate_penalty"],
    },
)
