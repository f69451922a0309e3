"""The report's check-list: what went well and what did not, with the figures that are expected."""

from dataclasses import dataclass

from monitoring.advice import BAD
from monitoring.report.data import RunData
from monitoring.report.settling import settling
from monitoring.report.words import trained_words

GOOD, WARN, BAD_NEWS = "good", "wait", "bad"


@dataclass(frozen=True)
class Finding:
    """One item of the check-list. kind: "good", "wait" (not known yet, or a warning) or "bad". expected: the figures of
    a good run, in words; empty where there are none."""

    kind: str
    text: str
    expected: str = ""


def checklist(run: RunData) -> list[Finding]:
    """Checks of the run's results."""
    if not run.lines:
        return [Finding(BAD_NEWS, "No step was logged: the run ended before its first one.")]
    parts = (
        _ending, _balance, _faults, _numbers, _curriculum, _validation, _forgotten, _settling, _collapse, _samples,
        _diversity, _labels, _spread, _overfitting,
    )  # fmt: skip
    return [finding for part in parts for finding in part(run)]


def _ending(run: RunData) -> list[Finding]:
    if run.finished:
        return [Finding(GOOD, f"The run is complete: {trained_words(run)}.")]
    return [Finding(WARN, f"The run is not complete: {trained_words(run)}.")]


def _balance(run: RunData) -> list[Finding]:
    states = [s for s in run.segments if s.is_state]
    total = sum(s.end - s.start for s in states)
    if not total:
        return []
    shares = {kind: sum(s.end - s.start for s in states if s.verdict in kind) / total for kind in (_WELL, _EARLY, BAD)}
    text = f"The networks were balanced or in equilibrium for {shares[_WELL]:.0%} of the time"
    if shares[_EARLY] > 0.005:
        text += f", warming up or in pre-training for {shares[_EARLY]:.0%}"
    known = shares[_WELL] + shares[BAD]
    if not known:
        return [Finding(WARN, f"{text}: it is too early for a verdict.")]
    return [Finding(GOOD if shares[_WELL] > 0.8 * known else WARN, f"{text}.")]


_WELL = frozenset({"balanced", "equilibrium"})
_EARLY = frozenset({"warming up", "pre-training"})


def _faults(run: RunData) -> list[Finding]:
    """Each bad verdict once: for how long, and whether it still held at the end."""
    findings = []
    for name in dict.fromkeys(s.verdict for s in run.segments if s.verdict in BAD):
        stretches = [s for s in run.segments if s.verdict == name]
        length, last = sum(s.end - s.start for s in stretches), stretches[-1]
        standing = name in (run.lines[-1].get("health") or {})
        when = "to the end" if standing else f"last in epoch {last.end:.1f}"
        text = f"{name.capitalize()} for {length:.1f} epochs, {when}: {last.evidence}. Advice: {run.advice(name)}."
        findings.append(Finding(BAD_NEWS if standing else WARN, text))
    if not findings and run.segments:
        findings.append(Finding(GOOD, "No health problem was found."))
    return findings


def _numbers(run: RunData) -> list[Finding]:
    skipped = {network: run.last(f"skipped/{network}") or 0 for network in "gd"}
    if any(skipped.values()):
        text = f"Updates skipped because they were not finite: {skipped['g']:.0f} of G, {skipped['d']:.0f} of D."
        return [Finding(WARN, text)]
    return [Finding(GOOD, "Every update was finite.")]


def _curriculum(run: RunData) -> list[Finding]:
    o, alpha = run.options, run.lines[-1].get("alpha", 0.0)
    if not o["pure_gan_mode"]:
        return []
    if alpha >= o["gan_noise_ceiling"] - 1e-9:
        arrived = next(run.at(line) for line in run.lines if line.get("alpha", 0) >= o["gan_noise_ceiling"] - 1e-9)
        return [Finding(GOOD, f"The curriculum reached its ceiling, alpha {alpha:.2f}, in epoch {arrived:.1f}.")]
    return [Finding(WARN, f"The curriculum is at alpha {alpha:.2f} of {o['gan_noise_ceiling']:.2f}.")]


BEST_BY = {  # what the best checkpoint goes by, in words
    "val/current": "validation loss",
    "val/clean_and_ceiling": "validation loss (mean of clean and ceiling)",
    "val/distance": "distance of generated samples from held-out ones",
}


def _validation(run: RunData) -> list[Finding]:
    checks = [line for line in run.lines if "val/since_best" in line]
    if not checks:
        return [Finding(WARN, "There has been no validation yet.")]
    last, phase = checks[-1], checks[-1]["phase"]
    best, since = last["val/best"], last["val/since_best"]
    if not isinstance(best, int | float):
        return [Finding(BAD_NEWS, "The validation loss is not finite.")]
    text = f"Best {BEST_BY[last.get('best_by', 'val/current')]} of the {run.words.phase(phase)} phase: {best:.4f}"
    text += ", at the last validation." if since == 0 else f", {since:.0f} validations ago."
    return [Finding(GOOD if since <= 3 else WARN, text)]


