"""Shapes: B batch."""

import math

import pytest
import torch
from torch.nn import functional as F

from errors import UserError
from losses.adversarial import OBJECTIVES, Objective, centring, choose_objective

REAL_B = torch.tensor([2.0, -1.0, 0.0, 0.3], dtype=torch.float64)
FAKE_B = torch.tensor([-3.0, 0.5, 0.0, 1.7], dtype=torch.float64)


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


FORMULAS = {
    "bce": (lambda x, y: -(math.log(sigmoid(x)) + math.log(1 - sigmoid(y))) / 2, lambda x, y: -math.log(sigmoid(y))),
    "hinge": (lambda x, y: max(0, 1 - x) + max(0, 1 + y), lambda x, y: -y),
    "lsgan": (lambda x, y: (x - 1) ** 2 + y**2, lambda x, y: (y - 1) ** 2),
    "wgan-gp": (lambda x, y: y - x, lambda x, y: -y),
    "rpgan": (lambda x, y: -math.log(sigmoid(x - y)), lambda x, y: -math.log(sigmoid(y - x))),
}


def test_every_objective_has_its_formula_here():
    assert set(FORMULAS) == set(OBJECTIVES)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_values_equal_the_formulas(name):
    pairs = list(zip(REAL_B.tolist(), FAKE_B.tolist(), strict=True))
    for ours, formula in zip((OBJECTIVES[name].discriminator, OBJECTIVES[name].generator), FORMULAS[name], strict=True):
        expected_B = torch.tensor([formula(x, y) for x, y in pairs], dtype=torch.float64)
        torch.testing.assert_close(ours(REAL_B, FAKE_B), expected_B)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients(name):
    real_B, fake_B = (t[[0, 1, 3]].clone().requires_grad_() for t in (REAL_B, FAKE_B))
    assert torch.autograd.gradcheck(OBJECTIVES[name].discriminator, (real_B, fake_B))
    assert torch.autograd.gradcheck(OBJECTIVES[name].generator, (real_B, fake_B))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_d_wants_reals_high_and_g_wants_fakes_high(name):
    zeros_B = torch.zeros(3)
    real_B, fake_B = zeros_B.clone().requires_grad_(), zeros_B.clone().requires_grad_()
    OBJECTIVES[name].discriminator(real_B, fake_B).sum().backward()
    assert (real_B.grad < 0).all() and (fake_B.grad >= 0).all()
    fake_B.grad = None
    OBJECTIVES[name].generator(zeros_B, fake_B).sum().backward()
    assert (fake_B.grad < 0).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_needs_real_is_true_where_the_loss_of_g_depends_on_reals(name):
    objective = OBJECTIVES[name]
    depends = not torch.equal(objective.generator(REAL_B, FAKE_B), objective.generator(REAL_B + 1, FAKE_B))
    assert depends == objective.needs_real_in_generator
    if objective.needs_real_in_generator:
        with pytest.raises(AssertionError, match="both"):
            objective.generator(None, FAKE_B)
    else:
        assert objective.generator(None, FAKE_B).shape == FAKE_B.shape


@pytest.mark.parametrize(
    ("name", "smoothing"), [(name, 1.0) for name in OBJECTIVES if name != "wgan-gp"] + [("lsgan", 0.9)]
)
def test_the_baseline_is_the_best_a_constant_can_do(name, smoothing):
    objective = choose_objective(name, smoothing)
    constant_B = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    best = objective.discriminator(constant_B, constant_B).min().item()
    assert best == pytest.approx(objective.baseline, abs=1e-6)


def test_the_baseline_of_the_critic_is_a_gap_of_zero():
    loss_B = OBJECTIVES["wgan-gp"].discriminator(REAL_B, REAL_B)
    assert loss_B.tolist() == [OBJECTIVES["wgan-gp"].baseline] * 4


def test_relativistic_and_wasserstein_do_not_see_a_common_shift():
    for name in ("rpgan", "wgan-gp"):
        loss = OBJECTIVES[name].discriminator
        torch.testing.assert_close(loss(REAL_B + 5, FAKE_B + 5), loss(REAL_B, FAKE_B))


def test_smoothed_bce_equals_binary_cross_entropy_with_soft_labels():
    loss_B = choose_objective("bce", 0.9).discriminator(REAL_B, FAKE_B)
    on_real_B = F.binary_cross_entropy_with_logits(REAL_B, torch.full_like(REAL_B, 0.9), reduction="none")
    on_fake_B = F.binary_cross_entropy_with_logits(FAKE_B, torch.zeros_like(FAKE_B), reduction="none")
    torch.testing.assert_close(loss_B, (on_real_B + on_fake_B) / 2)


@pytest.mark.parametrize(("name", "best"), [("bce", math.log(0.9 / 0.1)), ("lsgan", 0.9)])
def test_smoothing_is_one_sided(name, best):
    smoothed, plain = choose_objective(name, 0.9), OBJECTIVES[name]
    at_best_B = torch.full((1,), best, dtype=torch.float64, requires_grad=True)
    fake_B = torch.full((1,), 0.4, dtype=torch.float64, requires_grad=True)
    smoothed.discriminator(at_best_B, fake_B).sum().backward()
    assert at_best_B.grad.item() == pytest.approx(0, abs=1e-12)  # reals are wanted at the label, not beyond it
    smoothed_gradient = fake_B.grad.clone()
    fake_B.grad = None
    plain.discriminator(at_best_B.detach(), fake_B).sum().backward()
    torch.testing.assert_close(smoothed_gradient, fake_B.grad)
    assert smoothed.generator is plain.generator


@pytest.mark.parametrize(
    ("name", "smoothing", "words"),
    [
        ("wgan", 1.0, "wgan-gp"),
        ("hinge", 0.9, "bce, lsgan"),
        ("bce", 0.3, "out of range"),
        ("bce", 1.2, "out of range"),
    ],
)
def test_wrong_choices_are_the_users_errors(name, smoothing, words):
    with pytest.raises(UserError, match=words):
        choose_objective(name, smoothing)


def test_shapes_are_not_broadcast():
    with pytest.raises(AssertionError):
        OBJECTIVES["rpgan"].discriminator(torch.zeros(4), torch.zeros(4, 1))


def test_half_precision_logits_give_float32_losses():
    loss_B = OBJECTIVES["bce"].discriminator(torch.full((1,), 12.0).bfloat16(), torch.full((1,), -12.0).bfloat16())
    assert loss_B.dtype == torch.float32
    assert loss_B.item() == pytest.approx(math.log1p(math.exp(-12)), rel=1e-4)


def test_a_new_objective_is_one_line():
    def loss(real_B, fake_B):
        return fake_B

    OBJECTIVES["mine"] = Objective(loss, loss)
    try:
        assert choose_objective("mine").discriminator is loss
    finally:
        del OBJECTIVES["mine"]


def test_centring_is_the_mean_squared_logit():
    torch.testing.assert_close(centring(REAL_B, FAKE_B).mean(), torch.cat([REAL_B, FAKE_B]).square().mean())
