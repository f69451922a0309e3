"""Agents and fixed masks. B batch, D channels, T frames, K uniform numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.agents import VIEWS, CompositionalAgent, CreativeAgent
from models.masks import Masking
from models.options import MASKS
from registry import NONE

KINDS = [name for name in MASKS if name != NONE]


def sources(batch: int, frames: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, batch, 8, frames, generator=torch.Generator().manual_seed(frames)).unbind()


def masked(kind: str, x: torch.Tensor, y: torch.Tensor, uniform_BK: torch.Tensor | None, **options) -> Masking:
    """Both sources under the mask of that name; options that it does not own are left out."""
    part = MASKS[kind]
    own = {name: value for name, value in options.items() if name in part.options.model_fields}
    return part.load()(part.options(**own), x, y, uniform_BK)


def uniforms_of(kind: str, channels: int) -> int:
    return MASKS[kind].facts.get("uniforms", lambda channels: 0)(channels)


def rms(x: torch.Tensor) -> torch.Tensor:
    return x.square().mean(dim=(1, 2)).sqrt()


def creative() -> CreativeAgent:
    torch.manual_seed(0)
    return CreativeAgent(channels=8, hidden=16, nhead=2)


def compositional() -> CompositionalAgent:
    torch.manual_seed(0)
    return CompositionalAgent(channels=8, view_channels=4, width=16, nhead=2, num_layers=1)


@pytest.mark.parametrize("frames", [1, 7, 150])
def test_creative_agent_masks_and_keeps_the_level(frames):
    x, y = sources(3, frames)
    x = x * torch.tensor([0.01, 1.0, 50.0])[:, None, None]
    prepared = creative()(x, y)
    for shown, mask, source in zip(prepared[:2], prepared[2:4], (x, y), strict=True):
        assert mask.shape == source.shape and mask.min() > 0 and mask.max() < 1
        torch.testing.assert_close(rms(shown), rms(source), rtol=1e-4, atol=1e-6)
        direction = torch.cosine_similarity(shown.flatten(1), (source * mask).flatten(1))
        torch.testing.assert_close(direction, torch.ones(3))
    assert prepared.view_weights is None


def test_creative_masks_depend_on_both_sources():
    agent, (x, y) = creative(), sources(1, 20)
    before, after = agent(x, y), agent(x, y + 1.0)
    assert (before.mask_input - after.mask_input).abs().max() > 1e-4
    assert (before.mask_input - before.mask_target).abs().max() > 1e-3


@pytest.mark.parametrize("frames", [1, 7, 150])
def test_compositional_agent_weighs_six_views_and_keeps_the_input_level(frames):
    x, y = sources(3, frames)
    prepared = compositional()(x, y)
    assert prepared.input.shape == x.shape
    torch.testing.assert_close(rms(prepared.input), rms(x), rtol=1e-4, atol=1e-6)
    assert prepared.view_weights.shape == (3, len(VIEWS)) == (3, 6)
    torch.testing.assert_close(prepared.view_weights.sum(dim=1), torch.ones(3))
    assert prepared.view_weights.min() > 0


def test_compositional_agent_leaves_the_target_beside_what_it_composed_and_learns_no_masks():
    x, y = sources(2, 9)
    prepared = compositional()(x, y)
    assert torch.equal(prepared.target, y)
    assert prepared.mask_input is None and prepared.mask_target is None


def test_compositional_agent_depends_on_both_sources():
    agent, (x, y) = compositional(), sources(1, 20)
    composed = agent(x, y).input
    assert (agent(x, y.flip(2)).input - composed).abs().max() > 1e-4
    assert (agent(x.flip(2), y).input - composed).abs().max() > 1e-4


@pytest.mark.parametrize("make", [creative, compositional])
def test_gradient_reaches_every_parameter_of_an_agent(make):
    agent, (x, y) = make(), sources(2, 20)
    sum((part * torch.randn_like(part)).sum() for part in agent(x, y) if part is not None).backward()
    assert [n for n, p in agent.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert all(part.isfinite().all() for part in agent(x, y) if part is not None)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(KINDS), frames=st.integers(1, 80), segment=st.integers(2, 40), seed=st.integers(0, 99))
def test_masks_are_complementary_and_applied(kind, frames, segment, seed):
    x, y = sources(2, frames)
    uniform = torch.rand(2, 8, generator=torch.Generator().manual_seed(seed))
    masking = masked(kind, x, y, uniform, mask_temporal_segment=segment)
    assert masking.mask_input.shape == masking.mask_target.shape == x.shape
    torch.testing.assert_close(masking.mask_input + masking.mask_target, torch.ones_like(x))
    assert masking.mask_input.min() >= 0 and masking.mask_input.max() <= 1
    assert torch.equal(masking.masked_input, x * masking.mask_input)
    assert torch.equal(masking.masked_target, y * masking.mask_target)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_is_a_function_of_its_sample_and_its_numbers(kind):
    x, y = sources(4, 60)
    uniform = torch.rand(4, uniforms_of(kind, 8))
    whole = masked(kind, x, y, uniform).mask_input
    alone = masked(kind, x[2:3], y[2:3], uniform[2:3]).mask_input
    assert torch.equal(whole[2:3], alone)
    chance_matters = any(
        not torch.equal(whole, masked(kind, x, y, torch.rand_like(uniform)).mask_input) for _ in range(5)
    )
    assert chance_matters == (uniforms_of(kind, 8) > 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_uses_as_many_uniform_numbers_as_it_says(kind):
    """Further columns change nothing, and a mask that says nothing of them needs none."""
    x, y = sources(4, 60)
    uniform = torch.rand(4, 20, generator=torch.Generator().manual_seed(1))
    needed = uniforms_of(kind, 8)
    whole = masked(kind, x, y, uniform).mask_input
    fitting = uniform[:, :needed] if needed else None
    assert torch.equal(masked(kind, x, y, fitting).mask_input, whole)
    assert uniforms_of("spectral", 5) == 5 and uniforms_of("temporal", 5) == uniforms_of("hybrid", 5) == 1


def test_temporal_segments_alternate_with_short_fades():
    x, y = sources(1, 100)
    mask = masked("temporal", x, y, torch.zeros(1, 1), mask_temporal_segment=20).mask_input[0, 0]
    assert mask[4:17].eq(1).all() and mask[24:37].eq(0).all() and mask[44:57].eq(1).all()
    assert mask[[0, 20, 40]].tolist() == [0.5] * 3
    assert mask.diff().abs().max() <= 1 / 8 + 1e-6
    shifted = masked("temporal", x, y, torch.full((1, 1), 0.25), mask_temporal_segment=20).mask_input[0, 0]
    torch.testing.assert_close(shifted[:-10], mask[10:])


def test_channel_masks_split_the_channels():
    x, y = sources(50, 5)
    low = masked("frequency", x, y, None, mask_freq_split=0.25).mask_input
    assert low[0, :, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    uniform = torch.rand(50, 8, generator=torch.Generator().manual_seed(0))
    random = masked("spectral", x, y, uniform, mask_channel_keep=0.75).mask_input[:, :, 0]
    assert (random.sum(dim=1) == 6).all() and 0.5 < random.mean(dim=0).min() < random.mean(dim=0).max() < 1


def test_energy_mask_takes_the_loudest_frames_of_the_input():
    x = torch.arange(10.0).expand(1, 8, 10)
    mask = masked("energy", x, x.flip(2), None, mask_energy_threshold=0.7).mask_input
    assert mask[0, 0].tolist() == [0] * 7 + [1] * 3


def test_hybrid_swaps_the_sides_of_the_split_from_segment_to_segment():
    x, y = sources(1, 40)
    mask = masked("hybrid", x, y, torch.zeros(1, 1), mask_temporal_segment=20, mask_freq_split=0.5).mask_input[0]
    assert mask[:, 10].tolist() == [1] * 4 + [0] * 4 and mask[:, 30].tolist() == [0] * 4 + [1] * 4


def test_no_mask_hides_nothing():
    assert masked(NONE, *sources(2, 5), None) is None
    assert [name for name, part in MASKS.items() if part.facts.get("hides")] == KINDS
