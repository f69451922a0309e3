"""One rank of a run, read top to bottom: build -> resume -> loop { validate, checkpoint, D step, G step, status }."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import torch

from config import RunConfig
from data.pairs import ReadError
from data.supply import Supply
from errors import UserError, printable
from runtime import devices, distributed
from runtime.console import outlive_readers
from runtime.cores import crowded
from runtime.distributed import Interrupted, ReportedElsewhere
from runtime.memory import is_out_of_memory, keep_freed_memory
from runtime.seeding import seed_step
from runtime.signals import StopRequest, end_with_parent
from synthesis.loading import export_generator
from training.builder import build, write_about
from training.checkpointing import overdue, report_problems, save, save_at_the_end, save_on_the_way, step_is_due
from training.estimate import measure, show
from training.generator_loss import GeneratorLoss
from training.out_of_memory import explain_run
from training.profiling import StepProfile
from training.recovery import Diverged, is_failing, roll_back, slowed
from training.run import Run, Stopwatch
from training.samples import write_samples
from training.selection import criterion, with_criteria
from training.step_metrics import Metrics, averaged_alphas, averaged_metrics
from training.step_plan import StepPlan
from training.validation import Validation

EXIT_LOST, EXIT_WRONG_INPUT, EXIT_DIVERGED = 1, 2, 3


def main(config: RunConfig) -> int:
    """Runs one rank to its end; returns the exit code."""
    began = time.perf_counter()
    outlive_readers()
    keep_freed_memory()
    stop, ranks, run = StopRequest().listen(), None, None
    end_with_parent()
    try:
        ranks = distributed.start(config.processes.num_threads, config.processes.timeout_minutes)
        torch.set_float32_matmul_precision("high")  # TF32 on GPUs that have it
        with devices.without_gaps():
            if "estimate" in config.flags:
                return estimate(config, ranks, stop, began)
            run = build(config, ranks, stop)
            settle(run)
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
    except ReportedElsewhere:
        return EXIT_WRONG_INPUT
    except (UserError, ReadError) as error:
        print(f"train_simple_worker.py: {printable(error)}", file=sys.stderr)
        return EXIT_WRONG_INPUT
    except Diverged as error:
        if ranks.is_main:
            print(f"train_simple_worker.py: training diverged: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except Interrupted:
        leave(128 + (stop.signal or signal.SIGTERM))  # a thread may still be encoding
    except Exception as error:
        if is_out_of_memory(error):
            print(f"train_simple_worker.py: {explain_run(config, ranks, run)}", file=sys.stderr)
            return EXIT_WRONG_INPUT
        if not (isinstance(error, RuntimeError) and distributed.is_lost_peer(error)):
            raise
        print(
            f"train_simple_worker.py: lost the connection to another rank: {str(error).splitlines()[0]}",
            file=sys.stderr,
        )
        leave(EXIT_LOST)
    if run.collapsed:
        return EXIT_DIVERGED
    if stopped:
        return 128 + (stop.signal or signal.SIGTERM)
    return 0 if saved else 1


def settle(run: Run) -> None:
    """Threads and repeatability, as the run's options ask for them."""
    ranks, processes = run.ranks, run.config.processes
    if ranks.device.type == "cpu":
        distributed.share_cores(processes.num_threads, ranks.local_world)
        alone = ranks.local_world == 1 and not processes.num_threads
        if alone and (note := crowded(torch.get_num_threads())) is not None:
            run.progress.say(note)
    if (remark := distributed.repeat_exactly(ranks.device, processes.deterministic)) is not None:
        run.progress.say(remark)
    if run.schedules.global_batch == 1:
        run.progress.say("warning: with a batch of one the discriminator's real is the sample's own target")


def estimate(config: RunConfig, ranks: distributed.Ranks, stop: StopRequest, began: float) -> int:
    """`--estimate`: prints what the run would cost. Its folder is a temporary one, so that nothing is left."""
    with tempfile.TemporaryDirectory(prefix="estimate-") as own:
        run = build(config.replace(checkpoint_dir=ranks.from_main(own)), ranks, stop)
        settle(run)
        show(measure(run, validate, began), run)
    distributed.stop(ranks)
    return 0


def train(run: Run) -> bool:
    """Trains to the end, restarting the loop after each return to an earlier checkpoint. Returns whether a stop was
    requested."""
    while (stopped := train_until_failing(run)) is None:
        pass
    return stopped


