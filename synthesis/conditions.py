"""Conditions given to networks that take them; see `models.conditions`.

Legend: B samples, K numbers of a condition.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor

from models.conditions import Conditions
from registry import Chosen, Options
from synthesis.labels import Vocabulary

NO_LABELS: Vocabulary = MappingProxyType({})


def noise_level(options: Options, alpha_B: Tensor, labels: Mapping[str, Tensor]) -> Tensor:
    """The noise level alpha of the sample's sources, [B], 0 to 1."""
    return alpha_B


def encoded_labels(options: Options, alpha_B: Tensor, labels: Mapping[str, Tensor], vocabulary: Vocabulary) -> Tensor:
    """All labels of a sample, [B, K]: a categorical one as a one-hot vector, a number scaled to mean 0 and deviation 1
    and followed by a 1. What is missing (NaN, or not among `labels`) is zeros."""
    parts = []
    for name, about in vocabulary.items():
        value_B = labels[name].float() if name in labels else torch.full_like(alpha_B, torch.nan)
        known_B1 = value_B.isfinite()[:, None]
        if "values" in about:
            index_B = value_B.nan_to_num().long().clamp(0, len(about["values"]) - 1)
            shown = torch.nn.functional.one_hot(index_B, len(about["values"])).float()
        else:
            scaled_B = (value_B.nan_to_num() - about["mean"]) / about["std"]
            shown = torch.stack([scaled_B, torch.ones_like(scaled_B)], 1)
        parts.append(shown * known_B1)
    return torch.cat(parts, 1)


def label_width(vocabulary: Vocabulary) -> int:
    """K of `encoded_labels`; 0 without labels."""
    return sum(len(about["values"]) if "values" in about else 2 for about in vocabulary.values())


def guided(make: Callable[[Mapping[str, Tensor]], Tensor], labels: Mapping[str, Tensor], guidance: float) -> Tensor:
    """What `make` gives for labels, emphasised: 1: as the labels say; more: further away from what it gives without
    any (classifier-free guidance, Ho & Salimans 2022, equation 6, with guidance = 1 + w)."""
    made = make(labels)
    return made if guidance == 1 else torch.lerp(make({}), made, guidance)


@dataclass(frozen=True)
class Conditioning:
    """Computes the selected conditions from a sample's noise level and labels; without a selection there are none.

    vocabulary: of the labels, as in `Space.about["labels"]`.
    """

    chosen: Chosen | None = None
    vocabulary: Vocabulary = field(default_factory=lambda: NO_LABELS)

    def __call__(self, alpha: float | Tensor, labels: Mapping[str, Tensor], like_BDT: Tensor) -> Conditions:
        """The conditions of a batch like `like_BDT`; alpha is one number or [B]."""
        if self.chosen is None:
            return {}
        alpha_B = torch.as_tensor(alpha, dtype=torch.float32, device=like_BDT.device).expand(len(like_BDT))
        return {
            part.name: part.load()(options, alpha_B, labels, *self._more(part)) for part, options in self.chosen.members
        }

    @property
    def widths(self) -> dict[str, int]:
        """K of each condition by name."""
        if self.chosen is None:
            return {}
        return {
            part.name: label_width(self.vocabulary) if self._more(part) else part.facts.get("width", 1)
            for part, _ in self.chosen.members
        }

    @property
    def known_labels(self) -> Vocabulary:
        """The labels that a network can be asked for; none if they are not among its conditions."""
        labelled = self.chosen is not None and any(map(self._more, (part for part, _ in self.chosen.members)))
        return self.vocabulary if labelled else NO_LABELS

    @property
    def label_dropout(self) -> float:
        """Share of the samples that are trained without labels."""
        members = self.chosen.members if self.chosen else ()
        return max((getattr(options, "label_dropout", 0.0) for _, options in members), default=0.0)

    def _more(self, part) -> tuple[Vocabulary, ...]:
        return (self.vocabulary,) if part.facts.get("labelled") else ()
