"""Every verdict on a synthetic trace, for every objective that it means something different to."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import RunConfig, known_options, make_config
from losses import options
from monitoring.advice import ADVICE, BAD, advise
from monitoring.health import Doctor

WINDOW = 20
OBJECTIVES = {name: part.load()(part.options()) for name, part in options.OBJECTIVES.items()}


def config(health=None, **options) -> RunConfig:
    more = {"conditions": "alpha"} if options.get("gan_loss") == "arc" else {}
    return make_config({"health": {"window": WINDOW} | (health or {}), "gan_loss": "bce"} | options | more)


def doctor_of(c: RunConfig) -> Doctor:
    """As a run makes it."""
    objective = c.chosen("gan_loss").build()
    return Doctor(c.health.health, objective, c.adversarial.gan_weight > 0, c.weights, c.rates, c.flat())


def diagnose(lines, c: RunConfig):
    """Verdicts after the last of the lines."""
    doctor = doctor_of(c)
    for line in lines:
        doctor.see(line)
    return doctor.verdicts


def logged(step=0, **figures):
    """A line of a healthy run with bce, with what the test says about it."""
    line = {"step": step, "epoch": 1, "alpha": 0.5, "phase": "noise", "pretrain_phase": 0}
    line |= {"loss/d": 0.6, "loss/d_total": 0.6, "loss/g_total": 1.0, "loss/g_adv": 0.8}
    line |= {"d/accuracy": 0.7, "d/pair_accuracy": 0.75, "d/real_prob": 0.6, "d/fake_prob": 0.4, "d/gap": 0.8}
    line |= {"latents/fake_std": 1.0, "latents/real_std": 1.0, "grad_norm/g": 0.5, "grad_norm/d": 0.5}
    return line | {name.replace("__", "/"): value for name, value in figures.items()}


def window(count=WINDOW, start=0, **figures):
    """Lines of a figure each: a number, or a function of the line's index."""
    values = [{k: v(i) if callable(v) else v for k, v in figures.items()} for i in range(count)]
    return [logged(10 * (start + i), **figure) for i, figure in enumerate(values)]


def checked(step, **figures):
    line = {"step": step, "epoch": 1, "alpha": 0.5, "phase": "transition", "val/current": 1.0}
    return line | {name.replace("__", "/"): value for name, value in figures.items()}


def names(lines, **options):
    return [verdict.name for verdict in diagnose(lines, config(**options))]


def noisy(mean, deviation, seed=0):
    drawn = np.random.default_rng(seed).normal(mean, deviation, 1000)
    return lambda i: float(drawn[i])


