"""Learning rates after their warm-up: constant, along a cosine, reduced where a validation metric stands still."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from config import make_config
from curriculum.options import DECAYS, PLATEAU_METRICS, SHAPES, PlateauOptions
from curriculum.schedules import ConstantRate, CosineRate, Plateau, PlateauRate, share_of, warmup
from errors import UserError
from registry import Options
from training.step_plan import Schedules


def rate(name, network="g", **options):
    part = DECAYS[name]
    return part.load()(part.options(**options), network)


def torchs_trace(values, factor, patience, minimum, base=1.0):
    """The learning rate of torch's own scheduler after each value."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    oracle = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=factor, patience=patience, min_lr=minimum, eps=0.0
    )
    rates = []
    for value in values:
        oracle.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


def test_cosine_equals_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for seen in range(21):
        wanted = optimizer.param_groups[0]["lr"]
        assert rate("cosine").decay(share_of(seen, 20)) == pytest.approx(wanted, abs=1e-12)
        optimizer.step()
        scheduler.step()
    assert rate("cosine").decay(share_of(999, 20)) == pytest.approx(0.0)


def test_cosine_by_its_formula():
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    expected = [(1 + math.cos(math.pi * share)) / 2 for share in shares]
    assert [rate("cosine").decay(share) for share in shares] == pytest.approx(expected)


@given(st.sampled_from(sorted(DECAYS)), st.floats(0, 1), st.floats(0, 1))
def test_decay_never_rises(name, share, other):
    low, high = sorted((share, other))
    assert -1e-12 <= rate(name).decay(high) <= rate(name).decay(low) + 1e-12 <= 1 + 2e-12
    assert rate(name).decay(0.0) == 1.0
    assert name == "cosine" or rate(name).decay(share) == 1.0


@pytest.mark.parametrize("name", ["constant", "cosine"])
@pytest.mark.parametrize("network", ["g", "d"])
def test_rates_that_follow_from_counters_alone_remember_nothing(name, network):
    schedule = rate(name, network)
    for _ in range(30):
        schedule.observe(0.5, {"val/current": 1.0, "val/d_loss": 1.0})
    assert schedule.multiplier == 1.0 and schedule.state_dict() == {}
    schedule.load_state_dict({})
    assert schedule.multiplier == 1.0 and schedule.network == network


def test_the_names_stand_for_these_classes():
    assert {name: type(rate(name)) for name in DECAYS} == {
        "constant": ConstantRate, "cosine": CosineRate, "plateau": PlateauRate
    }  # fmt: skip
    assert DECAYS["constant"].options is DECAYS["cosine"].options is Options
    assert DECAYS["plateau"].options is PlateauOptions
    built = make_config({"lr_schedule": "plateau", "plateau_factor": 0.3}).chosen("lr_schedule").build("d")
    assert isinstance(built, PlateauRate) and built.network == "d" and built.plateau.factor == 0.3


@pytest.mark.parametrize("network", ["g", "d"])
def test_a_plateau_rate_equals_torchs_with_a_hundredth_for_its_least(network):
    values = (1.0 + 0.02 * torch.randn(80, generator=torch.Generator().manual_seed(3))).tolist()
    schedule = rate("plateau", network, plateau_factor=0.4, plateau_patience=3)
    name, trace = {"g": "val/current", "d": "val/d_loss"}[network], []
    for value in values:
        schedule.observe(0.0, {name: value})
        trace.append(schedule.multiplier)
    assert trace == pytest.approx(torchs_trace(values, 0.4, 3, 0.01))
    assert len(set(trace)) > 4 and min(trace) == PlateauRate.LEAST == 0.01


