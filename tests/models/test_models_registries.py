"""Networks by name: what the registries list, what their options build, what the room exports."""

import pytest
import torch

import models
from config import make_config
from errors import UserError
from models.agents import CompositionalAgent, CreativeAgent
from models.cascade_generator import CascadeGenerator
from models.discriminators import ConvDiscriminator, SpectrogramDiscriminator
from models.options import (
    AGENTS,
    CLASSIFIERS,
    DISCRIMINATORS,
    GENERATORS,
    MASKS,
    CascadeOptions,
    DiscriminatorOptions,
    PatchOptions,
)
from models.patch_generator import PatchCascadeGenerator
from registry import Options


def shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def dropouts(network: torch.nn.Module) -> set[float]:
    """Every dropout in the network."""
    of_layers = {module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)}
    return of_layers | {module.dropout for module in network.modules() if hasattr(module, "dropout")}


def test_the_registries_list_these_networks():
    assert list(GENERATORS) == ["cascade", "patch", "spectrum", "waveform", "dcgan", "super_resolution"]
    assert list(DISCRIMINATORS) == ["conv", "spectrogram", "dcgan", "multi_period", "multi_resolution"]
    assert list(CLASSIFIERS) == ["none", "conv"]
    assert list(AGENTS) == ["creative", "compositional"]
    assert list(MASKS) == ["none", "temporal", "frequency", "spectral", "energy", "hybrid"]
    assert DISCRIMINATORS.joinable and not (GENERATORS.joinable or AGENTS.joinable or MASKS.joinable)


@pytest.mark.parametrize(
    ("registry", "name", "definition"),
    [
        (GENERATORS, "cascade", CascadeGenerator),
        (GENERATORS, "patch", PatchCascadeGenerator),
        (DISCRIMINATORS, "conv", ConvDiscriminator),
        (DISCRIMINATORS, "spectrogram", SpectrogramDiscriminator),
        (AGENTS, "creative", CreativeAgent),
        (AGENTS, "compositional", CompositionalAgent),
    ],
)
def test_a_name_stands_for_its_class(registry, name, definition):
    part = registry[name]
    assert type(part.load()(part.options(), 128)) is definition


def test_the_cascades_options_build_what_they_say():
    options = CascadeOptions(nhead=4, num_layers=3, num_transformer_layers=2, dropout=0.2, anti_cheating=0.3)
    built = CascadeGenerator.from_options(options, channels=8)
    by_hand = CascadeGenerator(8, nhead=4, num_layers=3, num_stages=2, dropout=0.2, anti_cheating=0.3)
    assert shapes(built) == shapes(by_hand)
    assert [stage.norm_in.normalized_shape for stage in built.stages] == [(16,), (24,)]
    assert count(built) == sum(3 * (12 * d * d + 13 * d) + 4 * d + 8 * d + 8 for d in (16, 24))
    assert [len(stage.blocks) for stage in built.stages] == [3, 3]
    assert {block.attention.nhead for stage in built.stages for block in stage.blocks} == {4}
    assert dropouts(built) == {0.2} and built.anti_cheating == 0.3


def test_the_patch_generators_options_build_what_they_say():
    options = PatchOptions(
        width=24, nhead=3, num_layers=5, num_transformer_layers=2, dropout=0.2, patch_frames=4, precondition=True
    )
    built = PatchCascadeGenerator.from_options(options, channels=8)
    by_hand = PatchCascadeGenerator(
        8, width=24, nhead=3, num_layers=5, num_stages=2, patch_frames=4, dropout=0.2, precondition=True
    )
    assert shapes(built) == shapes(by_hand)
    for stage, sources in zip(built.stages, (2 + 3, 3 + 3), strict=True):  # three of them smoothed
        assert stage.embed.weight.shape == (24, 8 * sources * 4) and stage.gate.weight.shape == (8 * sources * 4, 24)
        assert stage.output.weight.shape == (8 * 4, 24) and len(stage.blocks) == 5
        assert {block.attention.nhead for block in stage.blocks} == {3}
        assert {tuple(block.attention.conv.weight.shape) for block in stage.blocks} == {(24, 1, 5)}
        assert stage.precondition and not stage.gate.bias.any()
    assert built.patch_frames == 4 and dropouts(built) == {0.2}
    plain = PatchCascadeGenerator.from_options(options.model_copy(update={"precondition": False}), channels=8)
    assert not plain.stages[0].precondition and plain.stages[0].gate.bias[: 2 * 8 * 4].tolist() == [0.5] * 64


@pytest.mark.parametrize(("options", "channels"), [(CascadeOptions(), 16), (PatchOptions(), 20)])
def test_generators_are_built_for_the_latents_that_there_are(options, channels):
    (part,) = [part for part in GENERATORS.values() if part.options is type(options)]
    built, x = part.load()(options, channels), torch.randn(2, channels, 20)
    assert built(x, x).shape == x.shape
    assert len(built.stages) == options.num_transformer_layers == 2