# figures of a discriminator that wins, loses, and cannot decide, in each objective's own units
WON = {
    "bce": {"loss__d": 0.03, "d__accuracy": 1.0, "d__real_prob": 0.97, "d__fake_prob": 0.03},
    "hinge": {"loss__d": 0.05, "d__accuracy": 0.99},
    "lsgan": {"loss__d": 0.02, "d__accuracy": 1.0},
    "rpgan": {"loss__d": 0.05, "d__pair_accuracy": 0.99, "d__accuracy": 0.5},
    "arc": {"loss__d": 0.05, "d__pair_accuracy": 0.99, "d__accuracy": 0.5},
    "wgan-gp": {"loss__d": lambda i: -1 - i / 5, "d__gap": lambda i: 1 + i / 5, "d__pair_accuracy": 1.0},
}
LOST = {
    name: {"d__accuracy": 0.2, "d__pair_accuracy": 0.2, "d__gap": -0.5, "d__real_prob": 0.4, "d__fake_prob": 0.6}
    for name in OBJECTIVES
}
UNDECIDED = {
    name: {
        "loss__d": noisy(objective.baseline, 0.005),
        "d__accuracy": 0.5,
        "d__pair_accuracy": 0.52,
        "d__gap": 0.001,
        "d__real_prob": 0.51,
        "d__fake_prob": 0.5,
    }
    for name, objective in OBJECTIVES.items()
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_discriminator_that_wins_loses_or_cannot_decide(objective):
    learned = window(start=-WINDOW, d__accuracy=0.8, d__pair_accuracy=0.8)
    assert names(window(**WON[objective]), gan_loss=objective) == ["discriminator too strong"]
    assert names(window(**LOST[objective]), gan_loss=objective) == ["generator too strong"]
    assert names(learned + window(**UNDECIDED[objective]), gan_loss=objective) == ["equilibrium"]
    assert names(window(**UNDECIDED[objective]), gan_loss=objective) == ["discriminator not learning"]
    halfway = {"loss__d": 0.8 * OBJECTIVES[objective].baseline if objective != "wgan-gp" else -0.5}
    assert names(window(**halfway), gan_loss=objective) == ["balanced"]


def test_a_large_gap_that_stands_still_is_no_fault_of_a_critic():
    figures = {"loss__d": -2.0, "d__gap": 2.0, "d__pair_accuracy": 1.0}
    assert names(window(**figures), gan_loss="wgan-gp") == ["balanced"]


def test_a_regularised_relativistic_run_is_balanced():
    """Ranks nearly every pair rightly at a loss of 0.28: as in a good run with R1 and R2."""
    assert names(window(loss__d=noisy(0.28, 0.04), d__pair_accuracy=0.96), gan_loss="rpgan") == ["balanced"]


def test_with_smoothed_labels_the_undecided_probability_is_half_the_label():
    learned = window(start=-WINDOW, d__accuracy=0.8)
    figures = UNDECIDED["bce"] | {"d__real_prob": 0.41, "d__fake_prob": 0.41}
    assert names(learned + window(**figures), label_smoothing=0.8) == ["equilibrium"]
    assert names(learned + window(**figures)) == ["balanced"]


@pytest.mark.parametrize("figures", [{"grad_norm__d": 0.0}, {"latents__fake_std": 0.3}, {"latents__fake_std": 2.0}])
def test_a_discriminator_that_stopped_learning(figures):
    learned = window(start=-WINDOW, d__accuracy=0.8)
    assert names(learned + window(**UNDECIDED["bce"], **figures)) == ["discriminator not learning"]


def test_pretraining_and_warming_up():
    alone = [{k: v for k, v in line.items() if "/d" not in k and "d/" not in k} for line in window(pretrain_phase=1)]
    assert names(alone, g_pretrain_steps=300) == ["pre-training"]
    joined = alone + window(3, start=WINDOW)
    assert names(joined, g_pretrain_steps=190) == ["warming up"]
    assert names(window(gan_weight=0), gan_weight=0) == ["pre-training"]
    assert names(window(), d_warmup_steps=1000) == ["warming up"]
    assert names(window(), g_warmup_steps=1000) == ["warming up"]
    assert names(window(), adv_ramp_steps=1000) == ["warming up"]
    assert names(window(), adv_ramp_steps=100, g_warmup_steps=190) == ["balanced"]


@pytest.mark.parametrize("period", [2, 7, 9])
def test_oscillation(period):
    swing = window(loss__d=lambda i: 0.6 + 0.45 * math.sin(2 * math.pi * (i + 0.5) / period))
    assert names(swing) == ["oscillation"]
    critic = window(loss__d=0.0, d__gap=lambda i: 0.5 + 0.6 * math.sin(2 * math.pi * (i + 0.5) / period))
    assert names(critic, gan_loss="wgan-gp") == ["oscillation"]


@pytest.mark.parametrize("size", [1e-170, 1e200])
def test_oscillation_does_not_depend_on_the_size(size):
    """Squares of such values are 0 or infinite."""
    critic = window(loss__d=0.0, d__gap=lambda i: size * (0.5 + 0.6 * math.sin(2 * math.pi * (i + 0.5) / 7)))
    assert names(critic, gan_loss="wgan-gp") == ["oscillation"]


def test_a_vanished_loss_may_swing():
    won = WON["bce"] | {"loss__d": lambda i: 0.001 if i % 7 < 4 else 0.03}
    assert names(window(**won)) == ["discriminator too strong"]


def test_a_trend_is_no_oscillation():
    assert names(window(loss__d=lambda i: 1.4 - i / 15)) == ["balanced"]


def test_noise_is_no_oscillation():
    found = sum("oscillation" in names(window(loss__d=noisy(0.6, 0.35, seed))) for seed in range(100))
    assert found <= 5


@pytest.mark.parametrize(
    "last",
    [
        {"loss__g_total": "nan"},
        {"loss__d_total": math.inf},
        {"grad_norm__g": "inf"},
        {"latents__fake_std": 3.5},
    ],
)
def test_divergence_of_the_last_lines(last):
    assert names([*window(), logged(1000, **last)]) == ["divergence"]
    assert names([logged(0, **last)]) == ["divergence"]  # also before the window has filled


def test_divergence_by_growth_needs_gradients_and_losses():
    def growing(i):
        return 0.5 * 1.3**i

    both = {"grad_norm__g": growing, "loss__g_total": growing}
    assert names(window(**both)) == ["divergence"]
    assert names(window(grad_norm__g=growing)) == ["balanced"]
    assert names(window(grad_norm__d=growing, loss__d_total=growing)) == ["divergence"]


def test_a_loss_that_rises_from_nothing_with_alpha_is_no_divergence():
    def easy_then_harder(i):
        return 1e-12 if i < 12 else 0.004

    rises = {"grad_norm__g": easy_then_harder, "loss__g_total": easy_then_harder}
    assert names(window(**rises)) == ["balanced"]
    high = {"grad_norm__g": easy_then_harder, "loss__g_total": lambda i: 1e-12 if i < 12 else 0.3}
    assert names(window(**high)) == ["divergence"]


def test_skipped_updates_are_divergence():
    assert names(window(skipped__g=lambda i: 10.0 * i)) == ["divergence"]
    assert names(window(skipped__g=3.0)) == ["balanced"]


def test_one_value_that_was_not_finite_is_forgotten():
    assert names([logged(-10, loss__d="nan", loss__d_total="nan"), *window(WINDOW - 1)]) == ["balanced"]


def test_mode_collapse_is_found_by_the_clips():
    healthy = window()
    both = [checked(500, diversity__ratio=0.1), checked(510, diversity__ratio=0.08)]
    assert names([*healthy, *both]) == ["balanced", "mode collapse"]
    assert names([*healthy, both[0]]) == ["balanced"]  # once is no verdict
    assert names([*healthy, both[0], checked(510, diversity__ratio=0.4)]) == ["balanced"]
    assert names([*healthy, *both], health={"diversity": 0.05}) == ["balanced"]
    alone = window(pretrain_phase=1)
    for line in alone:
        del line["loss/d"]
    assert names([*alone, *both]) == ["pre-training"]
    lost = window(**WON["bce"])  # the loss says nothing about it
    assert names(lost + [checked(500, diversity__ratio=0.9), checked(510, diversity__ratio=0.9)]) == [
        "discriminator too strong"
    ]


def test_regression_to_the_mean():
    blurred = {"latents__fake_std": 0.4, "latents__real_std": 1.0}
    assert names(window(**blurred, alpha=0.9)) == ["balanced", "regression to the mean"]
    assert names(window(**blurred, alpha=0.5)) == ["balanced"]
    assert names(window(latents__fake_std=0.7, alpha=1.0)) == ["balanced"]


def test_memorisation():
    assert names([*window(), checked(500, diversity__nearest_train=0.3)]) == ["balanced", "memorisation"]
    assert names([*window(), checked(500, diversity__nearest_train=0.9)]) == ["balanced"]
    assert names([*window(3), checked(500, diversity__nearest_train=0.3)]) == ["warming up"]
    one_clip = checked(500, diversity__nearest_train=0.3, diversity__ratio=0.01)
    assert names([*window(), one_clip, one_clip | {"step": 510}]) == ["balanced", "mode collapse"]


def test_curriculum_too_fast():
    before = [checked(1, val__current=9.0, alpha=0.0, phase="music"), checked(2, val__current=1.0, alpha=0.0)]
    after = checked(500, val__current=1.6, alpha=0.4)
    assert names([*before, *window(), after]) == ["balanced", "curriculum too fast"]
    assert names([*before, *window(), after], health={"val_rise": 0.7}) == ["balanced"]
    assert names([*before, *window(), after | {"phase": "noise"}]) == ["balanced"]  # arrived: nothing to slow
    assert names([*window(), after]) == ["balanced"]  # nothing to compare with
    copied = checked(2, val__current=1e-6, alpha=0.0, phase="music"), checked(3, val__current=0.001, alpha=0.1)
    for loss, verdicts in ((0.2, ["balanced"]), (0.6, ["balanced", "curriculum too fast"])):
        assert names([*copied, *window(), checked(500, val__current=loss, alpha=0.4)]) == verdicts


def test_every_verdict_has_advice_and_it_is_right():
    for name in ADVICE:
        assert "\n" not in ADVICE[name] and len(advise(name, {})) < 130
    won = ADVICE["discriminator too strong"]
    assert "gan_weight" not in won and "lower --disc_lr" in won and "instance_noise" in won and "raise --r1" in won
    known = set(known_options())
    for advice in ADVICE.values():
        words = [word.strip(",.;:()") for word in advice.split() if word.startswith(("--", "(--"))]
        assert {word.strip("(").lstrip("-") for word in words} <= known
    assert {"balanced", "equilibrium", "warming up", "pre-training"}.isdisjoint(BAD)


def test_evidence_names_the_figures():
    (verdict,) = diagnose(window(**WON["bce"]), config())
    assert verdict.evidence == "D accuracy 1.00, L_D 0.04 of a random guess, D(x) 0.97, D(G) 0.03, L_G constant"
    (verdict,) = diagnose(window(loss__d=0.347), config(gan_loss="rpgan"))
    assert verdict.evidence == "pairs ranked correctly 0.75, L_D 0.50 of a random guess, gap 0.8, L_G constant"


def test_news_are_reported_once_and_not_for_a_flicker():
    doctor, reported = doctor_of(config()), []
    trace = window() + window(1, start=WINDOW, **LOST["bce"]) + window(WINDOW, start=WINDOW + 1)
    trace += [checked(900, diversity__nearest_train=0.3)] + window(5, start=100)
    for line in trace:
        doctor.see(line)
        reported.append([verdict.name for verdict in doctor.news()])
    assert [news for news in reported if news] == [["warming up"], ["balanced"], ["memorisation"]]


lines_of_any_run = st.lists(
    st.fixed_dictionaries(
        {
            "loss__d": st.floats(0, 2) | st.just("nan"),
            "d__accuracy": st.floats(0, 1),
            "alpha": st.floats(0, 1),
            "diversity__ratio": st.floats(0, 1),
            "val__current": st.floats(0.1, 3),
        }
    ),
    min_size=1,
    max_size=30,
)


@given(lines_of_any_run, st.integers(0, 30))
def test_a_resumed_doctor_knows_what_it_knew(figures, cut):
    """The file has one line per step; the living doctor sees a step's training figures before its validation."""
    living, known = doctor_of(config(health={"window": 4})), []
    for i, figure in enumerate(figures):
        line = logged(i, **figure)
        val = {name: line.pop(name) for name in ("diversity/ratio", "val/current")}
        living.see(line)
        if i % 3 == 0:
            living.see({name: line[name] for name in ("step", "alpha", "phase")} | val)
            line |= val
        known.append((json.loads(json.dumps(line)), [(v.name, v.evidence) for v in living.verdicts]))
    resumed = doctor_of(config(health={"window": 4}))
    for line, verdicts in known:
        assert [(v.name, v.evidence) for v in resumed.see(line)] == verdicts
