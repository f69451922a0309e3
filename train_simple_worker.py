"""One rank of a run, read top to bottom: build -> resume -> loop { validate, checkpoint, D step, G step, status }."""

import sys
import time

import torch

from config import RunConfig
from data.stream import batches
from errors import UserError
from runtime import checkpoint, distributed
from runtime.distributed import ToldElsewhere
from runtime.memory import keep_freed_memory
from runtime.seeding import seed_step
from runtime.signals import StopRequest
from synthesis.loading import export_generator
from training.build import build
from training.plan import Plan
from training.run import Run, Stopwatch
from training.samples import write_generations
from training.state import full_state
from training.steps import train_step
from training.validation import validate

EXIT_WRONG_INPUT, EXIT_DIVERGED = 2, 3


def train(run: Run) -> None:
    """The loop. Every decision in it follows from counters that all ranks share, or is taken by all ranks together."""
    c, config = run.counters, run.config
    per_step = run.scheduler.global_batch
    supply = batches(
        run.stream, c.samples_seen, per_step // run.ranks.world, run.ranks.rank, run.ranks.world, config.num_workers,
        pin=run.ranks.device.type == "cuda",
    )  # fmt: skip
    clock = Stopwatch(per_step)
    while True:
        if run.epoch_ended:
            end_epoch(run)
        if run.complete or run.collapsed or (config.max_steps and c.step >= config.max_steps):
            break
        if run.ranks.any(run.stop.requested):
            save(run, "last.pt")
            break
        if save_is_due(run):
            save(run, "last.pt")

        with clock.waiting():
            batch = next(supply)
        plan = run.scheduler.plan(c.step, c.samples_seen, batch.indices, run.ranks.device)
        seed_step(config.seed, c.step, run.ranks.rank)
        figures = train_step(run.game, batch, plan)
        if plan.train_g:
            run.average.update(run.game.generator, c.samples_seen, per_step)
        c.step, c.samples_seen = c.step + 1, c.samples_seen + per_step
        clock.step()
        if c.step % config.log_every == 0 or c.step == 1:
            status(run, plan, figures, clock)


def status(run: Run, plan: Plan, figures: dict[str, torch.Tensor], clock: Stopwatch) -> None:
    """The figures of the step just made, as the mean over ranks; the only place where the host waits for the device."""
    game, names = run.game, sorted(figures)
    values = run.ranks.mean(torch.stack([figures[name].float() for name in names]))
    scalars = dict(zip(names, values.tolist(), strict=True))
    scalars |= {"lr/g": plan.lr_g, "lr/d": plan.lr_d, "weight/gan": plan.gan_weight}
    scalars |= {"skipped/g": float(game.update_g.bad), "skipped/d": float(game.update_d.bad)}
    if run.config.adaptive_alpha:
        scalars["curriculum/speed"] = run.scheduler.reactions.adaptive.speed
    if plan.instance_noise > 0:
        scalars["weight/instance_noise"] = plan.instance_noise
    header = {
        "epoch": plan.epoch,
        "samples_seen": run.counters.samples_seen,
        "alpha": plan.alpha,
        "phase": plan.phase,
        "pretrain_phase": int(plan.pretraining),
    }
    examine(run, header, scalars)
    run.log.figures(run.counters.step, header, scalars, clock.read())
    run.progress.update(run.counters.samples_seen, plan.epoch, run.config.epochs, plan.phase, plan.alpha, scalars)


def examine(run: Run, header: dict, scalars: dict[str, float]) -> None:
    """The doctor's verdicts go into the header with their evidence; what is new is told, with advice."""
    verdicts = run.doctor.see({"step": run.counters.step} | header | scalars)
    header["health"] = {verdict.name: verdict.evidence for verdict in verdicts}
    for verdict in run.doctor.news():
        run.progress.say(f"health: {verdict}")
        run.log.text("health", f"**{verdict.name}** ({verdict.evidence}): {verdict.advice}", run.counters.step)