@pytest.mark.parametrize(("name", "own_width"), [("conv", 256), ("spectrogram", 16)])
def test_the_discriminators_options_build_what_they_say(name, own_width):
    part = DISCRIMINATORS[name]
    build = part.load()
    default = build(DiscriminatorOptions(), 32)
    assert default.stack.layers[0].out_channels == own_width and dropouts(default) == {0.3}
    assert default.final.bias is not None
    options = DiscriminatorOptions(disc_width=12, disc_dropout=0.1, disc_spectral_norm=True)
    built = build(options, 32, False)
    by_hand = build.__self__(32, width=12, dropout=0.1, spectral_norm=True, final_bias=False)
    assert shapes(built) == shapes(by_hand)
    assert built.stack.layers[0].out_channels == 12 and dropouts(built) == {0.1} and built.final.bias is None
    plain = build(DiscriminatorOptions(disc_width=12), 32)
    assert count(plain) == count(built) + 1  # the last bias; a norm adds no parameter
    assert not any(hasattr(module, "parametrizations") for module in plain.modules())


def test_the_sizes_of_discriminators_follow_from_their_channels_and_widths():
    convolution = lambda c_in, c_out, kernel: c_in * c_out * kernel + c_out  # noqa: E731
    conv = ConvDiscriminator.from_options(DiscriminatorOptions(disc_width=8), 32)
    sizes = zip((32, 8, 16, 16), (8, 16, 16, 8), (3, 5, 7, 9), strict=True)
    assert count(conv) == sum(convolution(*size) for size in sizes) + convolution(8, 4, 1) + convolution(4, 1, 1)
    spectrogram = SpectrogramDiscriminator.from_options(DiscriminatorOptions(disc_width=4), 48)
    sizes = zip((1, 4, 8, 16, 16), (4, 8, 16, 16, 16), (25, 9, 9, 9, 3 * 3), strict=True)  # 48 / 16 = 3 rows left
    assert count(spectrogram) == sum(convolution(*size) for size in sizes) + convolution(16, 1, 1)


@pytest.mark.parametrize("build", [CreativeAgent, CompositionalAgent])
@pytest.mark.parametrize("channels", [8, 20])
def test_agents_are_built_for_the_latents_that_there_are(build, channels):
    agent = build.from_options(Options(), channels)
    assert shapes(agent) == shapes(build(channels))
    x, y = torch.randn(2, 2, channels, 9)
    prepared = agent(x, y)
    assert prepared.input.shape == prepared.target.shape == x.shape


def test_the_agents_have_the_sizes_of_the_reference():
    convolution = lambda c_in, c_out, kernel: c_in * c_out * kernel + c_out  # noqa: E731
    D, E, V = 128, 256, 64
    attention = convolution(E, E, 1) + convolution(E, 2 * E, 1) + convolution(E, E, 1)
    analysers = 2 * (convolution(D, E, 3) + convolution(E, E, 3))
    creative = analysers + 2 * E + attention + 2 * convolution(E, D, 1)
    assert count(CreativeAgent.from_options(Options(), D)) == creative == 920_320
    kernels = ((3, 5), (7, 9), (15, 21))
    views = 2 * sum(convolution(D, V, first) + convolution(V, V, second) for first, second in kernels)
    composing = convolution(6 * V, 6, 1) + convolution(6 * V, E, 1) + 2 * (12 * E * E + 13 * E) + 2 * E
    assert count(CompositionalAgent.from_options(Options(), D)) == views + composing + convolution(E, D, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "cascde"}, "generator cascde .* 'cascade', 'patch', .* or 'super_resolution'"),
        ({"generator": "cascade+patch"}, "generator cascade.patch .* 'cascade', 'patch', .* or 'super_resolution'"),
        ({"mask_type": "spectrum"}, "mask_type spectrum .* 'none', 'temporal', 'frequency', .* or 'hybrid'"),
        ({"width": 256}, "width is an option of --generator patch or spectrum or waveform, not of cascade"),
        (
            {"generator": "patch", "anti_cheating": 0.1},
            "anti_cheating is an option of --generator cascade, not of patch",
        ),
        ({"mask_channel_keep": 0.3}, "mask_channel_keep is an option of --mask_type spectral, not of none"),
        ({"nhead": 5}, r"nhead 5 must divide 2 x encoding_dim \(256\)"),
        ({"generator": "patch", "nhead": 5}, r"width 192 must be a multiple of 2 x nhead \(10\)"),
        ({"num_layers": 0}, "num_layers 0"),
        ({"mask_type": "spectral", "mask_channel_keep": 1.0}, "mask_channel_keep 1.0"),
        ({"use_creative_agent": True, "use_compositional_agent": True}, "exclude each other"),
        ({"use_creative_agent": True, "mask_type": "energy"}, "exclude each other"),
    ],
)
def test_choices_and_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_config(options)


def test_an_option_of_two_parts_reaches_whichever_was_chosen():
    for mask in ("temporal", "hybrid"):
        config = make_config({"mask_type": mask, "mask_temporal_segment": 40})
        assert config.chosen("mask_type").options.mask_temporal_segment == 40
    for generator in ("cascade", "patch"):
        config = make_config({"generator": generator, "num_layers": 3})
        assert len(config.chosen("generator").build(128).stages[0].blocks) == 3


def test_the_room_exports_these_names():
    from models import AGENTS as agents
    from models import GuidedGenerator, WeightAverage, build_generator, conditions_for

    assert agents is AGENTS and callable(GuidedGenerator) and callable(WeightAverage)
    assert callable(build_generator) and callable(conditions_for)
    assert {"CascadeGenerator", "EnsembleDiscriminator", "Generated", "MASKS", "takes_conditions"} <= set(
        models.__all__
    )
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError):
        models.MultiScaleDiscriminator  # noqa: B018
