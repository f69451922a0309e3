"""One rank of a run, read top to bottom: build -> resume -> loop { validate, checkpoint, D step, G step, status }."""

import os
import signal
import sys
from typing import NoReturn

import torch

from config import RunConfig
from data.cache import LatentReadError
from data.stream import batches, close
from errors import UserError
from runtime import distributed
from runtime.distributed import Interrupted, ToldElsewhere
from runtime.memory import keep_freed_memory
from runtime.seeding import seed_step
from runtime.signals import StopRequest, end_with_parent
from synthesis.loading import export_generator
from training.about import write_about
from training.build import build
from training.plan import Plan
from training.profiling import StepProfile
from training.recovery import Diverged, is_failing, roll_back, slowed
from training.run import Run, Stopwatch
from training.samples import write_generations
from training.saving import overdue, save, save_at_the_end, save_on_the_way, step_is_due, tell_problems
from training.steps import told, train_step
from training.validation import validate

EXIT_LOST, EXIT_WRONG_INPUT, EXIT_DIVERGED = 1, 2, 3


def train(run: Run) -> bool:
    """The loop. Every decision in it follows from counters that all ranks share, or is taken by all ranks together.

    Returns:
        Whether the run was asked to stop before its end.
    """
    config, ranks, per_step = run.config, run.ranks, run.scheduler.global_batch
    supply = batches(
        run.stream, run.counters.samples_seen, per_step // ranks.world, ranks.rank, ranks.world, config.num_workers,
        pin=ranks.device.type == "cuda",
    )  # fmt: skip
    clock = Stopwatch(per_step)
    profiled = StepProfile(run.folder if config.profile and ranks.is_main else None, run.progress.say)
    try:
        while True:
            c = run.counters
            if run.epoch_ended and not end_epoch(run):
                return True
            if run.complete or run.collapsed or (config.max_steps and c.step >= config.max_steps):
                return False
            with clock.waiting():
                batch = next(supply)
            run.bad_clips.take(batch.bad)
            stop, save_now, news, lost = ranks.vote(
                run.stop.requested, overdue(run) or step_is_due(run), bool(run.bad_clips.news), batch.lost
            )
            if stop:
                return True
            if news:
                for warning in run.bad_clips.share(ranks, lost):
                    run.progress.say(warning)
            if save_now:
                save_on_the_way(run)

            plan = slowed(run.scheduler.plan(c.step, c.samples_seen, batch.indices, ranks.device), c.lr_factor)
            seed_step(config.seed, c.step, ranks.rank)
            figures = train_step(run.game, batch, plan)
            if plan.train_g:
                run.average.update(run.game.generator, c.samples_seen, per_step)
            c.step, c.samples_seen = c.step + 1, c.samples_seen + per_step
            clock.step()
            profiled.step()
            if c.step % config.log_every == 0 or c.step == 1:
                status(run, plan, figures, clock)
            if is_failing(run):
                roll_back(run, figures, batch.indices)
                break
    finally:
        close(supply)
        profiled.close()
    return train(run)


def status(run: Run, plan: Plan, figures: dict[str, torch.Tensor], clock: Stopwatch) -> None:
    """The figures of the step just made, as the mean over ranks; the only place where the host waits for the device."""
    game, names = run.game, sorted(figures)
    values = run.ranks.mean(torch.stack([figures[name].float() for name in names]))
    scalars = told(dict(zip(names, values.tolist(), strict=True)))
    scalars |= {"lr/g": plan.lr_g, "lr/d": plan.lr_d, "weight/gan": plan.gan_weight}
    scalars |= {"skipped/g": float(game.update_g.bad), "skipped/d": float(game.update_d.bad)}
    if run.config.adaptive_alpha:
        scalars["curriculum/speed"] = run.scheduler.reactions.adaptive.speed
    if run.counters.rollbacks:
        scalars["rollbacks"] = float(run.counters.rollbacks)
    if run.bad_clips.known:
        scalars["bad_clips"] = float(len(run.bad_clips.known))
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
    tell_problems(run)


def examine(run: Run, header: dict, scalars: dict[str, float]) -> None:
    """The doctor's verdicts go into the header with their evidence; what is new is told, with advice."""
    verdicts = run.doctor.see({"step": run.counters.step} | header | scalars)
    header["health"] = {verdict.name: verdict.evidence for verdict in verdicts}
    for verdict in run.doctor.news():
        run.progress.say(f"health: {verdict}")
        run.log.text("health", f"**{verdict.name}** ({verdict.evidence}): {verdict.advice}", run.counters.step)


