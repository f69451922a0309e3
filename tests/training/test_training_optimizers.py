"""Updates: a step that is not finite leaves no trace, and decay is for matrices."""

import pytest
import torch
from torch import nn
from training_parts import identical, optimizer_of, tiny_config, tiny_trainer, weights_of

from config import RunConfig
from training.builder import build_networks
from training.optimizers import DECOUPLED, Updater, build_optimizer
from training.options import OPTIMIZERS


def set_up(optimizer: str = "adamw", max_norm: float = 0.0, **options) -> Updater:
    torch.manual_seed(0)
    config = tiny_config(optimizer=optimizer, **options)
    module = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    return Updater(module, optimizer_for(config, module), max_norm)


def optimizer_for(config: RunConfig, module: nn.Module, lr: float = 1e-3) -> torch.optim.Optimizer:
    return build_optimizer(config.chosen("optimizer"), config.optimizer, module, lr)


def loss_of(updater: Updater, number: int = 0) -> torch.Tensor:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
    return updater.module(x).square().mean()


def spoiled_loss(updater: Updater, kind: str) -> torch.Tensor:
    loss = loss_of(updater)
    if kind == "loss is NaN":
        return loss * torch.tensor(float("nan"))
    if kind == "loss is infinite":
        return loss + torch.tensor(float("inf"))
    # A finite loss, the gradient of which is not: the root's at zero.
    return loss + (0.0 * next(updater.module.parameters())).sum().abs().sqrt()


