"""Shapes: B batch."""

import math

import pytest
import torch
from torch.nn import functional as F

from config import make_config
from errors import UserError
from losses.adversarial import Objective, centring
from losses.options import OBJECTIVES
from training.step_metrics import discriminator_metrics

REAL_B = torch.tensor([2.0, -1.0, 0.0, 0.3], dtype=torch.float64)
FAKE_B = torch.tensor([-3.0, 0.5, 0.0, 1.7], dtype=torch.float64)


def built(name: str, **options) -> Objective:
    part = OBJECTIVES[name]
    return part.load()(part.options(**options))


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
    objective = built(name)
    for ours, formula in zip((objective.discriminator, objective.generator), FORMULAS[name], strict=True):
        expected_B = torch.tensor([formula(x, y) for x, y in pairs], dtype=torch.float64)
        torch.testing.assert_close(ours(REAL_B, FAKE_B), expected_B)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients(name):
    real_B, fake_B = (t[[0, 1, 3]].clone().requires_grad_() for t in (REAL_B, FAKE_B))
    assert torch.autograd.gradcheck(built(name).discriminator, (real_B, fake_B))
    assert torch.autograd.gradcheck(built(name).generator, (real_B, fake_B))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_d_wants_reals_high_and_g_wants_fakes_high(name):
    zeros_B = torch.zeros(3)
    real_B, fake_B = zeros_B.clone().requires_grad_(), zeros_B.clone().requires_grad_()
    built(name).discriminator(real_B, fake_B).sum().backward()
    assert (real_B.grad < 0).all() and (fake_B.grad >= 0).all()
    fake_B.grad = None
    built(name).generator(zeros_B, fake_B).sum().backward()
    assert (fake_B.grad < 0).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_needs_real_is_true_where_the_loss_of_g_depends_on_reals(name):
    objective = built(name)
    depends = not torch.equal(objective.generator(REAL_B, FAKE_B), objective.generator(REAL_B + 1, FAKE_B))
    assert depends == objective.needs_real_in_generator
    if objective.needs_real_in_generator:
        with pytest.raises(AssertionError, match="both"):
            objective.generator(None, FAKE_B)
    else:
        assert objective.generator(None, FAKE_B).shape == FAKE_B.shape


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in OBJECTIVES if name != "wgan-gp"] + [("lsgan", {"label_smoothing": 0.9})],
)
def test_the_baseline_is_the_best_a_constant_can_do(name, options):
    objective = built(name, **options)
    constant_B = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    best = objective.discriminator(constant_B, constant_B).min().item()
    assert best == pytest.approx(objective.baseline, abs=1e-6)


def test_the_baseline_of_the_critic_is_a_gap_of_zero():
    critic = built("wgan-gp")
    assert critic.discriminator(REAL_B, REAL_B).tolist() == [critic.baseline] * 4 == [0.0] * 4


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_last_bias_is_held_where_a_common_shift_of_the_logits_changes_the_objective(name):
    """And `compares_pairs` says the same: what does not see a shift has only pairs to go by."""
    objective = built(name)

    def values(shift):
        """Of both losses, with the gradients that the networks learn from."""
        real_B, fake_B = ((t + shift).requires_grad_() for t in (REAL_B, FAKE_B))
        d_loss_B = objective.discriminator(real_B, fake_B)
        g_loss_B = objective.generator(real_B.detach(), fake_B)
        return (
            d_loss_B,
            *torch.autograd.grad(d_loss_B.sum(), (real_B, fake_B)),
            torch.autograd.grad(g_loss_B.sum(), fake_B)[0],
        )

    changes = any(not torch.allclose(before, after) for before, after in zip(values(0.0), values(5.0), strict=True))
    assert OBJECTIVES[name].facts["final_bias"] == changes == (not objective.compares_pairs)


@pytest.mark.parametrize(
    ("name", "options"),
    [("bce", {}), ("bce", {"label_smoothing": 0.9}), ("lsgan", {}), ("lsgan", {"label_smoothing": 0.9}), ("hinge", {})],
)
def test_undecided_is_what_the_best_constant_logit_says(name, options):
    """A probability is the logit through a sigmoid, or for lsgan the logit itself; hinge has many best constants, the
    boundary among them."""
    objective = built(name, **options)
    constant_B = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    loss_B = objective.discriminator(constant_B, constant_B)
    best = constant_B[loss_B <= loss_B.min() + 1e-12]
    said = objective.probability(best)
    assert said.min() - 1e-4 <= objective.undecided <= said.max() + 1e-4
    assert name == "hinge" or said.tolist() == pytest.approx([objective.undecided] * len(said), abs=1e-3)


