"""Texts of the report: facts about the run, checks of its results, commands to continue."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from config import known_options
from monitoring.report.data import RunData, Segment
from monitoring.report.settling import settling
from monitoring.verdicts import ADVICE, BAD
from registry import OFF, mark_of

GOOD, WARN, BAD_NEWS = "good", "wait", "bad"


@dataclass(frozen=True)
class Finding:
    """One item of the checklist. kind: "good", "wait" (not known yet, or a warning) or "bad"."""

    kind: str
    text: str


def facts(run: RunData) -> list[tuple[str, str]]:
    """Facts about the run, as (name, value)."""
    o, a = run.options, run.about
    rows = []
    if a:
        length = f"{a.get('length', a.get('seconds', 0)):.3g} {a.get('unit', 's')}"
        pairs = f"{a['train_pairs']} training and {a['val_pairs']} validation pairs of {length}"
        rows.append(("data", f"{a['dataset']}: {pairs}, {a.get('identity', a.get('codec'))}"))
        rows.append(("generator", f"{o['generator']}, {a['generator_parameters'] / 1e6:.2f} M parameters"))
        rows.append(("discriminator", f"{o['discriminator']}, {a['discriminator_parameters'] / 1e6:.2f} M parameters"))
        rows.append(("devices", f"{a['world']} x {a['device']}, {a['global_batch']} pairs/step, torch {a['torch']}"))
    else:
        rows.append(("networks", f"{o['generator']} generator, {o['discriminator']} discriminator"))
    objective = f"{o['gan_loss']}, weight {o['gan_weight']:g}, fading: {o.get('gan_fade', 'off')}"
    if o["r1_weight"] or o["r2_weight"]:
        objective += f", R1 {o['r1_weight']:g} and R2 {o['r2_weight']:g}"
    rows.append(("objective", objective))
    regression = f"{o['loss_reconstruction']}, {o['loss_weight_input']:g} to the input and {o['loss_weight_target']:g}"
    rows.append(("regression", f"{regression} to the target, fading: {o['recon_fade']}"))
    rate = o["disc_lr"] if o["disc_lr"] is not None else 0.5 * o["lr"]
    rows.append(("optimizer", f"{o['optimizer']}, learning rate {o['lr']:g} (G) and {rate:g} (D), {o['lr_schedule']}"))
    rows.append(("curriculum", curriculum_words(run)))
    rows.append(("trained", trained_words(run)))
    return rows


RESULTS = (  # metric at the end, heading
    ("val/best", "best validation"),
    ("diversity/ratio", "diversity"),
    ("diversity/nearest_train", "nearest training clip"),
    ("loss/d", "discriminator loss"),
)


def comparison(runs: Sequence[RunData]) -> tuple[list[str], list[list[str]]]:
    """Headings and one row per run: the options in which the runs differ, then their results."""
    known = known_options()
    passing = {name for name in known if mark_of(known[name].field, "per_call")} | {"num_threads"}
    names = [name for name in runs[0].options if name not in passing]
    apart = [name for name in names if len({str(run.options.get(name)) for run in runs}) > 1]
    shown = [(name, heading) for name, heading in RESULTS if any(run.last(name) is not None for run in runs)]
    rows = []
    for run in runs:
        results = ["–" if (value := run.last(name)) is None else f"{value:.3g}" for name, _ in shown]
        verdicts = ", ".join((run.lines[-1].get("health") or {}) if run.lines else {}) or "–"
        rows.append([run.name, *(str(run.options.get(name)) for name in apart), *results, verdicts])
    return ["run", *apart, *(heading for _, heading in shown), "health at the end"], rows


def curriculum_words(run: RunData) -> str:
    o = run.options
    if not o["pure_gan_mode"]:
        return "none: music to music"
    pace = "" if o["adaptive_alpha"] in OFF else "by validation, from "
    start = max(1, o["gan_curriculum_start_epoch"])
    return f"noise from epoch {start} on, {pace}{o['pure_gan_mode']:g} per epoch up to {o['gan_noise_ceiling']:g}"


def trained_words(run: RunData) -> str:
    if not run.lines:
        return "no step was logged"
    last = run.lines[-1]
    speed = [line["time"]["samples_per_s"] for line in run.lines if "samples_per_s" in line.get("time", {})]
    pace = f", {sorted(speed)[len(speed) // 2]:.3g} samples per second" if speed else ""
    return f"{run.end:.3g} of {run.options['epochs']} epochs, {last['step']} steps{pace}"


def checklist(run: RunData) -> list[Finding]:
    """Checks of the run's results."""
    if not run.lines:
        return [Finding(BAD_NEWS, "No step was logged: the run ended before its first one.")]
    parts = (
        _ending, _balance, _faults, _numbers, _curriculum, _validation, _settling, _diversity, _spread, _overfitting
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
        text = f"{name.capitalize()} for {length:.1f} epochs, {when}: {last.evidence}. Advice: {ADVICE[name]}."
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
    text = f"Best {BEST_BY[last.get('best_by', 'val/current')]} of the {phase} phase: {best:.4f}"
    text += ", at the last validation." if since == 0 else f", {since:.0f} validations ago."
    return [Finding(GOOD if since <= 3 else WARN, text)]


def _settling(run: RunData) -> list[Finding]:
    return [Finding(GOOD if well else WARN, f"{text}.") for well, text in settling(run)]


def _diversity(run: RunData) -> list[Finding]:
    ratio, nearest, o = run.last("diversity/ratio"), run.last("diversity/nearest_train"), run.options
    findings = []
    if ratio is not None:
        kind = BAD_NEWS if ratio < o["health"]["diversity"] else GOOD if ratio > 0.5 else WARN
        findings.append(
            Finding(kind, f"Generated clips differ from each other {ratio:.2f} times as much as real ones.")
        )
    classes = run.last("diversity/classes")
    if classes is not None:
        kind = BAD_NEWS if classes < o["health"]["classes"] else GOOD if classes > 0.8 else WARN
        findings.append(
            Finding(kind, f"Generated samples are spread over {classes:.2f} times as many classes as real ones.")
        )
    if nearest is not None:
        kind = BAD_NEWS if nearest < o["health"]["nearest"] else GOOD
        text = f"The nearest training clip is {nearest:.2f} times as far away as held-out music's is"
        findings.append(Finding(kind, text + (": nothing is copied." if kind == GOOD else ": clips are copied.")))
    return findings


def _spread(run: RunData) -> list[Finding]:
    fake, real = run.last("latents/fake_std"), run.last("latents/real_std")
    if not fake or not real:
        return []
    ratio = fake / real
    kind = GOOD if 0.8 <= ratio <= 1.25 else WARN if 0.5 <= ratio <= 2 else BAD_NEWS
    return [Finding(kind, f"Latents of generated clips vary {ratio:.2f} times as much as real ones.")]


def _overfitting(run: RunData) -> list[Finding]:
    held_out = run.last("val/d_accuracy")
    seen = run.series("d/pair_accuracy" if run.compares_pairs else "d/accuracy")[-20:]
    if held_out is None or not seen:
        return []
    known = sum(y for _, y in seen) / len(seen)
    if known - held_out > 0.2:
        text = f"The discriminator is better on training clips ({known:.2f}) than on held-out ones ({held_out:.2f})"
        return [Finding(WARN, f"{text}: use more music, or --disc_dropout and --instance_noise_std.")]
    return [
        Finding(GOOD, f"The discriminator is as good on held-out ({held_out:.2f}) as on training clips ({known:.2f}).")
    ]


def segment_words(segment: Segment) -> str:
    """A segment of the timeline as a sentence."""
    return f"{segment.evidence}. {ADVICE.get(segment.verdict, '').capitalize()}."


def commands(run: RunData) -> list[tuple[str, str]]:
    """(purpose, command line): to continue, to repeat the run and to generate clips."""
    world = int(run.about.get("world", 1))
    start = f"torchrun --standalone --nproc_per_node {world} train_simple_ddp.py" if world > 1 else None
    start = start or "python train_simple_ddp.py --world_size 1"
    folder = str(run.folder)
    again = str(Path(folder).with_name(f"{run.folder.name}_again"))
    anew = " --resume auto" if run.options["resume"] else ""  # in an empty folder: a new run
    anew += " --max_steps 0" if run.options["max_steps"] else ""
    rows = [("repeat", f"{start} --config {quote(folder + '/config.yaml')}{anew} --checkpoint_dir {quote(again)}")]
    if not run.finished:
        rows.insert(0, ("resume", f"{start} --resume {quote(folder + '/last.pt')}"))
    else:
        more = f"{start} --resume {quote(folder + '/last.pt')} --epochs {2 * int(run.options['epochs'])}"
        rows.insert(0, ("resume for longer", more))
    rows.append(("listen", f"python generate.py --checkpoint {quote(folder)} --num 8 --output_dir samples"))
    return rows
