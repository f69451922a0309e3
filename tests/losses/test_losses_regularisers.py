"""Terms of their own that objectives add to the discriminator's loss. B batch, D latent channels, T frames."""

import pytest
import torch
from torch import nn

from config import make_config
from losses.adversarial import Objective, centring
from losses.options import OBJECTIVES
from losses.penalties import interpolate_penalty

REAL_BDT, FAKE_BDT = (
    torch.randn(3, 4, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)
)
UNIFORM_B = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.into, self.out = nn.Conv1d(4, 8, 3, padding=1), nn.Linear(8, 1)
        self.double()

    def forward(self, x_BDT):
        return self.out(torch.tanh(self.into(x_BDT)).mean(dim=2)).squeeze(1)


def built(name: str, **options) -> Objective:
    return make_config({"gan_loss": name} | options).chosen("gan_loss").build()


def measured(objective: Objective, name: str, critic: nn.Module) -> torch.Tensor:
    (own,) = [own for own in objective.regularisers if own.name == name]
    logits = critic(REAL_BDT), critic(FAKE_BDT)
    return own.measure(critic, REAL_BDT, FAKE_BDT, *logits, lambda: UNIFORM_B)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("bce", {}),
        ("hinge", {}),
        ("lsgan", {}),
        ("wgan-gp", {"gp": 10.0, "centring": 0.0}),
        ("rpgan", {"centring": 0.0}),
    ],
)
def test_objectives_have_these_terms_with_these_weights_from_the_start(name, weights):
    found = {own.name: own.weight for own in built(name).regularisers}
    assert found == weights and list(found) == list(weights)


def test_every_objective_is_covered():
    assert list(OBJECTIVES) == ["bce", "hinge", "lsgan", "wgan-gp", "rpgan"]


def test_options_set_the_weights():
    critic = built("wgan-gp", gp_weight=3.0, centring_weight=0.01)
    assert [(own.name, own.weight) for own in critic.regularisers] == [("gp", 3.0), ("centring", 0.01)]
    assert [own.weight for own in built("rpgan", centring_weight=0.02).regularisers] == [0.02]


def test_the_wasserstein_penalty_is_that_of_the_interpolates():
    critic = Critic()
    value_B = measured(built("wgan-gp"), "gp", critic)
    assert value_B.shape == (3,) and (value_B > 0).all()
    torch.testing.assert_close(value_B, interpolate_penalty(critic, REAL_BDT, FAKE_BDT, UNIFORM_B))


def test_the_wasserstein_penalty_of_a_linear_critic_in_closed_form():
    weight_DT = torch.full((4, 10), 0.5, dtype=torch.float64)
    linear = lambda x_BDT: (weight_DT * x_BDT).sum(dim=(1, 2))  # noqa: E731
    for options, scale in (({}, 1.0), ({"gp_distance": "rms"}, 40**0.5)):
        slope = scale * weight_DT.norm().item()
        assert measured(built("wgan-gp", **options), "gp", linear).tolist() == pytest.approx([(slope - 1) ** 2] * 3)


@pytest.mark.parametrize("name", ["wgan-gp", "rpgan"])
def test_centring_is_half_the_sum_of_the_squared_logits(name):
    critic = Critic()
    real_B, fake_B = critic(REAL_BDT), critic(FAKE_BDT)
    value_B = measured(built(name), "centring", critic)
    torch.testing.assert_close(value_B, (real_B**2 + fake_B**2) / 2)
    torch.testing.assert_close(value_B, centring(real_B, fake_B))


@pytest.mark.parametrize(("name", "term"), [("wgan-gp", "gp"), ("wgan-gp", "centring"), ("rpgan", "centring")])
def test_a_term_is_one_value_per_sample_and_teaches_the_critic(name, term):
    critic = Critic()
    value_B = measured(built(name), term, critic)
    (own,) = [own for own in built(name).regularisers if own.name == term]
    for b in range(3):
        one = slice(b, b + 1)
        logits = critic(REAL_BDT[one]), critic(FAKE_BDT[one])
        alone = own.measure(critic, REAL_BDT[one], FAKE_BDT[one], *logits, lambda one=one: UNIFORM_B[one])
        torch.testing.assert_close(alone, value_B[one])
    before = value_B.mean()
    before.backward()
    assert all(p.grad is not None for n, p in critic.named_parameters() if n != "out.bias")
    with torch.no_grad():
        for parameter in critic.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad
    assert measured(built(name), term, critic).mean() < before


def test_only_the_interpolates_need_uniform_numbers():
    """Draws are functions of seed and sample: one that is not needed would cost and change nothing."""
    drawn = []
    critic = Critic()
    for name in ("wgan-gp", "rpgan"):
        for own in built(name).regularisers:
            logits = critic(REAL_BDT), critic(FAKE_BDT)
            own.measure(critic, REAL_BDT, FAKE_BDT, *logits, lambda own=own: drawn.append(own.name) or UNIFORM_B)
    assert drawn == ["gp"]
