"""Verdicts by what is generated, bands and trends of the losses, the transition's figures, advice with values."""

import json
import math
from pathlib import Path

import pytest
from test_health import WINDOW, checked, config, diagnose, doctor_of, logged, names, noisy, window

from config import make_config
from monitoring.advice import advise
from monitoring.loss_table import BANDS, band_of, shares, trend
from monitoring.sample_words import SampleWords

LEARNED = window(start=-WINDOW, d__accuracy=0.8, d__pair_accuracy=0.8)


def generated(accuracy, loss, real=0.5, fake=0.5, **more):
    """A validation at the ceiling of alpha."""
    figures = {"accuracy": accuracy, "loss": loss, "real_prob": real, "fake_prob": fake, "gap": 0.1}
    at = {"alpha": 1.0, "phase": "noise", "val__ceiling": 1.0, "val__d_accuracy": accuracy} | more
    return checked(500, **{f"generated__d_{name}": value for name, value in figures.items()}, **at)


# What the discriminator's figures were in real runs of the recipe dcgan on digits; see docs/recipes.md.
SETTLED = {
    "loss__d": noisy(0.662, 0.013),
    "d__accuracy": 0.62,
    "d__real_prob": 0.53,
    "d__fake_prob": 0.48,
    "phase": "music",
}
LOSING = {"loss__d": noisy(0.04, 0.01), "d__accuracy": 0.99, "d__real_prob": 0.96, "d__fake_prob": 0.03}


def test_a_settled_dcgan_is_in_equilibrium_and_a_losing_one_is_not():
    """With an accuracy of 0.62, which goes with this loss, and with held-out figures like those of training."""
    held_out = generated(0.60, 0.67, 0.52, 0.49, phase="music")
    held_out.pop("val/ceiling")  # this recipe has no curriculum
    assert names(LEARNED + window(**SETTLED)) == ["equilibrium"]
    assert names([*LEARNED, *window(**SETTLED), held_out]) == ["equilibrium"]
    assert names(LEARNED + window(**LOSING)) == ["discriminator too strong"]
    early = SETTLED | {"loss__d": noisy(0.39, 0.013), "d__accuracy": 0.86, "d__real_prob": 0.69, "d__fake_prob": 0.31}
    assert names(LEARNED + window(**early)) == ["balanced"]
    between = SETTLED | {"loss__d": noisy(0.6, 0.013), "d__accuracy": 0.72}  # 0.87 of a random guess
    assert names(LEARNED + window(**between)) == ["balanced"]
    worse = SETTLED | {"loss__d": noisy(0.95, 0.013), "d__accuracy": 0.45}
    assert names(LEARNED + window(**worse)) == ["generator too strong"]


def test_traces_of_real_dcgan_runs():
    """The last 60 logged lines of 50 epochs on digits, the first 20 not counted: the recipe, and the same without
    spectral norm and instance noise, whose discriminator wins."""
    traces = json.loads(Path(__file__).with_name("dcgan_traces.json").read_text())
    options = {"beta1": 0.5, "lr": 2e-4, "disc_lr": 2e-4, "gan_weight": 1.0}
    found = {}
    for name, lines in traces.items():
        doctor = doctor_of(config(**options))
        for line in LEARNED:
            doctor.see(line)
        found[name] = [[verdict.name for verdict in doctor.see(line)] for line in lines][WINDOW:]
    assert found["settled"].count(["equilibrium"]) >= 0.9 * len(found["settled"])
    assert ["equilibrium"] not in found["losing"]
    assert found["losing"].count(["discriminator too strong"]) >= 0.9 * len(found["losing"])
    assert ["discriminator too strong"] not in found["settled"]


