"""Feature matching: fakes should have similar discriminator features to reals.

Shapes: B batch; a feature is [B, ...], one for each layer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_SILENT_LAYER = 1e-5  # a layer whose mean |activation| is under this is dead; do not divide by it


def feature_matching(real_features: Sequence[Tensor], fake_features: Sequence[Tensor]) -> Tensor:
    """Mean over layers of mean |fake - real| / mean |real|, [B] (Defossez et al. 2022, sec. 3.4: relative, so that no
    layer dominates). Sample i is compared with real i; reals are treated as constants, without gradient.
    """
    assert len(real_features) == len(fake_features) > 0, f"{len(real_features)} and {len(fake_features)} layers"
    return torch.stack([_layer(r, f) for r, f in zip(real_features, fake_features, strict=True)]).mean(0)


def _layer(real: Tensor, fake: Tensor) -> Tensor:
    assert real.shape == fake.shape, f"features {tuple(real.shape)} and {tuple(fake.shape)}"
    real, fake = real.detach().flatten(1), fake.flatten(1)
    return (fake - real).abs().mean(1) / real.abs().mean(1).clamp(min=_SILENT_LAYER)
