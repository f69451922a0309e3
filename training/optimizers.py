"""Optimizers, and how a loss becomes an update."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from registry import Chosen, Options
from runtime.checkpoint import plain
from training.options import DecayOptions, OptimizerOptions

Groups = list[dict[str, Any]]
DECOUPLED = "decoupled_decay"  # key of a parameter group


def build_optimizer(chosen: Chosen, options: OptimizerOptions, module: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The selected optimizer of a network, fused; weight decay on matrices only, not on norms and biases."""
    decayed = [p for p in module.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in module.parameters() if p.requires_grad and p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return chosen.build([group for group in groups if group["params"]], lr, (options.beta1, options.beta2))


def adamw(options: Options, groups: Groups, lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


def adam(options: DecayOptions, groups: Groups, lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """With decoupled decay it is `adamw`; with L2 the decay is scaled by Adam's denominator."""
    decoupled = options.decay == "decoupled"
    return torch.optim.Adam(groups, lr=lr, betas=betas, decoupled_weight_decay=decoupled, fused=True)


def sgd(options: DecayOptions, groups: Groups, lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """The first beta is the momentum. Decoupled decay as in SGDW (Loshchilov and Hutter 2019, alg. 1)."""
    if options.decay == "decoupled":
        groups = [group | {"weight_decay": 0.0, DECOUPLED: group["weight_decay"]} for group in groups]
    optimizer = torch.optim.SGD(groups, lr=lr, momentum=betas[0], fused=True)
    optimizer.register_step_pre_hook(_decay)
    if betas[0] > 0:  # torch would leave them uninitialised if the first step is skipped
        for group in groups:
            for p in group["params"]:
                optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    return optimizer


def _decay(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Multiplies weights by 1 - lr decay before a step, unless the step is skipped."""
    taken = 1.0 - getattr(optimizer, "found_inf", 0.0)
    for group in optimizer.param_groups:
        moved = [p for p in group["params"] if p.grad is not None]
        if group.get(DECOUPLED) and moved:
            with torch.no_grad():
                torch._foreach_mul_(moved, 1.0 - group["lr"] * group[DECOUPLED] * taken)


@dataclass
class Updater:
    """Backward, clip, step. A step with a non-finite loss or gradient is skipped, on all ranks alike.

    A rank with a non-finite loss starts its backward pass with infinity; averaging spreads it, so that every rank
    finds the same gradient norm. The fused optimizers skip on the device (`found_inf`), without a host wait.

    Attributes:
        bad: number of skipped updates, on the device.
        bad_in_row: number of skipped updates since the last good one.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    max_norm: float
    bad: Tensor = field(init=False)
    bad_in_row: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._parameters = list(self.module.parameters())  # collecting them takes longer than computing the norm
        device = self._parameters[0].device
        self.bad = torch.zeros((), device=device)
        self.bad_in_row = torch.zeros((), device=device)

    def __call__(self, loss: Tensor, lr: float) -> Tensor:
        """One update at learning rate `lr`. Returns the gradient's norm before clipping."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward(1.0 / torch.isfinite(loss).to(loss.dtype))
        parameters = [p for p in self._parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters], foreach=True)
        found_inf = (~torch.isfinite(norm)).float()
        if self.max_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm, foreach=True)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.grad_scale, self.optimizer.found_inf = None, found_inf
        self.optimizer.step()
        self.bad += found_inf
        self.bad_in_row = (self.bad_in_row + found_inf) * found_inf
        return norm

    def optimizer_state(self) -> dict[str, Any]:
        """Of the optimizer, as tensors and plain types."""
        return plain(self.optimizer.state_dict())

    @torch.no_grad()
    def load(self, optimizer_state: dict[str, Any], bad: Tensor, bad_in_row: Tensor) -> None:
        """Restores the optimizer's state; its settings (betas, weight decay) stay those of this run."""
        settings = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.optimizer.load_state_dict(optimizer_state)
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)
        for p, state in self.optimizer.state.items():
            # The fused optimizers need state tensors with the same memory layout as the weight.
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == p.shape and value.stride() != p.stride():
                    state[name] = torch.empty_like(p).copy_(value)
        self.bad, self.bad_in_row = bad.to(self.bad), bad_in_row.to(self.bad)
