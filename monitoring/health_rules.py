"""The rules of the health checks: from logged metrics to a verdict, or None if a rule does not apply.

The first rule of `STATE` that applies gives the state of the two networks; every rule of `FINDINGS` that applies adds a
problem of the generated samples. Thresholds are those of `--health`.
"""

from collections.abc import Callable
from math import isfinite, log, nan
from statistics import fmean, median, pstdev

from monitoring.loss_table import band_of
from monitoring.verdicts import Figures, Past, Verdict

# 2 % of the variance of normalised latents. With music at the input the loss begins near zero and rises with alpha,
# which is no divergence.
SMALL_LOSS = 0.02
# That of the mean of all samples. The loss of a generator whose target is its input rises from nothing to a part of it.
USELESS_LOSS = 1.0


def _not_finite(past: Past) -> Verdict | None:
    recent = past.steps[-max(1, len(past.steps) // 3) :]
    for name in ("loss/g_total", "loss/d_total", "grad_norm/g", "grad_norm/d"):
        count = sum(not isfinite(float(line[name])) for line in recent if name in line)
        if count:
            return Verdict("divergence", f"{name} is not finite in {count} of the last {len(recent)} lines")
    for network in ("g", "d"):
        skipped = past.series(f"skipped/{network}")
        if len(skipped) > 1 and skipped[-1] - skipped[0] >= len(skipped):
            return Verdict("divergence", f"{skipped[-1] - skipped[0]:.0f} updates of {network.upper()} were skipped")
    return None


def _blown_up(past: Past) -> Verdict | None:
    t = past.thresholds
    if past.steps and "latents/fake_std" in past.steps[-1]:
        fake, real = (float(past.steps[-1][f"latents/{kind}_std"]) for kind in ("fake", "real"))
        if real > 0 and fake > t.spread * real:
            return Verdict("divergence", f"deviation of fakes {fake:.3g}, of reals {real:.3g}")
    if len(past.steps) < t.window:
        return None
    for network in ("g", "d"):
        rises = [
            _rise(past.series(f"grad_norm/{network}"), floor=1e-12),
            _rise(past.series(f"loss/{network}_total"), floor=SMALL_LOSS),
        ]
        if all(rise is not None and rise > t.growth for rise in rises):
            evidence = f"gradient norm x {rises[0]:.0f} and loss x {rises[1]:.0f} within the window"
            return Verdict("divergence", f"{network.upper()}: {evidence}")
    return None


def _rise(series: list[float], floor: float) -> float | None:
    """The median absolute value of the last quarter over that of the first half, which counts as `floor` at least."""
    if len(series) < 4:
        return None
    early, late = median(map(abs, series[: len(series) // 2])), median(map(abs, series[-(len(series) // 4) :]))
    return late / max(early, floor)


def _pretraining(past: Past) -> Verdict | None:
    if not past.adversarial:
        return Verdict("pre-training", "gan_weight is 0: there is no discriminator in this run")
    if past.steps and past.steps[-1].get("pretrain_phase"):
        step, length = past.steps[-1]["step"], past.weights.g_pretrain_steps
        return Verdict("pre-training", f"step {step} of {length}")
    return None


def _warming_up(past: Past) -> Verdict | None:
    t, weights, rates = past.thresholds, past.weights, past.rates
    if len(past.with_discriminator) < t.window:
        return Verdict("warming up", f"{len(past.with_discriminator)} of {t.window} logged steps since D joined")
    step = past.steps[-1]["step"]
    for name, end in (
        ("g_warmup_steps", rates.g_warmup_steps),
        ("d_warmup_steps", weights.g_pretrain_steps + rates.d_warmup_steps if rates.d_warmup_steps else 0),
        ("adv_ramp_steps", weights.g_pretrain_steps + weights.adv_ramp_steps if weights.adv_ramp_steps else 0),
    ):
        if step < end:
            return Verdict("warming up", f"step {step}, {name} end at {end}")
    return None


def _oscillation(past: Past) -> Verdict | None:
    """Slow or alternating swings, distinguished from noise by von Neumann's ratio (von Neumann 1941; 2 for independent
    values): the mean squared successive difference over the variance. A trend does not count: the mean is crossed."""
    pairs = past.objective.compares_pairs and not past.objective.baseline
    series = past.series("d/gap" if pairs else "loss/d")
    if len(series) < 4:
        return None
    mean, deviation, scale = fmean(series), pstdev(series), fmean(map(abs, series))
    if deviation <= past.thresholds.swing * scale:
        return None
    steps = [b - a for a, b in zip(series, series[1:], strict=False)]
    ratio = fmean((step / deviation) ** 2 for step in steps)  # in this order squares of tiny values are not 0
    sides = [value > mean for value in series]
    crossings = sum(a != b for a, b in zip(sides, sides[1:], strict=False))
    if crossings >= 3 and not 0.8 <= ratio <= 3.2:
        name = "the critic's gap" if pairs else "L_D"
        return Verdict(
            "oscillation", f"{name} swings by {deviation / scale:.2f} of its size, {crossings} crossings of its mean"
        )
    return None


def _discriminator_wins(past: Past) -> Verdict | None:
    t = past.thresholds
    for figures in past.places:
        share, bar = figures.share_of_guess, t.d_loss_pairs if figures.pairs else t.d_loss
        if share is not None and share < bar and figures.accuracy >= t.d_accuracy:
            return Verdict("discriminator too strong", past.evidence())
    gap = past.series("d/gap")
    if past.trained.share_of_guess is not None or past.trained.accuracy < t.d_accuracy or not gap:
        return None
    half = len(gap) // 2
    early, late = fmean(gap[:half]), fmean(gap[half:])
    if late > early * 1.5 > 0:
        return Verdict("discriminator too strong", f"{past.evidence()}, gap up from {early:.3g} within the window")
    return None


def _generator_wins(past: Past) -> Verdict | None:
    """Fooled in training, or where it counts: on what is generated. If it is right in training alone, it knows its
    training samples, or samples of one pass, and not what real ones have in common."""
    trained, generated = past.trained, past.generated
    if _loses(trained, past):
        return Verdict("generator too strong", past.evidence())
    if generated is not None and _loses(generated, past):
        name = "discriminator overfitting" if trained.accuracy > 0.5 else "generator too strong"
        return Verdict(name, past.evidence())
    return None


def _loses(figures: Figures, past: Past) -> bool:
    share = figures.share_of_guess
    worse = share is not None and share > past.thresholds.g_loss and figures.accuracy < 0.5
    return figures.accuracy < past.thresholds.g_accuracy or worse


def _at_chance(past: Past) -> Verdict | None:
    """Undecided and flat: either equilibrium, or the discriminator does not learn. The latter if it was never above
    chance, its gradient has vanished, or fakes clearly differ from reals in spread."""
    t = past.thresholds
    if not all(_undecided(figures, past) for figures in past.places) or not _flat(past):
        return None
    spread = past.mean("latents/fake_std") / max(past.mean("latents/real_std"), 1e-12)
    if not past.learned:
        why = "and never above chance before"
    elif past.mean("grad_norm/d") < 1e-8:
        why = "its gradient is zero"
    elif not t.variance < spread < 1 / t.variance:
        why = f"though the deviation of fakes is {spread:.2f} of reals'"
    else:
        return Verdict("equilibrium", past.evidence())
    return Verdict("discriminator not learning", f"{past.evidence()}, {why}")


def _undecided(figures: Figures, past: Past) -> bool:
    """Probabilities near 0.5, and a loss near that of a random guess.

    The accuracy that goes with such a loss follows: for a calibrated discriminator of probability p the loss is below
    log 2 by about 2 (p - 0.5)^2, and the accuracy is the mean of 0.5 + |p - 0.5|. So a loss of 0.9 of a random guess
    allows 0.69, not 0.5. Without a random guess's loss (critics), accuracy itself must be near 0.5.
    """
    t, share = past.thresholds, figures.share_of_guess
    if share is None:
        return abs(figures.accuracy - 0.5) <= 2 * t.tolerance
    if abs(share - 1) > t.chance_loss or abs(figures.accuracy - 0.5) > (0.5 * log(2) * t.chance_loss) ** 0.5:
        return False
    if figures.pairs or figures.probabilities is None:
        return True
    return all(abs(p - past.objective.undecided) <= t.tolerance for p in figures.probabilities)


def _flat(past: Past) -> bool:
    """Whether the discriminator's loss is constant: the halves of the window agree, and single losses are near the
    mean. A critic's gap is in units of the latents' error, of order one."""
    losses, unit = past.series("loss/d"), past.objective.baseline or 1.0
    half = len(losses) // 2
    drift, bar = abs(fmean(losses[half:]) - fmean(losses[:half])), past.thresholds.tolerance * unit
    return drift <= bar and pstdev(losses) <= 2 * bar


def _balanced(past: Past) -> Verdict:
    return Verdict("balanced", past.evidence())


STATE: tuple[Callable[[Past], Verdict | None], ...] = (
    _not_finite,
    _blown_up,
    _pretraining,
    _warming_up,
    _discriminator_wins,  # before oscillation: a loss near 0 swings by more than its size
    _oscillation,
    _generator_wins,
    _at_chance,
    _balanced,
)


# -- findings about the generated samples, in addition to the state --


def _mode_collapse(past: Past) -> Verdict | None:
    """Measured on samples, never on a loss: in both of the last two validations, once the discriminator has joined."""
    ratios = [line["diversity/ratio"] for line in past.checks if "diversity/ratio" in line]
    joined = past.adversarial and past.with_discriminator
    if joined and len(ratios) == 2 and max(ratios) < past.thresholds.diversity:
        text = f"diversity of generated {past.words.many} {ratios[-1]:.2f} of that of real ones"
        return Verdict("mode collapse", text + _loss_band(past))
    classes = [line["diversity/classes"] for line in past.checks if "diversity/classes" in line]
    if joined and len(classes) == 2 and max(classes) < past.thresholds.classes:
        return Verdict("mode collapse", f"number of generated classes {classes[-1]:.2f} of that of real ones")
    return None


def _to_the_mean(past: Past) -> Verdict | None:
    t = past.thresholds
    if len(past.steps) < t.window or past.steps[-1]["alpha"] < t.alpha:
        return None
    fake, real = past.mean("latents/fake_std"), past.mean("latents/real_std")
    if fake < t.variance * real:
        alpha = past.steps[-1]["alpha"]
        return Verdict("regression to the mean", f"deviation of fakes {fake / real:.2f} of reals' at alpha {alpha:.2f}")
    return None


def _loss_band(past: Past) -> str:
    """The band of L_D, for the evidence of a collapse; empty without a random guess's loss or a discriminator."""
    share = past.trained.share_of_guess
    if share is None or not isfinite(share):
        return ""
    return f", L_D {share:.2f} of a random guess ({band_of(share, 1.0).name})"


def _memorisation(past: Past) -> Verdict | None:
    """Samples that differ from each other, but are too close to training samples. Generators that have just begun, or
    make one sample only, are excluded: they may be close to some sample by chance if held-out data are unlike training
    data."""
    t, check, words = past.thresholds, past.checks[-1] if past.checks else {}, past.words
    nearest, varied = check.get("diversity/nearest_train"), check.get("diversity/ratio", 1.0) >= t.diversity
    if len(past.steps) >= t.window and varied and nearest is not None and nearest < t.nearest:
        text = f"nearest training {words.one} at {nearest:.2f} of held-out {words.of_data} distance"
        return Verdict("memorisation", text)
    return None


def _too_fast(past: Past) -> Verdict | None:
    if not past.checks or past.checks[-1]["phase"] != "transition" or past.began is past.checks[-1]:
        return None
    now, before = past.checks[-1]["val/current"], float(past.began["val/current"])
    rise = (float(now) - before) / max(before, USELESS_LOSS)
    if rise > past.thresholds.val_rise:
        return Verdict("curriculum too fast", f"validation loss {float(now):.3g}, {before:.3g} when noise began")
    return None


def _forgotten(past: Past) -> Verdict | None:
    """While noise rises, the loss on samples without noise stays within 10 to 20 % of that of the phase without."""
    if not past.checks or past.checks[-1]["phase"] != "transition" or not past.clean:
        return None
    rise = float(past.checks[-1].get("val/clean", nan)) / past.clean - 1
    if rise > past.thresholds.clean_rise:
        text = f"validation loss without noise {100 * rise:.0f} % above that of the {past.words.data} phase"
        return Verdict("music forgotten", f"{text}; 10 to {100 * past.thresholds.clean_rise:.0f} % is usual")
    return None


def _weak(past: Past) -> Verdict | None:
    """In the transition a discriminator that is of use is right in about 85 % of the cases."""
    t, accuracy = past.thresholds, past.trained.accuracy
    if past.phase != "transition" or len(past.with_discriminator) < t.window or _warming_up(past) is not None:
        return None
    if t.g_accuracy <= accuracy < t.weak:
        text = f"accuracy {accuracy:.2f} in the transition; about 0.85 is usual, under {t.weak:.2f} is a warning"
        return Verdict("discriminator weak", text)
    return None


FINDINGS: tuple[Callable[[Past], Verdict | None], ...] = (
    _mode_collapse, _to_the_mean, _memorisation, _too_fast, _forgotten, _weak
)  # fmt: skip
