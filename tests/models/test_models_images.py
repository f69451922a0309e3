"""Networks for images: sizes, ranges, one sample at a time, two derivatives."""

import pytest
import torch

from models.classifiers import ConvClassifier
from models.dcgan import DcganDiscriminator, DcganGenerator, doublings
from models.options import DcganOptions, DiscriminatorOptions
from models.super_resolution import SuperResolutionGenerator, bicubic

SHAPES = [(1, 8, 8), (3, 16, 16), (1, 28, 28), (3, 20, 32), (128, 128), (12, 30), (2, 5, 4), (128, 30), (3, 4, 64)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dcgan_makes_and_takes_samples_of_any_shape(shape):
    noise_BZ = torch.randn(2, 10)
    made = DcganGenerator(shape, 10, width=4, limit=3.0)(noise_BZ, noise_BZ)
    assert made.shape == (2, *shape) and made.abs().max() <= 3.0
    logits_B, features = DcganDiscriminator(shape, width=4)(made, return_features=True)
    assert logits_B.shape == (2,) and len(features) == doublings(*shape[-2:])


def test_the_sizes_are_those_of_the_paper():
    generator = DcganGenerator((3, 64, 64), 100, width=64)
    widths = [layer.out_channels for layer in generator.modules() if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert widths == [512, 256, 128, 64, 3]
    discriminator = DcganDiscriminator((3, 64, 64), width=64)
    widths = [layer.out_channels for layer in discriminator.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [64, 128, 256, 512, 1]
    weights = torch.cat([p.flatten() for name, p in generator.named_parameters() if p.ndim == 4])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)


def test_no_layer_mixes_samples():
    torch.manual_seed(0)
    shape, noise_BZ = (3, 16, 16), torch.randn(4, 10)
    generator, discriminator = DcganGenerator(shape, 10, width=8), DcganDiscriminator(shape, width=8)
    made = generator(noise_BZ)
    torch.testing.assert_close(made[:1], generator(noise_BZ[:1]))
    torch.testing.assert_close(discriminator(made)[2:3], discriminator(made[2:3]))


def test_the_discriminators_slope_can_be_penalised():
    discriminator, x = DcganDiscriminator((1, 8, 8), width=4), torch.randn(2, 1, 8, 8, requires_grad=True)
    (slope,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert all(p.grad is not None for name, p in discriminator.named_parameters() if "weight" in name)


def test_options_reach_the_networks():
    generator = DcganGenerator.from_options(DcganOptions(noise_size=7, gen_width=8, output_limit=2.0), 3, (3, 8, 8))
    assert generator(torch.randn(1, 7)).shape == (1, 3, 8, 8) and generator.limit == 2.0
    options = DiscriminatorOptions(disc_width=8, disc_dropout=0.1, disc_spectral_norm=True)
    built = DcganDiscriminator.from_options(options, 3, False, (3, 8, 8))
    assert built.final.bias is None and built.stack.dropout == 0.1
    assert any(hasattr(module, "parametrizations") for module in built.modules())


@pytest.mark.parametrize("upscale", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (5, 9)])
def test_super_resolution_begins_as_bicubic_interpolation(upscale, size):
    x = torch.rand(2, 3, *size)
    generator = SuperResolutionGenerator(3, upscale, features=8, blocks=2)
    made = generator(x, x)
    assert made.shape == (2, 3, upscale * size[0], upscale * size[1])
    assert torch.equal(made, bicubic(x, upscale))
    made.square().sum().backward()
    assert generator.tail.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("upscale", [1, 3, 0])
def test_other_factors_are_refused(upscale):
    with pytest.raises(ValueError, match="power of two"):
        SuperResolutionGenerator(3, upscale)


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 8), (12, 30)], ids=str)
def test_a_classifier_has_a_head_for_each_column(shape):
    classifier = ConvClassifier({"class": 2, "a.b": 5}, shape, width=4)
    logits = classifier(torch.randn(3, *shape))
    assert {name: tuple(one.shape) for name, one in logits.items()} == {"class": (3,), "a.b": (3, 5)}
