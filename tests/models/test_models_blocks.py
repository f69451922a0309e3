"""Blocks against dense oracles, closed forms and bounds. B batch, D channels, T frames, L tokens, E width, H heads."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blocks import (
    Attention,
    SpectralLinear,
    TransformerBlock,
    attend,
    masked_source,
    match_rms,
    rescale_rms,
    rms,
    rotary_positions,
    rotate,
    sinusoidal_positions,
    tiled_dropout,
)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 40), context=st.integers(1, 12))
def test_attention_is_a_softmax_over_scaled_products(length, context):
    generator = torch.Generator().manual_seed(length * 100 + context)
    q = torch.randn(2, 3, length, 4, dtype=torch.float64, generator=generator)
    k, v = torch.randn(2, 2, 3, context, 4, dtype=torch.float64, generator=generator)
    weights = (torch.einsum("bhle,bhse->bhls", q, k) / 2).softmax(dim=-1)
    torch.testing.assert_close(attend(q, k, v), torch.einsum("bhls,bhse->bhle", weights, v))


def test_attention_in_bfloat16_has_the_gradients_of_float32_rounded_once():
    torch.manual_seed(0)
    half = [torch.randn(2, 3, 9, 4).bfloat16().requires_grad_() for _ in range(3)]
    exact = [x.detach().float().requires_grad_() for x in half]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = attend(*half)
    assert made.dtype == torch.bfloat16
    made.float().square().sum().backward()
    expected = attend(*exact).bfloat16()
    expected.float().square().sum().backward()
    assert torch.equal(made, expected)
    for x, y in zip(half, exact, strict=True):
        assert torch.equal(x.grad, y.grad.bfloat16())


def test_dropout_in_attention_acts_on_its_weights():
    """With the identity for values the answer is the weights themselves."""
    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 3, 50, 4)
    v = torch.eye(50).expand(2, 3, 50, 50)
    weights, dropped = attend(q, k, v), attend(q, k, v, dropout=0.25)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], weights[kept] / 0.75)
    assert (~kept).float().mean() == pytest.approx(0.25, abs=0.02)


def test_attention_in_evaluation_has_no_dropout():
    torch.manual_seed(0)
    attention, x, context = Attention(8, 2, dropout=0.5), torch.randn(2, 6, 8), torch.randn(2, 9, 8)
    assert not torch.equal(attention(x, context), attention(x, context))
    attention.eval()
    assert torch.equal(attention(x, context), attention(x, context))
    assert attention(x, context).shape == x.shape


def test_rotated_scores_depend_on_distance_alone():
    torch.manual_seed(0)
    query, key = torch.randn(2, 8)
    positions = rotary_positions(30, 8)
    q = rotate(query.expand(1, 30, 1, 8), positions)[0, :, 0]
    k = rotate(key.expand(1, 30, 1, 8), positions)[0, :, 0]
    scores = q @ k.T
    torch.testing.assert_close(scores[5:, 5:], scores[:-5, :-5], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scores[0, 0], query @ key)
    assert (scores[0] - scores[0, 0]).abs().max() > 0.1
    torch.testing.assert_close(q.norm(dim=1), query.norm().expand(30))


def test_sinusoidal_positions_for_any_length_extend_the_shorter_ones():
    short, long = sinusoidal_positions(7, 12), sinusoidal_positions(301, 12)
    torch.testing.assert_close(long[:7], short)
    expected = math.sin(300 / 10000 ** (4 / 12)), math.cos(300 / 10000 ** (4 / 12))
    torch.testing.assert_close(long[300, 4:6], torch.tensor(expected), atol=1e-4, rtol=0)
    assert sinusoidal_positions(3, 5).shape == (3, 5)


@settings(max_examples=20, deadline=None)
@given(level=st.floats(0.01, 100.0), wanted=st.floats(0.01, 100.0))
def test_rms_gain_is_bounded(level, wanted):
    x = level * torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(0))
    gain = rms(rescale_rms(x, torch.full((2, 1, 1), wanted))) / rms(x)
    torch.testing.assert_close(gain, (wanted / rms(x)).clamp(0.7, 1.5), rtol=1e-4, atol=0)
    torch.testing.assert_close(rms(match_rms(x, torch.full((2, 1, 1), wanted))), torch.full((2, 1, 1), wanted))


def test_what_is_masked_has_the_level_of_its_source():
    x, mask = torch.randn(2, 4, 9), torch.rand(2, 4, 9)
    shown = masked_source(x, mask)
    torch.testing.assert_close(rms(shown), rms(x))
    torch.testing.assert_close(shown, x * mask * (rms(x) / rms(x * mask)))
    assert masked_source(x, torch.zeros_like(x)).abs().max() == 0


def test_silence_stays_silence_with_finite_gradients():
    x = torch.zeros(1, 3, 5, requires_grad=True)
    out = match_rms(x, torch.ones(1, 1, 1))
    out.sum().backward()
    assert out.abs().max() == 0 and x.grad.isfinite().all()


def test_dropout_masks_repeat_over_copies_and_differ_over_samples():
    torch.manual_seed(0)
    x = torch.ones(6, 4, 500)
    dropped = tiled_dropout(x, 0.25, True, copies=3)
    assert torch.equal(dropped[:2], dropped[2:4]) and torch.equal(dropped[:2], dropped[4:])
    assert not torch.equal(dropped[0], dropped[1])
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 1 / 0.75]))
    assert abs((dropped == 0).float().mean() - 0.25) < 0.03
    assert tiled_dropout(x, 0.25, False, 3) is x and tiled_dropout(x, 0.0, True, 3) is x
    with pytest.raises(ValueError, match="4 copies"):
        tiled_dropout(x, 0.25, True, copies=4)


def test_block_that_starts_at_zero_is_the_identity():
    x = torch.randn(2, 9, 8)
    assert torch.equal(TransformerBlock(8, 2, conv_kernel=3, zero_output=True)(x), x)
    assert not torch.allclose(TransformerBlock(8, 2, conv_kernel=3)(x), x)


def test_convolution_beside_attention_sees_the_neighbours():
    torch.manual_seed(0)
    attention = Attention(8, 2, conv_kernel=3)
    alone = copy.deepcopy(attention)
    alone.conv = None
    x = torch.randn(1, 12, 8)
    moved = x.clone()
    moved[0, 6] = torch.randn(8)
    beside = [attention(tokens) - alone(tokens) for tokens in (x, moved)]
    changed = (beside[1] - beside[0]).abs().amax(dim=(0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [5, 6, 7]


def test_a_block_under_rotary_positions_depends_on_distances_alone():
    torch.manual_seed(0)
    block, x = TransformerBlock(8, 2, conv_kernel=3).double(), torch.randn(2, 9, 8, dtype=torch.float64)
    positions = rotary_positions(29, 4).double()
    torch.testing.assert_close(block(x, positions[:, 20:]), block(x, positions[:, :9]), atol=1e-6, rtol=1e-6)
    assert (block(x, positions[:, :9]) - block(x)).abs().max() > 1e-3


@pytest.mark.parametrize("bad", [{"nhead": 3}, {"nhead": 2, "conv_kernel": 4}])
def test_sizes_that_do_not_fit_are_refused(bad):
    with pytest.raises(ValueError, match="heads|conv_kernel"):
        TransformerBlock(8, **bad)


def test_spectral_linear_keeps_a_norm_of_one_while_it_trains():
    torch.manual_seed(0)
    layer = SpectralLinear(24, 16)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        (-layer(torch.randn(8, 24)).square().mean()).backward()  # pulls the weight to grow
        optimizer.step()
    for _ in range(20):
        layer(torch.randn(1, 24))
    layer.eval()
    assert torch.linalg.matrix_norm(layer.linear.weight, 2).item() == pytest.approx(1.0, abs=1e-3)


def test_a_modulated_block_is_a_block_with_other_norms():
    torch.manual_seed(3)
    block, x = TransformerBlock(8, 2).double(), torch.randn(1, 5, 8, dtype=torch.float64)
    scale, shift = torch.randn(2, 1, 1, 8, dtype=torch.float64)
    given = block(x, modulation=(scale, shift))
    for norm in (block.norm_attention, block.norm_feed):
        norm.weight.data.mul_(1 + scale[0, 0])
        norm.bias.data.mul_(1 + scale[0, 0]).add_(shift[0, 0])
    torch.testing.assert_close(given, block(x))
    torch.testing.assert_close(block(x, modulation=(torch.zeros(1), torch.zeros(1))), block(x))
