import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curriculum.schedules import (
    DECAYS,
    SHAPES,
    Plateau,
    adversarial_ramp,
    decay,
    instance_noise,
    is_pretraining,
    rate_factor,
    warmup,
)

shapes = st.sampled_from(sorted(SHAPES))
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
    trace = [warmup(s, 5, "cosine") for s in range(6)]
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
    assert [warmup(s, 0, shape) for s in (0, 5) for shape in SHAPES] == [1.0] * 4


def test_cosine_decay_equals_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.1)
    for seen in range(21):
        assert decay(seen, 20, "cosine", 0.1) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert decay(999, 20, "cosine", 0.1) == pytest.approx(0.1)


@given(counts, st.integers(0, 2000), st.sampled_from(sorted(DECAYS)), st.floats(0, 1))
def test_decay_never_rises(seen, length, kind, minimum):
    factor = decay(seen, length, kind, minimum)
    assert minimum - 1e-12 <= decay(seen + 1, length, kind, minimum) <= factor + 1e-12 <= 1 + 2e-12
    assert decay(seen, length, "constant", minimum) == 1.0


def test_rate_factor_is_warmup_then_decay():
    options = {"warmup_length": 10, "kind": "cosine", "minimum": 0.1}
    trace = [rate_factor(s, 110, **options) for s in range(120)]
    assert trace[:10] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert trace[10:] == pytest.approx([decay(s, 100, "cosine", 0.1) for s in range(110)])
    assert trace[10] == 1.0 and trace[119] == pytest.approx(0.1)


@given(st.integers(0, 200), shapes, st.integers(0, 200))
def test_a_warmup_longer_than_the_run_still_only_warms(seen, shape, length):
    factor = rate_factor(seen, length, warmup_length=300, warmup_shape=shape, kind="cosine")
    assert factor == warmup(seen, 300, shape)


def test_pretraining_and_ramp_trace():
    assert [is_pretraining(s, 3) for s in range(5)] == [True, True, True, False, False]
    assert [adversarial_ramp(s, 4, pretraining=3) for s in range(9)] == [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert [adversarial_ramp(s, 0, pretraining=3) for s in range(5)] == [0, 0, 0, 1, 1]
    assert [adversarial_ramp(s, 4, "cosine") for s in range(6)] == pytest.approx([0, 0.1464466, 0.5, 0.8535534, 1, 1])
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


metrics = st.lists(st.floats(0.01, 100) | st.sampled_from([1.0, 0.99995, 1.00005]), max_size=60)


@given(
    metrics, st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.3]),
    st.booleans(),
)  # fmt: skip
def test_plateau_equals_torchs(values, factor, patience, cooldown, minimum, maximise):
    plateau = Plateau(factor, patience, cooldown, minimum, maximise=maximise)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, "max" if maximise else "min", factor, patience, cooldown=cooldown, min_lr=minimum, eps=0.0
    )
    for value in values:
        oracle.step(value)
        assert plateau.update(value) == optimizer.param_groups[0]["lr"]


def test_plateau_trace():
    plateau = Plateau(factor=0.5, patience=1, cooldown=2, minimum=0.2)
    trace = [plateau.update(1.0) for _ in range(13)]
    assert trace == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_nan_is_no_improvement():
    plateau = Plateau(patience=1)
    assert [plateau.update(v) for v in (float("nan"), float("nan"), 1.0, float("nan"), 0.5)] == [1, 0.5, 0.5, 0.5, 0.5]
    assert plateau.best == 0.5


def test_a_negative_metric_that_worsens_is_no_improvement():
    plateau = Plateau(patience=0)
    assert [plateau.update(v) for v in (-10.0, -9.9995, -10.1)] == [1.0, 0.5, 0.5]


@given(metrics, st.integers(0, 59))
def test_plateau_resumes_from_plain_types(values, cut):
    whole, before = Plateau(patience=2, cooldown=1), Plateau(patience=2, cooldown=1)
    expected = [whole.update(v) for v in values]
    first = [before.update(v) for v in values[:cut]]
    after = Plateau(patience=2, cooldown=1)
    after.restore(json.loads(json.dumps(before.state())))
    assert first + [after.update(v) for v in values[cut:]] == expected
    assert after == whole


def test_an_incomplete_state_is_refused():
    with pytest.raises(KeyError):
        Plateau().restore({"multiplier": 0.5})