def test_smoothed_labels_move_what_an_undecided_discriminator_says():
    assert built("bce").undecided == 0.5 and built("bce", label_smoothing=0.8).undecided == pytest.approx(0.4)
    assert built("lsgan", label_smoothing=0.8).undecided == pytest.approx(0.4)
    assert built("lsgan").boundary == 0.5 and built("lsgan", label_smoothing=0.8).boundary == pytest.approx(0.4)
    assert built("lsgan", label_smoothing=0.8).baseline == pytest.approx(0.32)
    assert built("bce", label_smoothing=0.8).boundary == 0.0
    assert [built(name).undecided for name in ("hinge", "wgan-gp", "rpgan")] == [0.5] * 3


def test_probabilities_are_on_the_objectives_own_scale():
    """A perfect discriminator of lsgan outputs 1 and 0, which no sigmoid gives."""
    logits_B = torch.tensor([1.0, 0.0, 0.25, 1.7, -0.4], dtype=torch.float64)
    assert built("lsgan").probability(logits_B).tolist() == [1.0, 0.0, 0.25, 1.0, 0.0]
    for name in ("bce", "hinge", "rpgan", "wgan-gp"):
        torch.testing.assert_close(built(name).probability(logits_B), 1 / (1 + (-logits_B).exp()))
    one_B = torch.ones(2)
    metrics = discriminator_metrics(one_B, 0 * one_B, one_B, built("lsgan"))
    assert (metrics["d/real_prob"], metrics["d/fake_prob"], metrics["d/accuracy"]) == (1.0, 0.0, 1.0)


def test_smoothed_bce_equals_binary_cross_entropy_with_soft_labels():
    loss_B = built("bce", label_smoothing=0.9).discriminator(REAL_B, FAKE_B)
    on_real_B = F.binary_cross_entropy_with_logits(REAL_B, torch.full_like(REAL_B, 0.9), reduction="none")
    on_fake_B = F.binary_cross_entropy_with_logits(FAKE_B, torch.zeros_like(FAKE_B), reduction="none")
    torch.testing.assert_close(loss_B, (on_real_B + on_fake_B) / 2)


@pytest.mark.parametrize(("name", "best"), [("bce", math.log(0.9 / 0.1)), ("lsgan", 0.9)])
def test_smoothing_is_one_sided(name, best):
    smoothed, plain = built(name, label_smoothing=0.9), built(name)
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
    ("options", "words"),
    [
        ({"gan_loss": "wgan"}, "wgan .* 'wgan-gp' or 'rpgan'"),
        ({"gan_loss": "bce+hinge"}, "bce.hinge"),
        ({"gan_loss": "hinge", "label_smoothing": 0.9}, "--gan_loss bce or lsgan, not of hinge"),
        ({"gan_loss": "hinge", "centring_weight": 0.1}, "--gan_loss wgan-gp or rpgan, not of hinge"),
        ({"gan_loss": "rpgan", "gp_weight": 1.0}, "--gan_loss wgan-gp, not of rpgan"),
        ({"label_smoothing": 0.3}, "label_smoothing 0.3 .* greater than 0.5"),
        ({"label_smoothing": 1.2}, "label_smoothing 1.2 .* less than or equal to 1"),
        ({"gan_loss": "wgan-gp", "gp_weight": -1.0}, "gp_weight -1.0"),
        ({"gan_loss": "rpgan", "centring_weight": -1.0}, "centring_weight -1.0"),
    ],
)
def test_wrong_choices_are_the_users_errors(options, words):
    with pytest.raises(UserError, match=words):
        make_config(options)


def test_shapes_are_not_broadcast():
    with pytest.raises(AssertionError):
        built("rpgan").discriminator(torch.zeros(4), torch.zeros(4, 1))


def test_half_precision_logits_give_float32_losses():
    loss_B = built("bce").discriminator(torch.full((1,), 12.0).bfloat16(), torch.full((1,), -12.0).bfloat16())
    assert loss_B.dtype == torch.float32
    assert loss_B.item() == pytest.approx(math.log1p(math.exp(-12)), rel=1e-4)


def test_a_new_objective_is_one_line():
    def loss(real_B, fake_B):
        return fake_B

    OBJECTIVES.add("mine", lambda options: Objective(loss, loss), final_bias=True)
    try:
        assert make_config({"gan_loss": "mine"}).chosen("gan_loss").build().discriminator is loss
    finally:
        OBJECTIVES._parts.pop("mine")


def test_centring_is_the_mean_squared_logit():
    torch.testing.assert_close(centring(REAL_B, FAKE_B).mean(), torch.cat([REAL_B, FAKE_B]).square().mean())