@pytest.mark.parametrize("loss", ["bce", "rpgan"])
def test_what_is_generated_overrules_the_training_steps(loss):
    """Training steps without fault, and a discriminator that wins, or is fooled, where it counts."""
    steps = window()
    assert names(steps, gan_loss=loss) == ["balanced"]
    assert names([*steps, generated(0.99, 0.05, 0.95, 0.04)], gan_loss=loss) == ["discriminator too strong"]
    assert names([*steps, generated(0.0, 1.4, 0.2, 0.8)], gan_loss=loss) == ["discriminator overfitting"]
    assert names([*steps, generated(0.7, 0.6)], gan_loss=loss) == ["balanced"]
    fooled = window(d__accuracy=0.4, d__pair_accuracy=0.4, loss__d=0.75)
    assert names([*fooled, generated(0.1, 1.2)], gan_loss=loss) == ["generator too strong"]


def test_equilibrium_needs_both_places():
    undecided = {"loss__d": noisy(0.69, 0.005), "d__accuracy": 0.5, "d__real_prob": 0.51, "d__fake_prob": 0.5}
    steps = LEARNED + window(**undecided)
    assert names([*steps, generated(0.52, 0.69)]) == ["equilibrium"]
    assert names([*steps, generated(0.9, 0.35, 0.8, 0.2)]) == ["balanced"]


def test_before_the_ceiling_the_current_level_counts():
    """From pure noise the generator cannot make anything yet; the accuracy at the current level is read."""
    early = generated(1.0, 0.01, 0.99, 0.01, phase="transition", val__d_accuracy=0.7, val__d_loss=0.6)
    steps = window(phase="transition")
    assert names([*steps, early]) == ["balanced"]
    fooled = early | {"val/d_accuracy": 0.0, "val/d_loss": 1.5}
    assert names([*steps, fooled]) == ["discriminator overfitting"]
    won = early | {"val/d_accuracy": 1.0, "val/d_loss": 0.02}
    assert names([*steps, won]) == ["discriminator too strong"]


def test_the_evidence_names_both_places():
    verdict, *_ = diagnose([*window(), generated(0.99, 0.0693, 0.95, 0.04)], config())
    expected = "generated: D accuracy 0.99, L_D 0.10 of a random guess, D(x) 0.95, D(G) 0.04; training steps: "
    assert verdict.evidence.startswith(f"{expected}D accuracy 0.70, L_D 0.87 of a random guess, D(x) 0.60")


def test_a_discriminator_under_60_percent_in_the_transition_is_a_warning():
    assert names(window(d__accuracy=0.85, phase="transition")) == ["balanced"]
    found = diagnose(window(d__accuracy=0.55, phase="transition"), config())
    assert [verdict.name for verdict in found] == ["balanced", "discriminator weak"]
    assert found[1].evidence == "accuracy 0.55 in the transition; about 0.85 is usual, under 0.60 is a warning"
    assert names(window(d__accuracy=0.55)) == ["balanced"]  # not in the noise phase
    assert names(window(3, d__accuracy=0.55, phase="transition")) == ["warming up"]
    assert names(window(d__accuracy=0.55, phase="transition"), health={"weak": 0.5}) == ["balanced"]


def test_the_loss_without_noise_stays_within_20_percent_of_the_music_phases():
    before = checked(1, alpha=0.0, phase="music", val__clean=1.0)
    for now, expected in ((1.1, []), (1.19, []), (1.3, ["music forgotten"])):
        lines = [before, *window(), checked(500, val__clean=now)]
        assert names(lines)[1:] == expected
    found = diagnose([before, *window(), checked(500, val__clean=1.3)], config())
    assert "30 % above that of the music phase; 10 to 20 % is usual" in found[1].evidence
    assert names([*window(), checked(500, val__clean=9.0)]) == ["balanced"]  # no phase without noise
    arrived = checked(500, val__clean=9.0, phase="noise", alpha=1.0)
    assert names([before, *window(), arrived]) == ["balanced"]