def _forgotten(run: RunData) -> list[Finding]:
    """The loss without noise at the end, beside that at the end of the phase without noise."""
    at = [(line["phase"], float(line["val/clean"])) for line in run.lines if "val/clean" in line and "phase" in line]
    before = [loss for phase, loss in at if phase == "music"]
    after = [loss for phase, loss in at if phase == "transition"]
    if not before or not after or not before[-1] > 0:
        return []
    rise, most = after[-1] / before[-1] - 1, run.options["health"]["clean_rise"]
    text = f"At the end of the transition the loss without noise was {rise:+.0%} of that of the {run.words.data} phase."
    return [Finding(GOOD if rise <= most else WARN, text, f"within 10 to {most:.0%}")]


def _settling(run: RunData) -> list[Finding]:
    return [Finding(GOOD if well else WARN, f"{text}.", expected) for well, text, expected in settling(run)]


def _collapse(run: RunData) -> list[Finding]:
    """By the diversity of samples in all validations, never by a loss."""
    ratios = [y for _, y in run.series("diversity/ratio")]
    if not ratios or not run.options["gan_weight"]:
        return []
    bar, now = run.options["health"]["diversity"], "mode collapse" in (run.lines[-1].get("health") or {})
    text = f"Diversity was between {min(ratios):.2f} and {max(ratios):.2f} of real {run.words.of_data}"
    text += ": the generator has collapsed." if now else ", at the end without collapse."
    return [Finding(BAD_NEWS if now else GOOD, text, f"over 0.5; collapse is under {bar:g}")]


def _samples(run: RunData) -> list[Finding]:
    """The distance of generated samples from held-out ones, from the first validation to the last at one noise level:
    samples of less noise are made from music and are nearer to it."""
    paired = run.options["loss_weight_input"] + run.options["loss_weight_target"] > 0
    levels = run.series("alpha")
    starts = {x for x, alpha in levels if alpha == levels[-1][1]}
    points = run.series("val/distance") or ([] if paired else run.series("val/current"))
    points = [(x, y) for x, y in points if x in starts]
    if len(points) < 2:
        return []
    (began, before), (ended, now) = points[0], points[-1]
    word = "fell" if now < before else "did not fall"
    epochs = f"from epoch {began:.0f} to {ended:.0f}"
    text = f"The distance of generated {run.words.many} from real ones {word} {epochs}: {before:.3g} to {now:.3g}."
    return [Finding(GOOD if now < before else WARN, text, "lower late than early, towards 0")]


def _diversity(run: RunData) -> list[Finding]:
    ratio, nearest, o = run.last("diversity/ratio"), run.last("diversity/nearest_train"), run.options
    findings, many = [], run.words.many
    if ratio is not None:
        kind = BAD_NEWS if ratio < o["health"]["diversity"] else GOOD if ratio > 0.5 else WARN
        findings.append(
            Finding(
                kind,
                f"Generated {many} differ from each other {ratio:.2f} times as much as real ones.",
                "0.8 to 1.2",
            )
        )
    classes = run.last("diversity/classes")
    if classes is not None:
        kind = BAD_NEWS if classes < o["health"]["classes"] else GOOD if classes > 0.8 else WARN
        findings.append(
            Finding(
                kind,
                f"Generated {many} are spread over {classes:.2f} times as many classes as real ones.",
                "over 0.8",
            )
        )
    if nearest is not None:
        kind = BAD_NEWS if nearest < o["health"]["nearest"] else GOOD
        text = (
            f"The nearest training {run.words.one} is {nearest:.2f} times as far away as held-out {run.words.of_data}"
        )
        text += " is: nothing is copied." if kind == GOOD else f" is: {many} are copied."
        findings.append(Finding(kind, text, f"about 1; copies are under {o['health']['nearest']:g}"))
    return findings


def _labels(run: RunData) -> list[Finding]:
    """What an auxiliary classifier says of samples that were asked for by label."""
    made, real = run.last("classifier/made_accuracy"), run.last("classifier/val_accuracy")
    if made is None or not real:
        return []
    text = f"Of the labels asked for, the classifier finds {made:.0%} in generated {run.words.many}"
    text += f" (of those of real ones {real:.0%})."
    return [Finding(GOOD if made >= 0.8 * real else WARN, text, "at least 0.8 of what it finds in real ones")]


def _spread(run: RunData) -> list[Finding]:
    fake, real = run.last("latents/fake_std"), run.last("latents/real_std")
    if not fake or not real:
        return []
    ratio = fake / real
    kind = GOOD if 0.8 <= ratio <= 1.25 else WARN if 0.5 <= ratio <= 2 else BAD_NEWS
    return [Finding(kind, f"Generated {run.words.many} vary {ratio:.2f} times as much as real ones.", "0.8 to 1.25")]


def _overfitting(run: RunData) -> list[Finding]:
    held_out = run.last("val/d_accuracy")
    seen = run.series("d/pair_accuracy" if run.compares_pairs else "d/accuracy")[-20:]
    if held_out is None or not seen:
        return []
    known, many = sum(y for _, y in seen) / len(seen), run.words.many
    if known - held_out > 0.2:
        text = f"The discriminator is better on training {many} ({known:.2f}) than on held-out ones ({held_out:.2f})"
        return [Finding(WARN, f"{text}: use more {run.words.data}, or --disc_dropout and --instance_noise_std.")]
    return [
        Finding(GOOD, f"The discriminator is as good on held-out ({held_out:.2f}) as on training {many} ({known:.2f}).")
    ]
