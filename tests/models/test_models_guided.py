"""The networks of a run as they are built from what was chosen. B batch, D channels, T frames."""

import pytest
import torch

from config import make_config
from models.agents import CompositionalAgent, CreativeAgent
from models.conditions import conditions_for, takes_conditions
from models.discriminators import ConvDiscriminator, EnsembleDiscriminator
from models.networks import GuidedGenerator, build_discriminator, build_generator

CHANNELS = 8
TINY = {"encoding_dim": CHANNELS, "nhead": 2, "num_layers": 1, "dropout": 0.0, "disc_width": 8}
SIDES = ("generator", "discriminator")


def built(side: str, seed: int, **options) -> torch.nn.Module:
    config = make_config(TINY | options)
    if side == "generator":
        return build_generator(config.chosen("generator"), config.model.agent, CHANNELS, seed)
    return build_discriminator(config.chosen("discriminator"), CHANNELS, True, seed)


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def sources(batch: int = 2, frames: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, batch, CHANNELS, frames, generator=torch.Generator().manual_seed(1)).unbind()


def test_without_an_agent_the_generator_sees_the_sources_themselves():
    guided, (x, y) = built("generator", 0).eval(), sources()
    made = guided(x, y)
    assert guided.agent is None and torch.equal(made.output_BDT, guided.generator(x, y))
    assert made[1:] == (None, None, None)


@pytest.mark.parametrize(
    ("option", "agent"), [("use_creative_agent", CreativeAgent), ("use_compositional_agent", CompositionalAgent)]
)
def test_the_generator_sees_what_the_agent_prepared(option, agent):
    guided, (x, y) = built("generator", 0, **{option: True}).eval(), sources()
    assert isinstance(guided.agent, agent)
    made, prepared = guided(x, y), guided.agent(x, y)
    assert torch.equal(made.output_BDT, guided.generator(prepared.input, prepared.target))
    for own, of_agent in zip(made[1:], prepared[2:], strict=True):
        assert own is of_agent is None or torch.equal(own, of_agent)
    assert (made.mask_input_BDT is None) == (agent is CompositionalAgent)
    assert (made.view_weights_BV is None) == (agent is CreativeAgent)


@pytest.mark.parametrize("option", ["use_creative_agent", "use_compositional_agent"])
def test_gradient_reaches_agent_and_generator(option):
    guided, (x, y) = built("generator", 0, **{option: True}), sources()
    made = guided(x, y)
    sum((part * torch.randn_like(part)).sum() for part in made if part is not None).backward()
    assert [n for n, p in guided.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


@pytest.mark.parametrize("side", SIDES)
def test_weights_are_a_function_of_the_seed_alone(side):
    torch.manual_seed(1)
    once = built(side, 5)
    torch.manual_seed(2)
    assert same_weights(once, built(side, 5)) and not same_weights(once, built(side, 6))


@pytest.mark.parametrize("side", SIDES)
def test_building_a_network_leaves_the_random_numbers_of_others_alone(side):
    torch.manual_seed(3)
    undisturbed = torch.rand(4)
    torch.manual_seed(3)
    built(side, 5)
    assert torch.equal(torch.rand(4), undisturbed)


def test_one_name_makes_a_discriminator_and_several_an_ensemble():
    assert isinstance(built("discriminator", 0), ConvDiscriminator)
    ensemble = built("discriminator", 0, discriminator="spectrogram+conv")
    assert isinstance(ensemble, EnsembleDiscriminator) and list(ensemble.members) == ["spectrogram", "conv"]
    assert not takes_conditions(ensemble) and conditions_for(ensemble, {"level": torch.zeros(2)}) == {}


@pytest.mark.parametrize("name", ["conv", "spectrogram", "conv+spectrogram"])
def test_the_last_bias_is_there_where_the_objective_holds_it(name):
    chosen = make_config(TINY | {"discriminator": name}).chosen("discriminator")
    for final_bias in (True, False):
        names = dict(build_discriminator(chosen, CHANNELS, final_bias, 0).named_parameters())
        found = [key for key in names if key.endswith("final.bias")]
        assert len(found) == (name.count("+") + 1 if final_bias else 0)


def test_an_agent_and_its_generator_share_one_module():
    guided = built("generator", 0, use_creative_agent=True)
    assert isinstance(guided, GuidedGenerator)
    prefixes = {name.split(".")[0] for name in guided.state_dict()}
    assert prefixes == {"generator", "agent"}
