"""Both generators: shapes, sizes, gradients, invariances. B batch, D channels, T frames."""

import math

import pytest
import torch

from models.blocks import SpectralLinear
from models.cascade_generator import CascadeGenerator
from models.patch_generator import (
    PatchCascadeGenerator,
    PatchStage,
    apart_share,
    clip_statistics,
    from_patches,
    to_patches,
)

CLASSES = {"cascade": CascadeGenerator, "patch": PatchCascadeGenerator}
SMALL = {
    "cascade": {"channels": 8, "nhead": 2, "num_layers": 1, "num_stages": 2},
    "patch": {"channels": 8, "width": 16, "nhead": 2, "num_layers": 1, "num_stages": 2},
}


def fresh(name: str, **options) -> torch.nn.Module:
    return CLASSES[name](**SMALL[name] | options)


def small(name: str, **options) -> torch.nn.Module:
    torch.manual_seed(0)
    generator = fresh(name, **options)
    with torch.no_grad():  # away from zero-initialised branches, which would hide what they do
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return generator


def hold_spectral(generator: torch.nn.Module) -> torch.nn.Module:
    """Stops the power iteration, which changes outputs a little from forward to forward in training."""
    for module in generator.modules():
        if isinstance(module, SpectralLinear):
            module.eval()
    return generator


def sources(batch: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, batch, 8, frames, generator=torch.Generator().manual_seed(frames)).unbind()


def test_parameter_counts():
    def count(name, **options):
        return sum(parameter.numel() for parameter in CLASSES[name](**options).parameters())

    # Per block of width d: 12 d^2 + 13 d; per stage two norms (4 d) and the output (128 d + 128); d = 256, 384.
    expected = sum(6 * (12 * d * d + 13 * d) + 4 * d + 128 * d + 128 for d in (256, 384))
    assert count("cascade", num_layers=6, num_stages=2) == expected == 15_470_080
    # Blocks have a convolution of 5 tokens (6 d); then a norm, patches of 5 sources in, their gates and a patch out,
    # statistics of the clip to 128 numbers and from there to the scales and shifts of 9 norms; d = 192.
    d, patch = 192, 2 * 128
    blocks = 4 * (12 * d * d + 13 * d + 6 * d) + 2 * d
    linear = lambda width_in, width_out: width_in * width_out + width_out  # noqa: E731
    sources = linear(5 * patch, d) + linear(d, 5 * patch) + linear(d, patch)
    modulation = linear(2 * 128 + 1, 128) + linear(128, 2 * 5 * d)
    assert count("patch") == blocks + sources + modulation == 2_607_552


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("frames", [1, 7, 150, 301])
def test_any_length(name, frames):
    generator = small(name, num_stages=3, **({"patch_frames": 4} if name == "patch" else {}))
    outputs = generator.forward_stages(*sources(2, frames))
    assert [tuple(output.shape) for output in outputs] == [(2, 8, frames)] * 3
    assert all(output.isfinite().all() for output in outputs)


@pytest.mark.parametrize("name", SMALL)
def test_forward_is_the_last_stage_and_samples_do_not_mix(name):
    generator = small(name).eval()
    x, y = sources(4, 21)
    out = generator(x, y)
    assert torch.equal(out, generator.forward_stages(x, y)[-1])
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(generator(x[order], y[order]), out[order])
    assert (generator(y, x) - out).abs().max() > 1e-3  # input and target differ in their roles


