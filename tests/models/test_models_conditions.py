"""Conditions inside networks: embeddings, adaptive norms, projections. B samples, D channels, T frames."""

import math

import pytest
import torch

from config import make_config
from models.conditions import ConditionEmbedding, ConditionProjection, fourier_features
from models.networks import build_discriminator, build_generator
from models.patch_generator import PatchCascadeGenerator

WIDTHS = {"alpha": 1, "labels": 5}


def conditions(batch: int, alpha: float | None = 0.5, label: int | None = 2) -> dict[str, torch.Tensor]:
    given = {} if alpha is None else {"alpha": torch.full((batch,), alpha)}
    if label is not None:
        given["labels"] = torch.eye(5)[[label] * batch]
    return given


def patch(conditions=None, **options) -> PatchCascadeGenerator:
    torch.manual_seed(0)
    return PatchCascadeGenerator(8, width=16, nhead=2, num_layers=2, conditions=conditions, **options)


def stirred(network: torch.nn.Module) -> torch.nn.Module:
    """With weights that are all random: at the start conditions have no influence."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return network


def test_a_single_number_is_expanded_to_sines_and_cosines():
    features = fourier_features(torch.tensor([[0.25]]))[0]
    angles = [2**k * math.pi / 4 for k in range(6)]
    expected = [0.25, *map(math.sin, angles), *map(math.cos, angles)]
    torch.testing.assert_close(features, torch.tensor(expected), atol=1e-5, rtol=0)


def test_the_embedding_of_a_one_hot_label_is_a_row_of_its_map():
    embedding = ConditionEmbedding({"labels": 5}, 7)
    torch.testing.assert_close(embedding(conditions(2, None, 3)), embedding.maps["labels"].weight[:, 3].expand(2, -1))


def test_embeddings_add_up_and_what_is_missing_is_nothing():
    embedding = ConditionEmbedding(WIDTHS, 7)
    both = embedding(conditions(2))
    torch.testing.assert_close(both, embedding(conditions(2, label=None)) + embedding(conditions(2, None)))
    assert not embedding({}).any() and not embedding(None).any()
    torch.testing.assert_close(embedding(conditions(2) | {"other": torch.zeros(2)}), both)


def test_a_projection_is_the_product_of_embedding_and_features():
    projection = ConditionProjection(WIDTHS, 4)
    features_BC = torch.randn(3, 4)
    assert not projection(features_BC, conditions(3)).any(), "it starts at zero"
    stirred(projection)
    expected = (projection.embed(conditions(3)) * features_BC).sum(1) / 2
    torch.testing.assert_close(projection(features_BC, conditions(3)), expected)


def test_conditions_change_nothing_at_the_start_and_something_once_trained():
    generator, x = patch(WIDTHS), torch.randn(2, 8, 12)
    torch.testing.assert_close(generator(x, x, conditions(2)), generator(x, x))
    stirred(generator)
    for other in (conditions(2, alpha=0.6), conditions(2, label=4), conditions(2, label=None), {}):
        assert (generator(x, x, conditions(2)) - generator(x, x, other)).abs().max() > 1e-4


def test_each_sample_has_its_own():
    generator, x = stirred(patch(WIDTHS)), torch.randn(2, 8, 12)
    mixed = {"alpha": torch.tensor([0.1, 0.9]), "labels": torch.eye(5)[[0, 1]]}
    one = {name: value[1:] for name, value in mixed.items()}
    torch.testing.assert_close(generator(x, x, mixed)[1:], generator(x[1:], x[1:], one), atol=1e-5, rtol=1e-5)


def test_statistics_can_be_left_out_if_the_noise_level_is_given():
    lean = patch({"alpha": 1}, statistics=False)
    assert sum(p.numel() for p in lean.parameters()) < sum(p.numel() for p in patch({"alpha": 1}).parameters())
    x = torch.randn(2, 8, 12)
    assert stirred(lean)(x, x, conditions(2, label=None)).isfinite().all()
    with pytest.raises(ValueError, match="noise level"):
        patch(statistics=False)


def test_networks_without_conditions_are_those_of_before():
    assert list(patch().state_dict()) == [name for name in patch(WIDTHS).state_dict() if "embed.maps" not in name]
    config = make_config({"discriminator": "conv+spectrogram", "disc_width": 8})
    plain, taking = (build_discriminator(config.chosen("discriminator"), 32, True, 0, (), w) for w in (None, WIDTHS))
    assert list(plain.state_dict()) == [name for name in taking.state_dict() if "projection" not in name]
    assert not plain.takes_conditions and taking.takes_conditions


@pytest.mark.parametrize("name", ["conv", "spectrogram"])
def test_a_discriminators_logit_depends_on_its_samples_conditions_alone(name):
    chosen = make_config({"discriminator": name, "disc_width": 8, "disc_dropout": 0.0}).chosen("discriminator")
    discriminator, x = build_discriminator(chosen, 32, True, 0, (), WIDTHS), torch.randn(2, 32, 40)
    torch.testing.assert_close(discriminator(x, conditions=conditions(2)), discriminator(x))
    stirred(discriminator.projection)
    mixed = {"alpha": torch.tensor([0.1, 0.9]), "labels": torch.eye(5)[[0, 1]]}
    logits = discriminator(x, conditions=mixed)
    assert (logits - discriminator(x, conditions=conditions(2))).abs().min() > 1e-6
    alone = discriminator(x[1:], conditions={name: value[1:] for name, value in mixed.items()})
    torch.testing.assert_close(logits[1:], alone, atol=1e-5, rtol=1e-4)


def test_builders_pass_the_widths_on_to_those_that_take_them():
    config = make_config({"generator": "patch", "width": 16, "nhead": 2})
    assert build_generator(config.chosen("generator"), None, 8, 0, conditions=WIDTHS).takes_conditions
    assert not build_generator(config.chosen("generator"), None, 8, 0).takes_conditions
    cascade = make_config({}).chosen("generator")
    assert not build_generator(cascade, None, 8, 0, conditions=WIDTHS).takes_conditions