@pytest.mark.parametrize(
    ("network", "options", "watched"),
    [
        ("g", {}, "current"),
        ("d", {}, "d_loss"),
        ("g", {"plateau_metric": "clean"}, "clean"),
        ("d", {"plateau_metric": "clean"}, "d_loss"),
        ("d", {"disc_plateau_metric": "ceiling"}, "ceiling"),
        ("g", {"plateau_metric": "g_loss"}, "g_loss"),
    ],
)
def test_a_plateau_rate_waits_for_its_networks_metric(network, options, watched):
    """That one stands still, all others improve; and the other way round."""
    still, moving = (rate("plateau", network, plateau_patience=0, **options) for _ in range(2))
    for k in range(4):
        improving = dict.fromkeys((f"val/{name}" for name in PLATEAU_METRICS), 1 / (k + 1))
        still.observe(0.0, improving | {f"val/{watched}": 1.0})
        moving.observe(0.0, dict.fromkeys(improving, 1.0) | {f"val/{watched}": 1 / (k + 1)})
    assert still.multiplier == 0.5**3 and moving.multiplier == 1.0


def test_a_plateau_rate_counts_anew_at_every_alpha():
    """Metrics that rise because noise rises say nothing about the learning rate."""
    schedule, trace = rate("plateau", plateau_patience=0), []
    for k, alpha in enumerate((0.25, 0.5, 0.75, 1.0, 1.0, 1.0)):
        schedule.observe(alpha, {"val/current": 1.0 + k})
        trace.append(schedule.multiplier)
    assert trace == [1.0] * 4 + [0.5, 0.25]


@pytest.mark.parametrize("name", PLATEAU_METRICS)
def test_only_metrics_that_depend_on_alpha_count_anew(name):
    """Epochs 51 to 150 of the documented schedule: alpha changes at every one of them."""
    schedule = rate("plateau", plateau_patience=10, plateau_metric=name)
    trace = []
    for epoch in range(51, 151):
        schedule.observe(0.01 * (epoch - 50), {f"val/{name}": 1.0})
        trace.append(schedule.multiplier)
    if name in ("clean", "ceiling"):  # measured at the same alpha always
        assert [trace.index(0.5**k) for k in (1, 2, 3)] == [11, 22, 33] and trace[-1] == 0.01
    else:
        assert trace == [1.0] * 100


def test_a_reduction_outlasts_a_change_of_alpha():
    schedule = rate("plateau", plateau_patience=1)
    for _ in range(3):
        schedule.observe(0.1, {"val/current": 1.0})
    schedule.observe(0.1, {"val/current": 1.0})  # stale once more, then forgotten
    schedule.observe(0.2, {"val/current": 5.0})
    schedule.observe(0.2, {"val/current": 5.0})
    assert schedule.multiplier == 0.5


def test_a_plateau_rate_without_its_metric_stands_still():
    """As the discriminator's does while there is no discriminator."""
    schedule = rate("plateau", "d", plateau_patience=0)
    for _ in range(5):
        schedule.observe(0.0, {"val/current": 1.0})
    assert schedule.multiplier == 1.0 and schedule.plateau.best is None


alphas = st.lists(st.sampled_from([0.0, 0.5]), min_size=12, max_size=12)


@given(st.lists(st.floats(0.9, 1.1), min_size=12, max_size=12), alphas, st.integers(0, 12), st.sampled_from("gd"))
def test_a_plateau_rate_resumes_from_plain_types(values, alphas, cut, network):
    options = {"plateau_patience": 1, "plateau_factor": 0.7}
    whole, kept = rate("plateau", network, **options), rate("plateau", network, **options)
    for k, (alpha, value) in enumerate(zip(alphas, values, strict=True)):
        if k == cut:
            state = json.loads(json.dumps(kept.state_dict()))
            kept = rate("plateau", network, **options)
            kept.load_state_dict(state)
        for schedule in (whole, kept):
            schedule.observe(alpha, {"val/current": value, "val/d_loss": 2 - value})
        assert kept.multiplier == whole.multiplier
    assert kept.state_dict() == whole.state_dict()


