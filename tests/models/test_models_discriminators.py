"""Discriminators: one logit per clip, twice differentiable, dropout shared by copies. B batch, D channels, T frames."""

import pytest
import torch

from models import DISCRIMINATORS, build_discriminator

NAMES = [*DISCRIMINATORS, "conv+spectrogram"]


def small(name: str, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_discriminator(name, **{"channels": 32, "width": 8} | options)


def clips(batch: int, frames: int, dtype=torch.float32) -> torch.Tensor:
    return torch.randn(batch, 32, frames, generator=torch.Generator().manual_seed(frames), dtype=dtype)


def test_reference_has_3_8_million_parameters():
    sizes = [(128, 256, 3), (256, 512, 5), (512, 512, 7), (512, 256, 9)]
    expected = sum(a * b * k + b for a, b, k in sizes) + (256 * 128 + 128) + (128 + 1)
    assert sum(p.numel() for p in build_discriminator("conv").parameters()) == expected == 3_802_881


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
    discriminator = small(name, dropout=0.0)
    x = clips(2, 64).requires_grad_()
    discriminator(x).sum().backward()
    assert [n for n, p in discriminator.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
    assert (x.grad.abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_exact_gradient_penalty_against_finite_differences(name, spectral_norm):
    discriminator = small(name, dropout=0.0, spectral_norm=spectral_norm).double().eval()
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
    discriminator = small(name, dropout=0.5)
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
    discriminator = small(name, spectral_norm=True)
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
    x = clips(4, 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = discriminator(x)
    torch.testing.assert_close(rough.float(), discriminator(x), atol=0.02, rtol=0.05)


def test_every_scale_of_multiscale_counts_equally():
    discriminator = small("multiscale", scales=2).eval()
    x = clips(2, 32)
    x_slow = torch.nn.functional.avg_pool1d(x, 4)
    alone = [
        final(stack(part)[0]).mean(dim=(1, 2))
        for stack, final, part in zip(discriminator.stacks, discriminator.finals, (x, x_slow), strict=True)
    ]
    torch.testing.assert_close(discriminator(x), (alone[0] + alone[1]) / 2)


def test_ensemble_averages_and_hands_options_to_their_member():
    ensemble = small("conv+spectrogram", spectrogram={"width": 4}).eval()
    x = clips(3, 20)
    conv, spectrogram = ensemble.members["conv"], ensemble.members["spectrogram"]
    torch.testing.assert_close(ensemble(x), (conv(x) + spectrogram(x)) / 2)
    assert conv.stack.layers[0].out_channels == 8 and spectrogram.stack.layers[0].out_channels == 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("convv", {}, "'convv'.*conv, multiscale, spectrogram"),
        ("conv+none", {}, "'none'"),
        ("conv+conv", {}, "twice"),
        ("conv", {"scales": 2}, "no option scales"),
        ("conv+spectrogram", {"scales": 2}, "no option scales"),
        ("conv", {"dropout": 1.0}, "dropout"),
        ("multiscale", {"scales": 0}, "scales"),
    ],
)
def test_wrong_names_and_options_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_discriminator(name, **options)