def train_until_failing(run: Run) -> bool | None:
    """The training loop. Every decision follows from counters that all ranks share, or is made by all ranks together.

    Returns:
        Whether a stop was requested before the end; None after a return to an earlier checkpoint.
    """
    trainer, ranks, per_step, max_steps = (
        run.trainer,
        run.ranks,
        run.schedules.global_batch,
        run.config.training.max_steps,
    )
    c = run.counters
    supply = Supply(
        run.stream, c.samples_seen, per_step // ranks.world, ranks.rank, ranks.world, run.config.data.num_workers,
        pin=ranks.device.type == "cuda", local_world=ranks.local_world, say=run.say_from_any_rank,
    )  # fmt: skip
    clock = Stopwatch(per_step)
    profiled = StepProfile(run.folder if "profile" in run.config.flags and ranks.is_main else None, run.progress.say)
    try:
        while True:
            # Validate, write samples, checkpoint.
            if run.epoch_ended and not end_epoch(run):
                return True
            if run.complete or run.collapsed or (max_steps and c.step >= max_steps):
                return False

            with clock.waiting():
                batch = supply.take(lambda: run.stop.requested)
            run.skipped.take(batch.bad if batch else {})
            stop, save_now, news, lost = ranks.vote(
                run.stop.requested,
                overdue(run) or step_is_due(run),
                bool(run.skipped.news),
                batch is not None and batch.lost,
            )
            if stop:
                return True
            if news:
                for warning in run.skipped.share(ranks, lost):
                    run.progress.say(warning)
            if save_now:
                save_on_the_way(run)

            plan = slowed(run.schedules.plan(c.step, c.samples_seen, batch.indices, ranks.device), c.lr_factor)
            seed_step(trainer.seed, c.step, ranks.rank)
            metrics = trainer.step(batch, plan)
            if plan.train_g:
                run.average.update(trainer.generator, c.samples_seen, per_step)
            c.step, c.samples_seen = c.step + 1, c.samples_seen + per_step

            clock.step()
            profiled.step()
            if c.step % run.config.logging.log_every == 0 or c.step == 1:
                status(run, plan, metrics, clock)
            if is_failing(run):
                roll_back(run, metrics, batch.indices)
                return None
    finally:
        supply.close()
        profiled.close()


def status(run: Run, plan: StepPlan, metrics: Metrics, clock: Stopwatch) -> None:
    """Logs the metrics of the last step, averaged over ranks; here the host waits for the device."""
    trainer, names = run.trainer, sorted(metrics)
    values = run.ranks.mean(torch.stack([metrics[name].float() for name in names]))
    scalars = averaged_alphas(averaged_metrics(dict(zip(names, values.tolist(), strict=True))), plan.alpha)
    scalars |= {"lr/g": plan.lr_g, "lr/d": plan.lr_d, "weight/gan": plan.gan_weight}
    scalars |= {"skipped/g": float(trainer.update_g.bad), "skipped/d": float(trainer.update_d.bad)}
    scalars |= run.schedules.curriculum.metrics()
    if run.counters.rollbacks:
        scalars["rollbacks"] = float(run.counters.rollbacks)
    if run.skipped.known:
        scalars["bad_clips"] = float(len(run.skipped.known))
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
    run.log.metrics(run.counters.step, header, scalars, clock.read())
    seen, step = run.counters.samples_seen, (run.counters.step, run.steps)
    run.progress.update(seen, step, (plan.epoch, run.config.training.epochs), plan.phase, plan.alpha, scalars)
    report_problems(run)


def examine(run: Run, header: dict, scalars: dict[str, float]) -> None:
    """Adds the health verdicts and their evidence to the header; reports new ones, with advice."""
    verdicts = run.doctor.see({"step": run.counters.step} | header | scalars)
    header["health"] = {verdict.name: verdict.evidence for verdict in verdicts}
    for verdict in run.doctor.news():
        run.progress.say(f"health: {verdict}")
        run.log.text("health", f"**{verdict.name}** ({verdict.evidence}): {verdict.advice}", run.counters.step)