KINDS = ["loss is NaN", "loss is infinite", "gradient is not finite"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("good_before", [0, 1, 3])
@pytest.mark.parametrize("max_norm", [0.0, 0.5])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_is_not_finite_leaves_no_trace(optimizer, max_norm, good_before, kind):
    updater, untroubled = set_up(optimizer, max_norm), set_up(optimizer, max_norm)
    for number in range(good_before):
        updater(loss_of(updater, number), 1e-2)
        untroubled(loss_of(untroubled, number), 1e-2)
    weights = weights_of(updater.module)
    for count in (1, 2):
        norm = updater(spoiled_loss(updater, kind), 1e-2)
        assert not torch.isfinite(norm)
        assert identical(weights_of(updater.module), weights)
        assert (float(updater.bad), float(updater.bad_in_row)) == (count, count)
    if good_before:
        assert identical(optimizer_of(updater)["state"], optimizer_of(untroubled)["state"])
    for number in (10, 11):  # what follows goes on as if nothing had been
        updater(loss_of(updater, number), 1e-2)
        untroubled(loss_of(untroubled, number), 1e-2)
        assert identical(weights_of(updater.module), weights_of(untroubled.module))
        assert identical(optimizer_of(updater)["state"], optimizer_of(untroubled)["state"])
    assert (float(updater.bad), float(updater.bad_in_row)) == (2, 0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("which", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize(
    "options",
    [
        {"use_creative_agent": True},
        {"use_compositional_agent": True, "disc_spectral_norm": True},
        {"generator": "patch", "width": 16, "discriminator": "conv+spectrogram"},
    ],
    ids=["cascade", "compositional", "patch"],
)
def test_norms_and_biases_do_not_decay(options, which, optimizer):
    config = tiny_config(optimizer=optimizer, weight_decay=0.125, **options)
    module = build_networks(config)[which]
    groups = optimizer_for(config, module).param_groups
    decay = {id(p): group["weight_decay"] + group.get(DECOUPLED, 0) for group in groups for p in group["params"]}
    assert len(decay) == sum(len(group["params"]) for group in groups) == len(list(module.parameters()))
    norms = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if isinstance(part, norms) or name.endswith("bias"):
                assert decay[id(parameter)] == 0.0
            elif isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d):
                assert decay[id(parameter)] == 0.125


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_decay_is_the_same_in_all_optimizers(optimizer):
    """Loshchilov and Hutter 2019: without a gradient, matrices shrink by (1 - lr decay) and nothing else moves. So a
    comparison of optimizers differs in the optimizer alone."""
    updater = set_up(optimizer, weight_decay=0.1)
    before = weights_of(updater.module)
    updater((0 * loss_of(updater)), 0.5)
    for name, weight in weights_of(updater.module).items():
        factor = 1 - 0.5 * 0.1 if weight.ndim == 2 else 1.0
        assert torch.allclose(weight, factor * before[name], atol=1e-7), name


def test_adam_with_decoupled_decay_is_adamw():
    pair = set_up("adam", weight_decay=0.1), set_up("adamw", weight_decay=0.1)
    for number in range(3):
        for updater in pair:
            updater(loss_of(updater, number), 1e-2)
    assert identical(*(weights_of(updater.module) for updater in pair))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_l2_decay_is_a_part_of_the_gradient(optimizer):
    """The same update as without decay, of the loss + decay / 2 |matrices|^2."""
    decayed, oracle = set_up(optimizer, weight_decay=0.1, decay="l2"), set_up(optimizer, weight_decay=0.0)
    for number in range(3):
        decayed(loss_of(decayed, number), 1e-2)
        matrices = [p for p in oracle.module.parameters() if p.ndim == 2]
        oracle(loss_of(oracle, number) + 0.05 * sum(p.square().sum() for p in matrices), 1e-2)
    for name, weight in weights_of(decayed.module).items():
        assert torch.allclose(weight, weights_of(oracle.module)[name], atol=1e-6), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_run_keeps_its_own_settings(optimizer):
    """A checkpoint holds those of the past; weight decay and betas given on resume count."""
    before, after = set_up(optimizer, weight_decay=0.1), set_up(optimizer, weight_decay=0.3, beta1=0.5)
    settings = [{k: v for k, v in group.items() if k != "params"} for group in after.optimizer.param_groups]
    before(loss_of(before), 1e-2)
    after.load(before.optimizer_state(), before.bad, before.bad_in_row)
    assert [{k: v for k, v in g.items() if k != "params"} for g in after.optimizer.param_groups] == settings
    assert identical(after.optimizer_state()["state"], before.optimizer_state()["state"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_equal_the_plain_optimizers(optimizer):
    """The fused update against torch's single-tensor one, learning rates changing from step to step."""
    updater = set_up(optimizer, weight_decay=0.05, beta1=0.8, beta2=0.95)
    oracle = set_up(optimizer).module
    groups = [{**group, "params": []} for group in updater.optimizer.param_groups]
    for group, names in zip(groups, split_names(updater), strict=True):
        group["params"] = [dict(oracle.named_parameters())[name] for name in names]
        group["fused"], group["foreach"] = False, False
    plain = type(updater.optimizer)(groups)
    shrinking = [group for group in groups if group.get(DECOUPLED)]
    for number, lr in enumerate((1e-2, 3e-3, 2e-2)):
        updater(loss_of(updater, number), lr)
        plain.zero_grad()
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number))
        oracle(x).square().mean().backward()
        for group in shrinking:
            for p in group["params"]:
                p.data.mul_(1 - lr * group[DECOUPLED])
        for group in plain.param_groups:
            group["lr"] = lr
        plain.step()
    for name, weight in weights_of(updater.module).items():
        assert torch.allclose(weight, weights_of(oracle)[name], atol=1e-6), name


def split_names(updater: Updater) -> list[list[str]]:
    names = {id(p): name for name, p in updater.module.named_parameters()}
    return [[names[id(p)] for p in group["params"]] for group in updater.optimizer.param_groups]


@pytest.mark.parametrize("max_norm", [0.0, 0.01, 1e6])
def test_clipping_scales_the_whole_gradient(max_norm):
    free, clipped = set_up("sgd", 0.0), set_up("sgd", max_norm)
    norm = float(free(loss_of(free), 1e-2))
    assert float(clipped(loss_of(clipped), 1e-2)) == pytest.approx(norm)  # the norm returned is that before clipping
    gradients = [p.grad for p in clipped.module.parameters()]
    left = float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())
    assert left == pytest.approx(min(norm, max_norm) if max_norm else norm, rel=1e-4)
    for a, b in zip(free.module.parameters(), clipped.module.parameters(), strict=True):
        assert torch.allclose(a.grad * (left / norm), b.grad, atol=1e-7)


def test_parameters_without_a_gradient_are_left_alone():
    updater = set_up()
    unused = nn.Linear(2, 2)
    module = nn.ModuleList([updater.module, unused])
    both = Updater(module, optimizer_for(tiny_config(), module), 1.0)
    before = weights_of(unused)
    both(loss_of(updater), 1e-2)
    assert identical(weights_of(unused), before)
    assert float(both.bad) == 0


def test_both_networks_have_their_own_rates():
    trainer = tiny_trainer(tiny_config(lr=2e-3, disc_lr=5e-4))
    assert {group["lr"] for group in trainer.update_g.optimizer.param_groups} == {2e-3}
    assert {group["lr"] for group in trainer.update_d.optimizer.param_groups} == {5e-4}


@pytest.mark.parametrize(
    ("name", "kind", "facts"),
    [
        ("adamw", torch.optim.AdamW, {"betas": (0.3, 0.99)}),
        ("adam", torch.optim.Adam, {"betas": (0.3, 0.99)}),
        ("sgd", torch.optim.SGD, {"momentum": 0.3}),
    ],
)
def test_one_choice_of_optimizer_serves_both_networks(name, kind, facts):
    trainer = tiny_trainer(tiny_config(optimizer=name, beta1=0.3, beta2=0.99))
    for updater in (trainer.update_g, trainer.update_d):
        assert type(updater.optimizer) is kind
        for group in updater.optimizer.param_groups:
            assert {fact: group[fact] for fact in facts} == facts
