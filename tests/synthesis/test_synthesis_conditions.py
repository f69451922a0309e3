"""Conditions: from the noise level and the labels of samples to what networks are given with them."""

import pytest
import torch
from torch import nn

from config import make_config
from kinds.options import CONDITIONS
from models.conditions import conditions_for, repeated, takes_conditions
from models.networks import Generated, GuidedGenerator
from registry import Options, Part, opt
from synthesis.conditions import Conditioning

LIKE = torch.zeros(3, 4, 12)


class ToyOptions(Options):
    """toy"""

    toy_scale: float = opt(2.0, "factor on a label")


def scaled_number(options: ToyOptions, alpha_B, labels):
    return options.toy_scale * labels["number"] + alpha_B


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(CONDITIONS._parts, "toy", Part("toy", scaled_number, ToyOptions))


def conditioning(**options) -> Conditioning:
    return Conditioning(make_config(options).choices.get("conditions"))


def test_without_a_choice_there_is_no_condition():
    assert conditioning()(0.5, {}, LIKE) == {}
    assert conditioning()(torch.tensor([0.1, 0.2, 0.3]), {"number": torch.ones(3)}, LIKE) == {}


def test_the_noise_level_is_one_number_or_one_for_each_sample():
    made = conditioning(conditions="alpha")
    assert made(0.25, {}, LIKE).keys() == {"alpha"}
    assert made(0.25, {}, LIKE)["alpha"].tolist() == [0.25] * 3
    alpha_B = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    value = made(alpha_B, {}, LIKE)["alpha"]
    assert value.dtype == torch.float32 and value.tolist() == [0.0, 0.5, 1.0]


def test_a_joined_choice_gives_each_part_its_options_and_labels(toy):
    made = conditioning(conditions="alpha+toy", toy_scale=3.0)
    values = made(torch.tensor([0.0, 0.5, 1.0]), {"number": torch.tensor([1.0, 2.0, 3.0])}, LIKE)
    assert list(values) == ["alpha", "toy"]
    assert values["toy"].tolist() == [3.0, 6.5, 10.0]


def test_networks_that_take_none_are_called_as_if_there_were_none():
    class Taking(nn.Module):
        takes_conditions = True

    given = {"alpha": torch.ones(2)}
    assert not takes_conditions(nn.Identity()) and conditions_for(nn.Identity(), given) == {}
    assert takes_conditions(Taking()) and conditions_for(Taking(), given) == {"conditions": given}
    assert conditions_for(Taking(), None) == {"conditions": None}


def test_a_guided_generator_hands_conditions_to_its_generator():
    class Taking(nn.Module):
        takes_conditions = True

        def forward(self, a, b, conditions=None):
            return (a + b) * conditions["alpha"][:, None, None]

    network, sources = GuidedGenerator(Taking()), torch.ones(2, 1, 3)
    assert takes_conditions(network)
    made = network(sources, sources, conditions={"alpha": torch.tensor([1.0, 3.0])})
    assert isinstance(made, Generated) and made.output_BDT[:, 0, 0].tolist() == [2.0, 6.0]


def test_conditions_of_copies_are_repeated_in_their_order():
    given = {"alpha": torch.tensor([1.0, 2.0]), "kind": torch.eye(2)}
    twice = repeated(given, 2)
    assert twice["alpha"].tolist() == [1.0, 2.0, 1.0, 2.0]
    assert torch.equal(twice["kind"], torch.cat([torch.eye(2)] * 2))
    assert repeated({}, 3) == {} and repeated(None, 3) is None


# --- labels ----------------------------------------------------------------------------------------------------------

VOCABULARY = {"genre": {"values": ["folk", "jazz", "rock"]}, "tempo": {"mean": 120.0, "std": 20.0}}
NAN = float("nan")


def labelled(**options) -> Conditioning:
    return Conditioning(make_config({"conditions": "alpha+labels"} | options).choices["conditions"], VOCABULARY)


def test_labels_are_one_hot_vectors_and_scaled_numbers():
    labels = {"genre": torch.tensor([1.0, NAN, 2.0]), "tempo": torch.tensor([140.0, 120.0, NAN])}
    values = labelled()(0.5, labels, LIKE)["labels"]
    assert values.tolist() == [[0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 1, 0, 0]]


def test_labels_that_are_not_given_are_zeros():
    assert not labelled()(0.5, {}, LIKE)["labels"].any()
    assert labelled()(0.5, {"tempo": torch.full((3,), 100.0)}, LIKE)["labels"].tolist() == [[0, 0, 0, -1, 1]] * 3


def test_widths_and_what_can_be_asked_for():
    assert labelled().widths == {"alpha": 1, "labels": 5} and labelled().known_labels == VOCABULARY
    only_alpha = Conditioning(make_config({"conditions": "alpha"}).choices["conditions"], VOCABULARY)
    assert only_alpha.widths == {"alpha": 1} and only_alpha.known_labels == {}
    assert Conditioning().widths == {} and Conditioning().known_labels == {}
    assert labelled(label_dropout=0.25).label_dropout == 0.25 and only_alpha.label_dropout == 0.0