def test_the_state_of_a_plateau_rate_is_complete_or_refused():
    schedule = rate("plateau", plateau_patience=0)
    for value in (1.0, 2.0):
        schedule.observe(0.5, {"val/current": value})
    assert schedule.state_dict() == {"multiplier": 0.5, "best": 1.0, "stale": 0, "measured_at": 0.5}
    with pytest.raises(KeyError):
        schedule.load_state_dict({"multiplier": 0.5, "best": None, "stale": 0})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"lr_schedule": "cosin"}, "'constant', 'cosine' or 'plateau'"),
        ({"plateau_factor": 0.3}, "--lr_schedule plateau, not of constant"),
        (
            {"lr_schedule": "plateau", "plateau_metric": "best"},
            "plateau_metric best .* current, clean, ceiling, d_loss, g_loss",
        ),
        ({"lr_schedule": "plateau", "disc_plateau_metric": "best"}, "disc_plateau_metric best"),
        ({"lr_schedule": "plateau", "plateau_metric": "ceiling"}, "plateau_metric ceiling .* --pure_gan_mode"),
        ({"lr_schedule": "plateau", "plateau_metric": "g_loss", "gan_weight": 0}, "g_loss needs gan_weight over 0"),
        ({"lr_schedule": "plateau", "plateau_factor": 1.0}, "plateau_factor 1.0"),
        ({"lr_schedule": "plateau", "plateau_patience": -1}, "plateau_patience -1"),
    ],
)
def test_wrong_options_are_the_users_errors(options, words):
    with pytest.raises(UserError, match=words):
        make_config(options)


def learning_rates(steps, length, **options):
    """The generator's at each step of a run of `length` steps, as shares of its own."""
    config = make_config({"epochs": length, "lr": 1.0} | options)
    schedules, cpu = Schedules(config, pairs=1, global_batch=1), torch.device("cpu")
    return [schedules.plan(step, step, [step], cpu).lr_g for step in range(steps)]


def test_a_learning_rate_warms_up_and_then_decays_over_what_is_left():
    trace = learning_rates(120, 110, g_warmup_steps=10, lr_schedule="cosine")
    assert trace[:10] == pytest.approx([(s + 1) / 10 for s in range(10)])
    assert trace[10:] == pytest.approx([rate("cosine").decay(share_of(s, 100)) for s in range(110)])
    assert trace[10] == 1.0 and trace[119] == pytest.approx(0.0)


@pytest.mark.parametrize("length", [1, 60, 200])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_warmup_longer_than_the_run_still_only_warms(shape, length):
    trace = learning_rates(200, length, g_warmup_steps=300, warmup_shape=shape, lr_schedule="cosine")
    assert trace == pytest.approx([warmup(step, 300, SHAPES[shape].load()) for step in range(200)])


# --- what a plateau counts -----------------------------------------------------------------------------------------

metrics = st.lists(st.floats(0.01, 100) | st.sampled_from([1.0, 0.99995, 1.00005]), max_size=60)


@given(metrics, st.sampled_from([0.1, 0.5, 0.9]), st.integers(0, 4), st.sampled_from([0.0, 0.3]))
def test_plateau_equals_torchs(values, factor, patience, minimum):
    plateau = Plateau(factor, patience, minimum)
    assert [plateau.update(value) for value in values] == torchs_trace(values, factor, patience, minimum)


def test_plateau_trace():
    plateau = Plateau(factor=0.5, patience=1, minimum=0.2)
    trace = [plateau.update(1.0) for _ in range(9)]
    assert trace == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_nan_is_no_improvement():
    plateau = Plateau(patience=1)
    assert [plateau.update(v) for v in (float("nan"), float("nan"), 1.0, float("nan"), 0.5)] == [1, 0.5, 0.5, 0.5, 0.5]
    assert plateau.best == 0.5


def test_a_negative_metric_that_worsens_is_no_improvement():
    plateau = Plateau(patience=0)
    assert [plateau.update(v) for v in (-10.0, -9.9995, -10.1)] == [1.0, 0.5, 0.5]


@given(metrics, st.integers(0, 59))
def test_plateau_resumes_from_plain_types(values, cut):
    whole, before = Plateau(patience=2), Plateau(patience=2)
    expected = [whole.update(v) for v in values]
    first = [before.update(v) for v in values[:cut]]
    after = Plateau(patience=2)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    assert first + [after.update(v) for v in values[cut:]] == expected
    assert after == whole


def test_an_incomplete_state_is_refused():
    with pytest.raises(KeyError):
        Plateau().load_state_dict({"multiplier": 0.5})
