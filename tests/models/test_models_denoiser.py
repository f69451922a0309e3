"""The discriminator made of the generator's blocks. B samples, D channels, T frames."""

import pytest
import torch

from config import make_config
from errors import UserError
from models.denoiser_discriminator import DenoiserDiscriminator
from models.discriminators import EnsembleDiscriminator
from models.networks import build_discriminator, build_generator, join

CHANNELS, FRAMES = 8, 11  # an odd length: the last patch is padded
SIZES = {"generator": "patch", "encoding_dim": CHANNELS, "width": 16, "nhead": 2, "num_layers": 4, "dropout": 0.2}
ARC = {"gan_loss": "arc", "conditions": "alpha", "pure_gan_mode": 0.5}


def networks(discriminator: str = "denoiser", **options):
    config = make_config(SIZES | ARC | {"discriminator": discriminator} | options)
    widths = {"alpha": 1}
    generator = build_generator(config.chosen("generator"), None, CHANNELS, 1, conditions=widths)
    return generator, build_discriminator(
        config.chosen("discriminator"), CHANNELS, False, 2, conditions=widths, generator=generator
    )


def stir(network, seed: int = 3) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)


def pairs(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 2 * CHANNELS, FRAMES, generator=torch.Generator().manual_seed(4))


def level(batch: int = 3, value: float = 0.5) -> dict[str, torch.Tensor]:
    return {"alpha": torch.full((batch,), value)}


def test_it_takes_two_versions_of_a_sample_and_gives_one_logit():
    _, discriminator = networks()
    logits_B, features = discriminator(pairs(), return_features=True, conditions=level())
    assert logits_B.shape == (3,) and len(features) == 4  # three blocks of four, and the head
    assert features[0].shape == (3, 16, 6) and features[-1].shape == (3, 64, 6)


@pytest.mark.parametrize("share, blocks", [(0.1, 1), (0.5, 2), (0.75, 3), (1.0, 4)])
def test_it_has_the_share_of_the_blocks_that_is_asked_for(share, blocks):
    _, discriminator = networks(backbone_share=share)
    assert discriminator.backbone.feature_sizes == (blocks, 16)


def test_its_blocks_compute_what_the_generators_do_once_it_has_joined():
    generator, discriminator = networks()
    stir(generator)
    generator.eval()
    sources = pairs().chunk(2, dim=1)
    theirs = generator.generator.features(*sources, level())
    before = discriminator.backbone.features(*sources, level())
    assert not torch.allclose(before[-1], theirs[2])
    join(discriminator, generator)
    for ours, expected in zip(discriminator.backbone.features(*sources, level()), theirs[:3], strict=True):
        assert torch.equal(ours, expected)


def test_joining_copies_weights_and_shares_none():
    generator, discriminator = networks()
    stir(generator)
    join(discriminator, generator)
    weight = generator.generator.stages[0].embed.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        discriminator.backbone.stages[0].embed.weight.add_(1.0)
    assert torch.equal(weight, kept)


def test_every_weight_of_it_is_trained():
    generator, discriminator = networks()
    stir(generator)
    join(discriminator, generator)
    stir(discriminator.mix), stir(discriminator.hidden), stir(discriminator.final)
    discriminator(pairs(), conditions=level()).square().sum().backward()
    assert all(p.grad is not None for p in discriminator.parameters())


def test_copies_of_a_sample_get_the_same_logit_in_training():
    _, discriminator = networks()
    discriminator.train()
    logits_B = discriminator(pairs(2).repeat(2, 1, 1), copies=2, conditions=level(4))
    torch.testing.assert_close(logits_B[:2], logits_B[2:])


def test_it_knows_the_level_of_the_noise():
    generator, discriminator = networks()
    stir(generator), join(discriminator, generator)
    low, high = (discriminator(pairs(), conditions=level(3, value)) for value in (0.1, 0.9))
    assert (low - high).abs().min() > 0


def test_beside_others_they_get_the_first_version():
    _, both = networks("denoiser+conv", disc_width=4, disc_dropout=0.0)
    assert isinstance(both, EnsembleDiscriminator) and both.takes_pairs
    x_BDT = pairs()
    alone = [
        both.members["denoiser"](x_BDT, conditions=level()),
        both.members["conv"](x_BDT[:, :CHANNELS], conditions=level()),
    ]
    torch.testing.assert_close(both(x_BDT, conditions=level()), sum(alone) / 2)


def test_a_cascade_can_be_a_discriminator_as_well():
    _, discriminator = networks(num_transformer_layers=2)
    assert isinstance(discriminator, DenoiserDiscriminator)
    assert discriminator(pairs(), conditions=level()).shape == (3,)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"generator": "cascade", "width": None, "discriminator": "denoiser"}, "give --generator patch"),
        ({"gan_loss": "wgan-gp"}, "cannot be differentiated twice"),
        ({"conditions": None}, "needs --conditions alpha"),
    ],
)
def test_what_does_not_fit_is_one_sentence(options, message):
    given = SIZES | ARC | {"discriminator": "denoiser"} | options
    with pytest.raises(UserError, match=message):
        make_config({name: value for name, value in given.items() if value is not None})