def end_epoch(run: Run) -> bool:
    """Validation, samples and checkpoints at the end of an epoch. False if a stop was requested meanwhile; a resumed
    run then repeats it."""
    c, training = run.counters, run.config.training
    epoch = c.samples_seen // len(run.stream)
    alpha = run.schedules.alpha(epoch)
    improved, losses = False, None
    if epoch % training.val_every == 0 or epoch == training.epochs:
        losses = validate(run, epoch)
        if losses is None:
            return False
        phase = run.schedules.phase(alpha)
        best_by, value = criterion(phase, losses, run.gauge.compared)
        improved = c.is_best(value, phase, best_by)
        log_validation(run, epoch, alpha, losses)
    run.schedules.end_of_epoch(epoch, alpha, losses)
    sample_every, save_every = run.config.logging.sample_every, run.config.checkpoints.save_every
    if sample_every and (epoch % sample_every == 0 or epoch == training.epochs):
        write_samples(run, epoch)
    c.finished_epochs = epoch
    names = ["best.pt"] if improved else []
    if epoch % save_every == 0 or epoch == training.epochs:
        save_on_the_way(run, *names, f"checkpoint_epoch_{epoch}.pt")
    else:
        save(run, *names)
    return True


def validate(run: Run, epoch: int, go_on: Callable[[], bool] | None = None) -> dict[str, float] | None:
    """Validation metrics of the EMA weights after `epoch`; None if `go_on` said no before some batch, by default if a
    stop was requested."""
    config = run.config
    validation = Validation(
        run.trainer,
        run.average.module,
        run.held_out,
        run.gauge,
        config.data.unity_test,
        config.curriculum.easy_share,
        config.sampling.passes,
        config.training.batch_size,
        run.kind,
        run.schedules.instance_noise(run.counters.samples_seen),
        generator_loss(run),
    )
    losses = validation(
        run.schedules.levels(epoch),
        with_discriminator=config.adversarial.gan_weight > 0 and run.counters.step > config.weights.g_pretrain_steps,
        go_on=go_on or (lambda: not run.ranks.any(run.stop.requested)),
        bad=run.skipped.news,
    )
    return None if losses is None else with_criteria(losses)


def generator_loss(run: Run) -> GeneratorLoss | None:
    """The generator's total loss, if a learning rate goes by it and the adversarial weight is no longer rising."""
    c, wanted = run.counters, getattr(run.config.chosen("lr_schedule").options, "measures_g_loss", False)
    if not wanted or not run.schedules.adversarial_in_full(c.samples_seen):
        return None
    plan = partial(run.schedules.held_out_plan, c.step, c.samples_seen)
    return GeneratorLoss(run.trainer, run.average.module, plan)


def log_validation(run: Run, epoch: int, alpha: float, losses: dict[str, float]) -> None:
    """Prints and logs the validation metrics and updates the health verdicts."""
    c = run.counters
    header = {"epoch": epoch, "samples_seen": c.samples_seen, "alpha": alpha, "phase": c.phase, "best_by": c.best_by}
    scalars = losses | {"val/best": c.best, "val/since_best": float(c.since_best)}
    run.progress.say(
        f"epoch {epoch} {run.doctor.words.phase(c.phase)} alpha {alpha:.2f}: validation "
        + ", ".join(f"{name.removeprefix('val/')} {loss:.4f}" for name, loss in losses.items())
    )
    examine(run, header, scalars)
    run.log.metrics(c.step, header, scalars)
    run.collapsed = run.config.health.health.on_collapse == "stop" and run.ranks.any(
        run.ranks.is_main and run.doctor.has("mode collapse")
    )


def finish(run: Run) -> bool:
    """Last checkpoint, export and report at the end of a run or of this call. Returns whether everything was saved."""
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
        run.progress.say(f"stopped at step {c.step}; continue with --resume {run.folder / 'last.pt'}")
    run.log.close()
    if run.ranks.is_main and not run.stop.requested:
        report(run)
    run.progress.close()
    run.ranks.barrier()
    if not saved:
        missing = ", ".join(sorted(run.saver.failed)) or "the export"
        print(f"train_simple_worker.py: not saved: {missing}; free some disk space in {run.folder}", file=sys.stderr)
    return saved


def report(run: Run) -> None:
    """Writes the run's report. It is made last and from files alone, so an error here must not fail the run."""
    from monitoring.report import make_report

    try:
        run.progress.say(f"report: {make_report([run.folder], run.folder / 'report.html')}")
    except Exception as error:
        run.progress.say(f"warning: no report could be made ({error}); try `python -m monitoring.report {run.folder}`")


def leave(code: int) -> NoReturn:
    """Ends the process at once: a normal exit could wait for ranks or threads that no longer answer."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
