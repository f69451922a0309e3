"""EMA (exponential moving average) of a module's weights, for validation and generation.

The EMA is a separate copy; its weights are never swapped into the live module. So the live weights are always in place,
whatever exception, checkpoint or optimizer step occurs, and a wrapper such as DDP never sees the EMA. It costs one more
copy of the weights, without gradients or optimizer state.
"""

import copy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average whose half-life is counted in samples, so that it does not depend on the batch size.

    average = beta * average + (1 - beta) * live, beta = 0.5 ** (batch / min(halflife, samples_seen * rampup))
    (Karras et al. 2020, 2022: StyleGAN2-ADA and EDM training loops). The ramp-up shortens the half-life early in
    training, to a share `rampup` of the samples seen so far, so that the first weights are soon forgotten.

    module    is copied, in evaluation mode and without gradients, to `.module`, ready for use. Buffers are copied
              from the live module.
    halflife  samples, > 0. rampup: share of the samples seen, > 0, or None for a constant half-life.
    Raises ValueError for values out of range.
    """

    def __init__(self, module: nn.Module, halflife: float, rampup: float | None = 0.05):
        if halflife <= 0 or (rampup is not None and rampup <= 0):
            raise ValueError(f"halflife ({halflife}) and rampup ({rampup}) must be positive")
        self.halflife, self.rampup = halflife, rampup
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self._averaged, self._live, self._live_tensors = _tensors(self.module), module, _tensors(module)

    def beta(self, samples_seen: int, batch: int) -> float:
        """Weight of the old average in an update after a step of `batch` samples (of all ranks)."""
        halflife = self.halflife
        if self.rampup is not None:
            halflife = min(halflife, samples_seen * self.rampup)
        return 0.5 ** (batch / max(halflife, 1e-8))

    @torch.no_grad()
    def update(self, live: nn.Module, samples_seen: int, batch: int) -> None:
        """Updates the EMA after a step. samples_seen: in all of training, before or after the step."""
        if live is not self._live:
            self._live, self._live_tensors = live, _tensors(live)
        (parameters, buffers), (live_parameters, live_buffers) = self._averaged, self._live_tensors
        assert len(parameters) == len(live_parameters)
        torch._foreach_lerp_(parameters, live_parameters, 1.0 - self.beta(samples_seen, batch))
        for buffer, live_buffer in zip(buffers, live_buffers, strict=True):
            buffer.copy_(live_buffer)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged module's own state, loadable into a module of the same shape."""
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.module.load_state_dict(state)


def _tensors(module: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters and buffers, listed once: collecting them takes as long as averaging the weights."""
    return list(module.parameters()), list(module.buffers())
