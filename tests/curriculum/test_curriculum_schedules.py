"""Warm-ups, ramps and instance noise; for learning rates after their warm-up see `test_curriculum_rates`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curriculum.options import SHAPES
from curriculum.schedules import (
    adversarial_ramp,
    cosine,
    instance_noise,
    is_pretraining,
    linear,
    share_of,
    warmup,
)

ALL_SHAPES = [part.load() for part in SHAPES.values()]
shapes = st.sampled_from(ALL_SHAPES)
counts = st.integers(0, 3000)


def test_linear_warmup_trace():
    assert [warmup(s, 4) for s in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_warmup_equals_torchs():
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 10, total_iters=9)
    for s in range(15):
        assert warmup(s, 10) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_cosine_warmup_trace():
    trace = [warmup(s, 5, cosine) for s in range(6)]
    expected = [0.2 + 0.8 * (0.5 - 0.5 * math.cos(math.pi * s / 4)) for s in range(5)] + [1.0]
    assert trace == pytest.approx(expected)


@given(counts, st.integers(0, 2000), shapes, st.integers(1, 256))
def test_warmup_rises_from_a_living_start_to_one(seen, length, shape, stride):
    factor = warmup(seen, length, shape, stride)
    assert min(1.0, stride / max(length, 1)) - 1e-12 <= factor <= 1.0
    assert factor <= warmup(seen + stride, length, shape, stride) + 1e-12
    if seen + stride >= length:
        assert factor == pytest.approx(1.0)


@given(st.integers(0, 50), shapes)
def test_warmup_in_samples_is_warmup_in_steps(step, shape):
    assert warmup(step * 64, 20 * 64, shape, stride=64) == pytest.approx(warmup(step, 20, shape))


def test_a_warmup_of_zero_is_off():
    assert [warmup(s, 0, shape) for s in (0, 5) for shape in ALL_SHAPES] == [1.0] * 4


def test_pretraining_and_ramp_trace():
    assert [is_pretraining(s, 3) for s in range(5)] == [True, True, True, False, False]
    assert [adversarial_ramp(s, 4, pretraining=3) for s in range(9)] == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert [adversarial_ramp(s, 0, pretraining=3) for s in range(5)] == [0, 0, 0, 1, 1]
    assert [adversarial_ramp(s, 4, cosine) for s in range(6)] == pytest.approx([0, 0.1464466, 0.5, 0.8535534, 1, 1])
    assert not is_pretraining(0, 0) and adversarial_ramp(0, 0) == 1.0


@given(counts, st.integers(0, 2000), shapes, st.integers(0, 500))
def test_the_ramp_rises_within_bounds(seen, length, shape, pretraining):
    now, then = (adversarial_ramp(s, length, shape, pretraining) for s in (seen, seen + 1))
    assert 0.0 <= now <= then + 1e-12 <= 1.0 + 2e-12
    assert adversarial_ramp(length + pretraining, length, shape, pretraining) == 1.0


def test_instance_noise_trace():
    assert [instance_noise(e, 0.1, 0.5) for e in range(3)] == pytest.approx([0.1, 0.05, 0.025])
    assert instance_noise(0.5, 0.1, 0.25) == pytest.approx(0.05)
    assert instance_noise(1000, 0.1, 1.0) == 0.1
    assert instance_noise(3, 0.0, 0.9) == 0.0


def test_shapes_go_from_nothing_to_all():
    assert [linear(share) for share in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]
    assert [cosine(share) for share in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.0, 0.1464466, 0.5, 1.0])


@given(shapes, st.floats(0, 1), st.floats(0, 1))
def test_shapes_rise_evenly_about_their_middle(shape, share, other):
    low, high = sorted((share, other))
    assert 0.0 <= shape(low) <= shape(high) + 1e-12 <= 1.0 + 2e-12
    assert shape(share) + shape(1 - share) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seen", "length", "share"), [(0, 4, 0.0), (1, 4, 0.25), (4, 4, 1.0), (9, 4, 1.0), (-3, 4, 0.0), (0, 0, 1.0)]
)
def test_the_share_of_a_way_lies_between_its_ends(seen, length, share):
    assert share_of(seen, length) == share