def end_epoch(run: Run) -> bool:
    """Validation, samples and checkpoints at the end of an epoch. False: asked to stop in its midst; it is done again
    on resume."""
    c, config = run.counters, run.config
    epoch = c.samples_seen // len(run.stream)
    alpha = run.scheduler.alpha(epoch)
    improved, losses = False, None
    if epoch % config.val_every == 0 or epoch == config.epochs:
        levels = {"clean": 0.0, "current": alpha}
        if config.pure_gan_mode > 0:
            levels["ceiling"] = config.gan_noise_ceiling
        playing = config.gan_weight > 0 and c.step > config.g_pretrain_steps
        losses = validate(
            run.game, run.average.module, run.held_out, run.stream.frames, levels, run.gauge, playing,
            go_on=lambda: not run.ranks.any(run.stop.requested), bad=run.bad_clips.news,
        )  # fmt: skip
        if losses is None:
            return False
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
        show_samples(run, epoch)
    c.finished_epochs = epoch
    names = ["best.pt"] if improved else []
    if epoch % config.save_every == 0 or epoch == config.epochs:
        save_on_the_way(run, *names, f"checkpoint_epoch_{epoch}.pt")
    else:
        save(run, *names)
    return True


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


def show_samples(run: Run, epoch: int) -> None:
    if not run.ranks.is_main or run.game.codec is None:
        return
    network, codec, frames = run.average.module, run.game.codec, run.stream.frames
    step, stem = run.counters.step, run.folder / "samples" / f"epoch_{epoch:04d}"
    run.progress.guard(lambda: write_generations(run.log, run.config, network, run.space, codec, frames, step, stem))


def finish(run: Run) -> bool:
    """The end of a run, or of this call. Whether everything that was to be saved is on disk."""
    c = run.counters
    saved = save_at_the_end(run)
    if run.ranks.is_main and run.complete:
        trained_to = f"epoch {c.finished_epochs}, step {c.step}"
        try:
            export_generator(run.folder, run.config, run.average.state_dict(), run.space, trained_to)
            run.progress.say(f"finished at {trained_to}: {run.folder / 'generator.safetensors'}")
        except OSError as error:
            saved = False
            run.progress.say(f"warning: the generator could not be exported to {run.folder} ({error.strerror})")
    elif run.ranks.is_main:
        run.progress.say(f"stopped at step {c.step}; go on with --resume {run.folder / 'last.pt'}")
    run.log.close()
    if run.ranks.is_main and not run.stop.requested:
        report(run)
    run.progress.close()
    run.ranks.barrier()
    if not saved:
        missing = ", ".join(sorted(run.saver.failed)) or "the export"
        print(f"train_simple_worker.py: not saved: {missing}; make room in {run.folder}", file=sys.stderr)
    return saved


def report(run: Run) -> None:
    """The run's report. It is made last and out of files, so nothing that goes wrong in it may fail the run."""
    from monitoring.report import make_report

    try:
        run.progress.say(f"report: {make_report([run.folder], run.folder / 'report.html')}")
    except Exception as error:
        run.progress.say(f"warning: no report could be made ({error}); try `python -m monitoring.report {run.folder}`")


def main(config: RunConfig) -> int:
    """Runs one rank to its end; returns the exit code."""
    keep_freed_memory()
    stop = StopRequest().listen()
    end_with_parent()
    try:
        ranks = distributed.start(config.num_threads, config.timeout_minutes)
        if config.tf32:
            torch.set_float32_matmul_precision("high")
        run = build(config, ranks, stop)
        if ranks.device.type == "cpu":
            distributed.share_cores(run.config.num_threads, ranks.local_world)
        if run.scheduler.global_batch == 1:
            run.progress.say("warning: with a batch of one the discriminator's real is the sample's own target")
        if ranks.is_main:
            run.progress.guard(lambda: write_about(run))
        if run.save_first:
            save(run, "last.pt")
        try:
            stopped = train(run)
        except BaseException:
            run.saver.wait()
            raise
        saved = finish(run)
        distributed.stop(ranks)
    except ToldElsewhere:
        return EXIT_WRONG_INPUT
    except (UserError, LatentReadError) as error:
        print(f"train_simple_worker.py: {error}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except Diverged as error:
        if ranks.is_main:
            print(f"train_simple_worker.py: training diverged: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except Interrupted:
        leave(128 + (stop.signal or signal.SIGTERM))  # a thread may still be encoding
    except RuntimeError as error:
        if not distributed.is_lost_peer(error):
            raise
        print(f"train_simple_worker.py: lost touch with another rank: {str(error).splitlines()[0]}", file=sys.stderr)
        leave(EXIT_LOST)
    if run.collapsed:
        return EXIT_DIVERGED
    if stopped:
        return 128 + (stop.signal or signal.SIGTERM)
    return 0 if saved else 1


def leave(code: int) -> NoReturn:
    """Ends the process at once: what is still open would wait for ranks or threads that do not answer."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
