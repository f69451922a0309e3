"""Discriminators: one logit per clip, twice differentiable, dropout shared by copies. B batch, D channels, T frames."""

import pytest
import torch

from config import make_config
from errors import UserError
from models import DISCRIMINATORS, ConvDiscriminator, build_discriminator

# Those that can be built by themselves; the denoiser has its own tests.
SPECIAL = ("needs_shape", "of_generator")
OF_LATENTS = [name for name, part in DISCRIMINATORS.items() if not any(map(part.facts.get, SPECIAL))]
OF_WAVEFORMS = [name for name, part in DISCRIMINATORS.items() if part.facts.get("of")]
NAMES = [*OF_LATENTS, "conv+spectrogram"]


def small(name: str, final_bias: bool = True, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    made = {"kind": "vocoding", "generator": "vocoder", "loss_weight_mel": 1.0} if name in OF_WAVEFORMS else {}
    chosen = make_config({"discriminator": name, "disc_width": 8} | made | options).chosen("discriminator")
    return build_discriminator(chosen, 32, final_bias, seed=0)


def clips(batch: int, frames: int, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(batch, 32, frames, generator=torch.Generator().manual_seed(frames), dtype=dtype)


def test_reference_has_3_8_million_parameters():
    sizes = [(128, 256, 3), (256, 512, 5), (512, 512, 7), (512, 256, 9)]
    expected = sum(a * b * k + b for a, b, k in sizes) + (256 * 128 + 128) + (128 + 1)
    assert sum(p.numel() for p in ConvDiscriminator().parameters()) == expected == 3_802_881


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 7, 150, 301])
def test_one_logit_per_clip_of_any_length(name, frames):
    discriminator = small(name)
    logits, features = discriminator(clips(3, frames), return_features=True)
    assert logits.shape == (3,) and logits.isfinite().all()
    assert len(features) >= 4 and all(feature.shape[0] == 3 for feature in features)


@pytest.mark.parametrize("name", NAMES)
def test_samples_do_not_mix(name):
    discriminator = small(name).eval()
    x = clips(4, 50)
    torch.testing.assert_close(discriminator(x[[2, 0, 3, 1]]), discriminator(x)[[2, 0, 3, 1]])
    torch.testing.assert_close(discriminator(x[:1]), discriminator(x)[:1])


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_parameter_and_every_frame(name):
    discriminator = small(name, disc_dropout=0.0)
    x = clips(2, 64).requires_grad_()
    discriminator(x).sum().backward()
    assert [n for n, p in discriminator.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
    assert (x.grad.abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_exact_gradient_penalty_against_finite_differences(name, spectral_norm):
    discriminator = small(name, disc_dropout=0.0, disc_spectral_norm=spectral_norm).double().eval()
    x = clips(2, 24, torch.float64).requires_grad_()

    def penalty() -> torch.Tensor:
        (grad,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
        return grad.square().sum()

    parameter = next(discriminator.parameters())
    parameter = dict(discriminator.named_parameters()).get("stack.layers.1.weight", parameter)
    direction = torch.randn_like(parameter)
    (grad,) = torch.autograd.grad(penalty(), parameter)
    values = []
    for sign in (1, -2):  # a step small enough that no unit crosses the kink of its LeakyReLU
        with torch.no_grad():
            parameter.add_(sign * 1e-8 * direction)
        values.append(penalty().item())
    slope = (values[0] - values[1]) / 2e-8
    assert (grad * direction).sum().item() == pytest.approx(slope, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_copies_share_their_dropout(name):
    discriminator = small(name, disc_dropout=0.5)
    x = clips(2, 40)
    logits = discriminator(torch.cat([x, x, x]), copies=3)
    torch.testing.assert_close(logits[:2], logits[2:4])
    torch.testing.assert_close(logits[:2], logits[4:])
    apart = discriminator(torch.cat([x, x, x]))
    assert (apart[:2] - apart[2:4]).abs().max() > 1e-6
    assert torch.equal(discriminator.eval()(x), discriminator(x))


@pytest.mark.parametrize("name", NAMES)
def test_final_bias_is_an_option(name):
    def shift(final_bias: bool) -> float:
        """How far the last bias alone can move a logit."""
        discriminator = small(name, final_bias=final_bias).eval()
        x = clips(1, 20)
        before = discriminator(x)
        for n, parameter in discriminator.named_parameters():
            if "final" in n and n.endswith("bias"):
                torch.nn.init.constant_(parameter, parameter.item() + 1.0)
        return (discriminator(x) - before).item()

    assert shift(True) == pytest.approx(1.0, abs=1e-5) and shift(False) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_spectral_norm_is_an_option(name):
    discriminator = small(name, disc_spectral_norm=True)
    for _ in range(10):
        discriminator(clips(1, 20))
    discriminator.eval()
    weights = [module.weight.flatten(1) for module in discriminator.modules() if hasattr(module, "parametrizations")]
    assert len(weights) >= 6
    for weight in weights:
        assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_bf16_autocast_is_close(name):
    discriminator = small(name).eval()
    # Convolutions of oneDNN 3.12 in bfloat16 read past inputs of two columns on CPUs with AMX, as short waveforms have.
    x = clips(4, 800 if name in OF_WAVEFORMS else 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = discriminator(x)
    torch.testing.assert_close(rough.float(), discriminator(x), atol=0.02, rtol=0.05)


def test_ensemble_averages_the_logits_and_joins_the_features_of_its_members():
    ensemble = small("conv+spectrogram").eval()
    x = clips(3, 20)
    conv, spectrogram = ensemble.members["conv"], ensemble.members["spectrogram"]
    torch.testing.assert_close(ensemble(x), (conv(x) + spectrogram(x)) / 2)
    _, joined = ensemble(x, return_features=True)
    apart = [*conv(x, return_features=True)[1], *spectrogram(x, return_features=True)[1]]
    assert len(joined) == len(apart) == 9
    for one, other in zip(joined, apart, strict=True):
        torch.testing.assert_close(one, other)


def test_options_reach_every_member_of_an_ensemble():
    ensemble = small("spectrogram+conv", disc_width=12, disc_dropout=0.25)
    assert list(ensemble.members) == ["spectrogram", "conv"]
    for member in ensemble.members.values():
        assert member.stack.layers[0].out_channels == 12 and member.stack.dropout == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"discriminator": "convv"},
            "'conv', .*'dcgan', 'multi_period' or 'multi_resolution', or some of them joined by",
        ),
        ({"discriminator": "conv+none"}, "none is not one of them"),
        ({"discriminator": "conv+conv"}, "different names"),
        ({"disc_scales": 2}, "unknown option disc_scales"),
        ({"disc_dropout": 1.0}, "disc_dropout 1.0 .* less than 1"),
        ({"disc_width": 3}, "disc_width 3 .* greater than or equal to 4"),
    ],
)
def test_wrong_names_and_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        make_config(options)


def test_a_dropout_out_of_range_is_refused_by_the_network_as_well():
    with pytest.raises(ValueError, match="dropout"):
        ConvDiscriminator(dropout=1.0)
