"""The description of a generator's training data that generation needs.

Legend: B samples, D channels, T positions of the last axis (audio: frames); samples of other kinds may have more axes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Space:
    """Description of the tensors of a dataset, and their statistics over its training samples.

    Attributes:
        kind: key in `kinds.options.KINDS`.
        identity: tensors of equal identity are compatible (audio: codec and weights).
        shape: of a training sample, (D, T) for audio.
        rate: positions of the last axis to a unit of length (audio: frames a second).
        about: further facts that the kind needs, plain types.
        mean_D, std_D: statistics per channel.
        noise_scales_K2: standard deviations of normalised training samples, (input, target) each.
        lowest_D, highest_D: range of normalised training samples, per channel; None in checkpoints of early versions.
    """

    kind: str
    identity: str
    shape: tuple[int, ...]
    rate: float
    mean_D: Tensor
    std_D: Tensor
    noise_scales_K2: Tensor
    lowest_D: Tensor | None = None
    highest_D: Tensor | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def label_rows(self) -> Mapping[str, list[float | None]]:
        """Labels of training samples by name, one of each for every row of `noise_scales_K2`, None where missing; empty
        without labels, and in checkpoints of early versions."""
        return self.about.get("label_rows", {})

    @property
    def length(self) -> float:
        """Of a training sample, in the unit of its kind."""
        return self.shape[-1] / self.rate

    def to(self, device: torch.device) -> "Space":
        """A copy with its statistics on a device."""
        return replace(self, mean_D=self.mean_D.to(device), std_D=self.std_D.to(device))

    def normalise(self, x_BDT: Tensor) -> Tensor:
        """Mean 0, standard deviation 1 over the training samples, per channel."""
        mean_D1, std_D1 = (_per_channel(s_D.to(x_BDT.device), x_BDT) for s_D in (self.mean_D, self.std_D))
        return (x_BDT - mean_D1) / std_D1

    def denormalise(self, x_BDT: Tensor) -> Tensor:
        """The inverse of `normalise`, float32."""
        mean_D1, std_D1 = (_per_channel(s_D.to(x_BDT.device), x_BDT) for s_D in (self.mean_D, self.std_D))
        return x_BDT.float() * std_D1 + mean_D1

    def within(self, x_BDT: Tensor) -> Tensor:
        """Normalised samples, clamped to the range of training samples."""
        if self.lowest_D is None or self.highest_D is None:
            return x_BDT
        return x_BDT.clamp(_per_channel(self.lowest_D.to(x_BDT), x_BDT), _per_channel(self.highest_D.to(x_BDT), x_BDT))

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain types."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"shape": list(self.shape)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Space":
        """The inverse of `state_dict`. Raises TypeError or KeyError if the state is invalid."""
        return cls(**(state | {"shape": tuple(state["shape"])}))


def _per_channel(statistic_D: Tensor, x_BDT: Tensor) -> Tensor:
    """[D] -> [D, 1], with one 1 for each further axis of a sample."""
    return statistic_D.view(-1, *[1] * (x_BDT.ndim - 2))


def measure_space(
    samples: Iterable[tuple[np.ndarray, np.ndarray]], mean_D: np.ndarray, std_D: np.ndarray, **facts: Any
) -> Space:
    """The space of a dataset; noise scales and range are those of the given samples (input, target), normalised."""
    ones = [1] * (len(facts["shape"]) - 1)
    mean_D1, std_D1 = (np.asarray(s_D).reshape(-1, *ones) for s_D in (mean_D, std_D))
    scales, lowest_D, highest_D = [], np.full(len(mean_D1), np.inf), np.full(len(mean_D1), -np.inf)
    for pair in samples:
        pair = [(x - mean_D1) / std_D1 for x in pair]
        axes = tuple(range(1, pair[0].ndim))
        scales.append([float(x.std()) for x in pair])
        for x in pair:
            lowest_D, highest_D = np.minimum(lowest_D, x.min(axis=axes)), np.maximum(highest_D, x.max(axis=axes))
    return Space(
        mean_D=torch.from_numpy(np.asarray(mean_D, np.float32)),
        std_D=torch.from_numpy(np.asarray(std_D, np.float32)),
        noise_scales_K2=torch.tensor(scales),
        lowest_D=torch.from_numpy(lowest_D.astype(np.float32)),
        highest_D=torch.from_numpy(highest_D.astype(np.float32)),
        **facts,
    )
