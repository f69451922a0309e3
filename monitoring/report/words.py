"""Texts of the report: facts about the run, comparison of runs, commands to continue."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from config import known_options
from monitoring.report.data import RunData, Segment
from registry import OFF, mark_of


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
    if o.get("distil_passes"):
        emphasised = f", guidance {o['distil_guidance']:g}" if o.get("distil_guidance", 1) != 1 else ""
        steps = f"the targets are {o['distil_passes']} sampling steps of {o['init_from']}"
        rows.append(("distillation", f"{steps}{emphasised}"))
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


def segment_words(run: RunData, segment: Segment) -> str:
    """A segment of the timeline as a sentence."""
    advice = run.advice(segment.verdict)
    return f"{segment.evidence}. {advice[:1].upper()}{advice[1:]}."


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