@pytest.mark.parametrize(
    ("loss", "name"),
    [(0.05, "D wins"), (0.2, "D ahead"), (0.5, "healthy"), (0.69, "healthy"), (0.8, "D behind"), (0.95, "D loses"),
     (1.5, "D fails")],
)  # fmt: skip
def test_bands_of_the_discriminators_loss(loss, name):
    assert band_of(loss, math.log(2)).name == name
    assert band_of(loss / math.log(2) * 2.0, 2.0).name == name  # hinge: in proportion to its random guess


def test_the_bands_are_the_documents_and_leave_no_gap():
    assert [band.low for band in BANDS] == [0.0, 0.1, 0.3, 0.7, 0.9, 1.0]
    assert [band.high for band in BANDS] == [0.1, 0.3, 0.7, 0.9, 1.0, math.inf]
    found = shares([0.05, 0.5, 0.5, 1.2], math.log(2))
    assert (found["D wins"], found["healthy"], found["D fails"], found["D behind"]) == (0.25, 0.5, 0.25, 0.0)
    assert BANDS[2].within(2.0) == pytest.approx((0.3 * 2 / math.log(2), 0.7 * 2 / math.log(2)))


def test_trends_of_the_generators_loss():
    assert trend([2 - k / 10 for k in range(12)]) == "falling"
    assert trend([1 + k / 10 for k in range(12)]) == "rising"
    assert trend([1.0, 1.05] * 6) == "constant" and trend([1.0] * 5) is None
    (verdict,) = diagnose(window(loss__g_adv=lambda i: 2 - i / 20), config())
    assert verdict.evidence.endswith("L_G falling")


def test_a_collapse_is_said_with_the_band_and_never_by_it():
    collapsed = [checked(500, diversity__ratio=0.1), checked(510, diversity__ratio=0.08)]
    found = diagnose([*window(loss__d=0.05, d__accuracy=0.8), *collapsed], config())
    assert found[-1].evidence == (
        "diversity of generated clips 0.08 of that of real ones, L_D 0.07 of a random guess (D wins)"
    )
    varied = [checked(500, diversity__ratio=0.9), checked(510, diversity__ratio=0.9)]
    assert "mode collapse" not in names([*window(loss__d=1.4, d__accuracy=0.4), *varied])


def test_advice_has_values_that_follow_from_the_runs_options():
    assert advise("discriminator too strong", {"disc_lr": 1e-4}).startswith(
        "lower --disc_lr to 5e-05, raise --r1_weight"
    )
    assert "--disc_lr to 2.5e-05" in advise("discriminator too strong", make_config({}).flat())  # half of lr, halved
    assert "--r1_weight to 10 and --r2_weight to 1" in advise("oscillation", {"r1_weight": 5.0})
    assert "--lr 0.0005 --disc_lr 0.00025" in advise("divergence", {"lr": 1e-3})
    assert "--pure_gan_mode to 0.005" in advise("curriculum too fast", {"pure_gan_mode": 0.01})
    assert advise("something of another version", {}) == ""
    (verdict,) = diagnose(window(**LOSING), config(lr=4e-4))
    assert str(verdict).endswith("lower --disc_lr to 0.0001, raise --r1_weight to 1 and --r2_weight to 1, or add "
                                 "--instance_noise_std 0.1")  # fmt: skip


def test_images_are_called_images():
    doctor = doctor_of(config())
    doctor.words = SampleWords("image", "images", "images")
    for line in [*window(), checked(500, diversity__nearest_train=0.3)]:
        doctor.see(line)
    verdict = doctor.verdicts[-1]
    assert verdict.evidence == "nearest training image at 0.30 of held-out images' distance"
    assert verdict.advice.startswith("use more images") and "music" not in str(verdict)


def test_figures_that_are_missing_or_not_finite_are_left_out():
    line = generated("nan", 0.5)
    assert names([*window(), line]) == ["balanced"]
    assert names([*window(), logged(600), checked(700, val__d_accuracy=0.7)]) == ["balanced"]