def end_epoch(run: Run) -> None:
    """Validation, samples and checkpoints at the end of an epoch."""
    c, config = run.counters, run.config
    c.finished_epochs = epoch = c.samples_seen // len(run.stream)
    alpha = run.scheduler.alpha(epoch)
    improved, losses = False, None
    if epoch % config.val_every == 0 or epoch == config.epochs:
        levels = {"clean": 0.0, "current": alpha}
        if config.pure_gan_mode > 0:
            levels["ceiling"] = config.gan_noise_ceiling
        playing = config.gan_weight > 0 and c.step > config.g_pretrain_steps
        losses = validate(
            run.game, run.average.module, run.held_out, run.stream.frames, levels, run.gauge, with_discriminator=playing
        )
        improved = judge(run, losses["val/current"], run.scheduler.phase(alpha))
        header = {"epoch": epoch, "samples_seen": c.samples_seen, "alpha": alpha, "phase": c.phase}
        scalars = losses | {"val/best": c.best, "val/since_best": float(c.since_best)}
        run.progress.say(
            f"epoch {epoch} {c.phase} alpha {alpha:.2f}: validation "
            + ", ".join(f"{name.removeprefix('val/')} {loss:.4f}" for name, loss in losses.items())
        )
        examine(run, header, scalars)
        run.log.figures(c.step, header, scalars)
        run.collapsed = config.on_collapse == "stop" and run.ranks.any(
            run.ranks.is_main and run.doctor.has("mode collapse")
        )
    run.scheduler.reactions.end_of_epoch(epoch, alpha, losses)
    c.reactions = run.scheduler.reactions.state()
    if config.sample_every and (epoch % config.sample_every == 0 or epoch == config.epochs):
        show_samples(run)
    if improved:
        save(run, "best.pt")
    if epoch % config.save_every == 0 or epoch == config.epochs:
        save(run, f"checkpoint_epoch_{epoch}.pt")
        save(run, "last.pt")


def judge(run: Run, loss: float, phase: str) -> bool:
    """Whether the loss is the best of its phase; losses of different phases measure different tasks."""
    c = run.counters
    if phase != c.phase or c.best is None:
        c.phase, c.best, c.since_best = phase, loss, 0
        return True
    if loss < c.best:
        c.best, c.since_best = loss, 0
        return True
    c.since_best += 1
    return False


def show_samples(run: Run) -> None:
    if not run.ranks.is_main or run.game.codec is None:
        return
    c, stem = run.counters, run.folder / "samples" / f"epoch_{run.counters.finished_epochs:04d}"
    network, frames = run.average.module, run.stream.frames
    run.progress.guard(
        lambda: write_generations(run.log, run.config, network, run.space, run.game.codec, frames, c.step, stem)
    )


def save_is_due(run: Run) -> bool:
    config, c = run.config, run.counters
    if config.save_every_steps and c.step and c.step % config.save_every_steps == 0:
        return True
    if not config.save_every_minutes:
        return False
    overdue = time.monotonic() - run.last_save > 60 * config.save_every_minutes
    return run.ranks.any(overdue)


def save(run: Run, name: str) -> None:
    """Rank 0 writes the whole state. A full or read-only disk costs a warning, never the run."""
    run.last_save = time.monotonic()
    if not run.ranks.is_main:
        return
    state = full_state(run.config, run.game, run.average, run.counters, run.space, run.scheduler.global_batch)
    try:
        checkpoint.save(state, run.folder / name)
        run.save_failed = False
    except OSError as error:
        run.save_failed = True
        run.progress.say(f"warning: {run.folder / name} could not be saved ({error.strerror}); training goes on")


def finish(run: Run) -> None:
    """The end of a run, or of this call."""
    c = run.counters
    save(run, "last.pt")
    if run.ranks.is_main and run.complete:
        trained_to = f"epoch {c.finished_epochs}, step {c.step}"
        export_generator(run.folder, run.config, run.average.state_dict(), run.space, trained_to)
        run.progress.say(f"finished at {trained_to}: {run.folder / 'generator.safetensors'}")
    elif run.ranks.is_main:
        run.progress.say(f"stopped at step {c.step}; go on with --resume {run.folder / 'last.pt'}")
    run.log.close()
    run.progress.close()
    run.ranks.barrier()


def main(config: RunConfig) -> int:
    """Runs one rank to its end; returns the exit code."""
    keep_freed_memory()
    stop = StopRequest().listen()
    ranks = distributed.start(config.num_threads)
    if config.tf32:
        torch.set_float32_matmul_precision("high")
    try:
        run = build(config, ranks, stop)
        if run.scheduler.global_batch == 1:
            run.progress.say("warning: with a batch of one the discriminator's real is the sample's own target")
        train(run)
        stopped = ranks.any(stop.requested) and not run.complete
        finish(run)
    except ToldElsewhere:
        return EXIT_WRONG_INPUT
    except UserError as error:
        print(f"train_simple_worker.py: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    distributed.stop(ranks)
    if run.collapsed:
        return EXIT_DIVERGED
    if stopped:
        return 128 + (stop.signal or 15)
    return 1 if run.save_failed else 0
