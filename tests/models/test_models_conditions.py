"""Networks that take conditions get them, the others are called without. B batch, D channels, T frames."""

import pytest
import torch
from torch import nn

from models.conditions import conditions_for, repeated, takes_conditions
from models.discriminators import ConvDiscriminator, EnsembleDiscriminator
from models.networks import GuidedGenerator


class ConditionedDiscriminator(nn.Module):
    """Its logit is the mean of the sample plus the sample's noise level."""

    takes_conditions = True

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, x_BDT, copies=1, return_features=False, conditions=None):
        self.given.append((copies, conditions))
        logits_B = x_BDT.mean(dim=(1, 2)) + (conditions or {}).get("level", 0.0)
        return (logits_B, [x_BDT]) if return_features else logits_B


class ConditionedGenerator(nn.Module):
    takes_conditions = True

    def forward(self, input_BDT, target_BDT, conditions=None):
        level_B = (conditions or {}).get("level", torch.zeros(len(input_BDT)))
        return input_BDT + target_BDT + level_B[:, None, None]


class PlainGenerator(nn.Module):
    def forward(self, input_BDT, target_BDT):
        return input_BDT + target_BDT


def conv() -> ConvDiscriminator:
    torch.manual_seed(0)
    return ConvDiscriminator(channels=4, width=8, dropout=0.0).eval()


CONDITIONS = {"level": torch.tensor([0.0, 0.5, 1.0])}


def test_a_network_takes_conditions_where_it_says_so():
    assert takes_conditions(ConditionedDiscriminator()) and takes_conditions(ConditionedGenerator())
    assert (
        not takes_conditions(conv()) and not takes_conditions(PlainGenerator()) and not takes_conditions(nn.Identity())
    )
    refusing = ConditionedDiscriminator()
    refusing.takes_conditions = False
    assert takes_conditions(refusing) is False


@pytest.mark.parametrize("conditions", [CONDITIONS, {}, None])
def test_keywords_are_empty_for_networks_without_conditions(conditions):
    assert conditions_for(conv(), conditions) == {}
    keywords = conditions_for(ConditionedDiscriminator(), conditions)
    assert list(keywords) == ["conditions"] and keywords["conditions"] is conditions


@pytest.mark.parametrize("times", [1, 2, 3])
def test_conditions_are_repeated_copy_after_copy(times):
    x = torch.randn(3, 4, 5)
    several = repeated(CONDITIONS | {"label": torch.arange(6.0).view(3, 2)}, times)
    assert several["level"].tolist() == [0.0, 0.5, 1.0] * times
    assert several["label"].tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] * times
    network = ConditionedDiscriminator()
    once, joined = network(x, conditions=CONDITIONS), network(torch.cat([x] * times), conditions=several)
    torch.testing.assert_close(joined, torch.cat([once] * times))


def test_no_conditions_repeated_are_none():
    assert repeated(None, 2) is None and repeated({}, 2) == {}


def test_an_ensemble_hands_conditions_to_the_members_that_take_them():
    conditioned, plain = ConditionedDiscriminator(), conv()
    ensemble = EnsembleDiscriminator({"conditioned": conditioned, "conv": plain})
    assert takes_conditions(ensemble)
    x = torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(0))
    expected_B = (x.mean(dim=(1, 2)) + CONDITIONS["level"] + plain(x)) / 2
    torch.testing.assert_close(ensemble(x, **conditions_for(ensemble, CONDITIONS)), expected_B)
    logits_B, features = ensemble(x, return_features=True, conditions=CONDITIONS)
    torch.testing.assert_close(logits_B, expected_B)
    assert len(features) == 1 + 4 and features[0] is x
    torch.testing.assert_close(ensemble(x), expected_B - CONDITIONS["level"] / 2)


def test_an_ensemble_hands_its_copies_on_beside_the_conditions():
    conditioned = ConditionedDiscriminator()
    ensemble = EnsembleDiscriminator({"conditioned": conditioned, "conv": conv()})
    x = torch.randn(3, 4, 16)
    logits = ensemble(torch.cat([x, x]), copies=2, conditions=repeated(CONDITIONS, 2))
    torch.testing.assert_close(logits[:3], logits[3:])
    ((copies, given),) = conditioned.given
    assert copies == 2 and len(given["level"]) == 6


def test_an_ensemble_of_plain_members_takes_no_conditions():
    ensemble = EnsembleDiscriminator({"one": conv(), "other": conv()})
    assert not takes_conditions(ensemble)
    x = torch.randn(3, 4, 16)
    torch.testing.assert_close(ensemble(x, **conditions_for(ensemble, CONDITIONS)), conv()(x))


def test_a_guided_generator_takes_conditions_where_its_generator_does():
    x, y = torch.randn(2, 3, 4, 16)
    for generator, shift_B in ((ConditionedGenerator(), CONDITIONS["level"]), (PlainGenerator(), torch.zeros(3))):
        guided = GuidedGenerator(generator)
        assert takes_conditions(guided) == takes_conditions(generator)
        made = guided(x, y, **conditions_for(guided, CONDITIONS))
        torch.testing.assert_close(made.output_BDT, x + y + shift_B[:, None, None])
        torch.testing.assert_close(guided(x, y).output_BDT, x + y)