@pytest.mark.parametrize("name", SMALL)
def test_gradient_reaches_every_parameter(name):
    generator = small(name)
    weights = torch.randn(2, 8, 21)
    (generator(*sources(2, 21)) * weights).sum().backward()
    silent = [n for n, p in generator.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert silent == []


@pytest.mark.parametrize("name", SMALL)
def test_dropout_acts_in_training_alone(name):
    generator = hold_spectral(small(name, dropout=0.2))
    x, y = sources(2, 16)
    assert torch.equal(*(hold_spectral(small(name, dropout=0.0))(x, y) for _ in range(2)))
    assert not torch.equal(generator(x, y), generator(x, y))
    generator.eval()
    assert torch.equal(generator(x, y), generator(x, y))


@pytest.mark.parametrize("name", SMALL)
def test_bf16_autocast_is_close(name):
    generator = small(name).eval()
    x, y = sources(2, 33)
    exact = generator(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = generator(x, y)
    rough.float().sum().backward()
    assert (rough.float() - exact).square().mean() < 0.01 * exact.square().mean()


@pytest.mark.parametrize("name", SMALL)
def test_three_stages_stay_bounded_in_training(name):
    generator = small(name, num_stages=3)
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    torch.manual_seed(1)
    norms = []
    for _ in range(30):
        x, y, wanted = torch.randn(3, 4, 8, 24)
        loss = (generator(x, y) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.get_total_norm([p.grad for p in generator.parameters()]))
        optimizer.step()
    assert max(norms[10:]) < 2 * max(norms[:10]) and loss < 5.0


@pytest.mark.parametrize("level", [1e-3, 1.0, 1e3])
def test_cascade_stage_adds_the_mean_of_its_sources_and_bounds_its_gain(level):
    generator = small("cascade").eval()
    made, first_stage, second_stage = [], *generator.stages
    for stage in generator.stages:
        stage.output.register_forward_hook(lambda module, args, out: made.append(out.transpose(1, 2)))
    x, y = (level * source for source in sources(3, 40))
    first, second = generator.forward_stages(x, y)
    for out, own, seen in ((first, made[0], [x, y]), (second, made[1], [x, first, y])):
        raw = own + torch.stack(seen).mean(dim=0)
        rms_in = torch.cat(seen, dim=1).square().mean(dim=(1, 2), keepdim=True).sqrt()
        rms_out = raw.square().mean(dim=(1, 2), keepdim=True).sqrt()
        torch.testing.assert_close(out, raw * (rms_in / rms_out).clamp(0.7, 1.5))
    assert (first_stage.norm_in.normalized_shape, second_stage.norm_in.normalized_shape) == ((16,), (24,))


def test_cascade_knows_where_a_frame_stands():
    generator = small("cascade", num_stages=1).eval()
    frame = torch.randn(1, 8, 1, generator=torch.Generator().manual_seed(3))
    out = generator(frame.expand(1, 8, 60), frame.expand(1, 8, 60))
    assert (out[:, :, 0] - out[:, :, 50]).abs().max() > 1e-2


def test_anti_cheating_disturbs_training_only_and_scales_with_the_source():
    x, y = sources(2, 16)
    generator, plain = (hold_spectral(small("cascade", dropout=0.0, anti_cheating=a)) for a in (0.5, 0.0))
    assert not torch.equal(generator(x, y), generator(x, y))
    assert torch.equal(plain(x, y), plain(x, y))
    disturbed = generator._disturb(3.0 * torch.ones(1, 8, 16) + 2.0 * x[:1]) - 3.0 - 2.0 * x[:1]
    assert disturbed.std() == pytest.approx(0.5 * 2.0 * float(x[:1].std()), rel=0.2)
    assert torch.equal(generator.eval()(x, y), plain.eval()(x, y))


def test_patches_come_back_and_hold_neighbouring_frames():
    x = torch.arange(2 * 3 * 8.0).reshape(2, 3, 8)
    patches = to_patches(x, 4)
    assert torch.equal(from_patches(patches, 4), x)
    assert torch.equal(patches[1, 1].reshape(3, 4), x[1, :, 4:])


def test_patch_padding_repeats_the_last_frame_and_is_trimmed():
    generator = small("patch", patch_frames=4).eval()
    x, y = sources(2, 7)
    padded = [torch.cat([source, source[:, :, -1:]], dim=2) for source in (x, y)]
    torch.testing.assert_close(generator(x, y), generator(*padded)[:, :, :7])


def without_statistics(generator):
    """What a frame does to the whole clip's statistics is left out."""
    for stage in generator.stages:
        torch.nn.init.zeros_(stage.modulate.output.weight)
    return generator


def test_smoothing_bounds_what_is_seen_where_blocks_add_nothing():
    generator = without_statistics(small("patch", num_stages=1).eval())
    for block in generator.stages[0].blocks:
        for layer in (block.attention.output, block.feed[-1]):
            torch.nn.init.zeros_(layer.weight)
    x, y = sources(1, 80)
    moved = x.clone()
    moved[:, :, 40:42] += 1.0  # seen by smoothing in 27 to 54, which lie in tokens 13 to 27
    changed = (generator(moved, y) - generator(x, y)).abs().amax(dim=(0, 1)) > 1e-6
    assert changed.nonzero().flatten().tolist() == list(range(26, 56))


def test_patch_shifts_with_its_sources_where_all_else_is_alike():
    """One frame, held: no token knows where it stands, but for the convolution's two tokens at either end."""
    generator = small("patch", num_stages=1).eval()
    frame = torch.randn(1, 8, 1, generator=torch.Generator().manual_seed(3))
    out = generator(frame.expand(1, 8, 60), frame.flip(1).expand(1, 8, 60))
    inner = out[:, :, 4:-4].unflatten(2, (-1, 2))  # [.., tokens, frames of a patch]
    torch.testing.assert_close(inner, inner[:, :, :1].expand_as(inner), atol=1e-5, rtol=1e-5)


def test_patch_starts_at_the_mean_of_its_sources():
    generator = fresh("patch", num_stages=1)
    for parameter in generator.stages[0].output.parameters():
        torch.nn.init.zeros_(parameter)
    x, y = sources(2, 9)
    torch.testing.assert_close(generator(x, y), (x + y) / 2)


def test_every_gate_holds_one_channel_of_one_source_in_one_frame_of_the_patch():
    generator = fresh("patch", num_stages=1)
    stage, (x, y) = generator.stages[0], sources(2, 8)
    before, D, P = generator(x, y), x.shape[1], stage.patch_frames
    with torch.no_grad():
        stage.gate.bias[(D + 3) * P + 1] = 0.0  # the second source's channel 3, second frame of each patch
    expected = torch.zeros_like(before)
    expected[:, 3, 1::P] = -0.5 * y[:, 3, 1::P]
    torch.testing.assert_close(generator(x, y) - before, expected)


def test_smoothed_sources_have_gates_that_start_closed():
    """Opened, the gates of the longest one pass on the mean of both sources over 27 frames, fewer at the ends."""
    generator = fresh("patch", num_stages=1)
    stage, (x, y) = generator.stages[0], sources(2, 60)
    before, numbers = generator(x, y), x.shape[1] * stage.patch_frames
    with torch.no_grad():
        assert not stage.gate.bias[2 * numbers :].any()
        stage.gate.bias[-numbers:] = 1.0
    passed_on, mean = generator(x, y) - before, (x + y) / 2
    for frame, around in ((0, slice(0, 14)), (30, slice(17, 44)), (59, slice(46, 60))):
        torch.testing.assert_close(passed_on[:, :, frame], mean[:, :, around].mean(2), atol=1e-5, rtol=1e-5)


def test_preconditioned_output_is_the_mean_plus_what_is_made_as_far_as_the_sources_lie_apart():
    generator, (x, noise) = small("patch", num_stages=1, precondition=True), sources(2, 8)
    torch.testing.assert_close(generator(x, x), x)  # no noise: nothing to take away, whatever the weights
    stage, made = generator.stages[0], []
    stage.output.register_forward_hook(lambda module, args, out_BLY: made.append(from_patches(out_BLY, 2)))
    for parameter in stage.gate.parameters():
        torch.nn.init.zeros_(parameter)
    for amount, least, most in ((0.01, 0.0, 0.02), (0.1, 0.1, 0.2), (3.0, 1.0, 1.0)):
        y = x + amount * noise
        share = (2 * (x - y).square().mean(dim=(1, 2), keepdim=True)).sqrt().clamp(max=1)
        torch.testing.assert_close(generator(x, y), (x + y) / 2 + share * made[-1])
        assert least <= share.min() and share.max() <= most


def test_under_noise_of_share_alpha_what_is_made_counts_twice_alpha_up_to_half():
    x, one, other = (torch.randn(1, 8, 4000, generator=torch.Generator().manual_seed(k)) for k in range(3))
    for alpha in (0.0, 0.05, 0.3, 0.5, 0.8, 1.0):
        share = apart_share((1 - alpha) * x + alpha * one, (1 - alpha) * x + alpha * other)
        assert share.shape == (1, 1, 1)
        assert share.item() == pytest.approx(min(1, 2 * alpha), rel=0.02)


def test_preconditioning_leaves_gradients_finite_where_sources_are_the_same():
    """An agent's masks ask for gradients of the sources, which are equal in music's phase of a unity test."""
    generator = small("patch", precondition=True)
    x = torch.randn(2, 8, 6, requires_grad=True)
    generator(x, 1 * x).square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.any()


def test_clip_statistics_are_means_changes_and_how_far_the_sources_lie_apart():
    x = torch.tensor([[[1.0, 3.0, 5.0], [2.0, 2.0, 2.0]]])  # changes by 2, and not at all
    log_of = lambda mean_square: math.log(mean_square + 1e-4)  # noqa: E731
    same = [3.0, 2.0, log_of(4.0), log_of(0.0), log_of(0.0)]
    torch.testing.assert_close(clip_statistics(x, x), torch.tensor([same]))
    apart = [3.5, 2.5, log_of(4.0), log_of(0.0), log_of(1.0)]
    torch.testing.assert_close(clip_statistics(x, x + 1.0), torch.tensor([apart]))
    assert clip_statistics(x[:, :, :1], x[:, :, :1])[0, 2:].tolist() == pytest.approx([log_of(0.0)] * 3)


def test_clip_statistics_scale_and_shift_every_norm_from_nothing():
    torch.manual_seed(0)
    stage, (x, y) = PatchStage(8, 2, 16, 2, 3, patch_frames=2), sources(2, 10)
    assert not any(part.any() for pair in stage.modulate(x, y) for part in pair)
    for norm in range(4):  # of three blocks and the output, scale and shift of each
        for part in range(2):
            with torch.no_grad():
                stage.modulate.output.bias.zero_()[16 * (2 * norm + part) :][:16] = 1.0
            made = [scale_shift[part] for scale_shift in stage.modulate(x, y)]
            assert [bool((value == 1).all()) for value in made] == [k == norm for k in range(4)]
    for block in stage.blocks:
        torch.nn.init.normal_(block.feed[-1].weight, std=0.1)  # blocks start as nothing; norms would not see a constant
    for norm in range(4):
        stage.modulate.output.bias.data.zero_()
        before = stage([x, y])
        stage.modulate.output.bias.data[32 * norm : 32 * norm + 32] = 0.5
        assert not torch.allclose(stage([x, y]), before), f"norm {norm} does not listen"


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("cascade", {"nhead": 5}),
        ("cascade", {"num_stages": 0}),
        ("cascade", {"anti_cheating": -1.0}),
        ("patch", {"nhead": 5}),
        ("patch", {"num_layers": 0}),
        ("patch", {"num_stages": 0}),
        ("patch", {"patch_frames": 0}),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name, bad):
    with pytest.raises(ValueError, match=r"\d"):
        fresh(name, **bad)
