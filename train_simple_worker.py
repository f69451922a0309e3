"""One rank of a run, read top to bottom: build -> resume -> loop { validate, checkpoint, D step, G step, status }."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from audio_codecs import open_codec
from config import RunConfig
from data.cache import LatentPairs, open_pairs
from data.stream import SampleStream, batches
from errors import UserError
from generate import export_generator
from models.ema import WeightAverage
from monitoring.log import RunLog
from monitoring.progress import ProgressLine
from runtime import checkpoint, distributed
from runtime.distributed import Ranks, ToldElsewhere
from runtime.run_folder import RunLock, load_for_resume, move_earlier_run, open_folder, trim_metrics
from runtime.seeding import seed_step
from runtime.signals import StopRequest
from training.build import build_game, latent_space
from training.plan import Plan, Scheduler
from training.samples import write_generations, write_references
from training.state import Counters, LatentSpace, check_space, full_state, restore, resumed_config
from training.steps import Game, train_step
from training.validation import validate

EXIT_WRONG_INPUT, EXIT_DIVERGED = 2, 3


@dataclass
class Run:
    """A run in progress, as one rank sees it."""

    config: RunConfig
    ranks: Ranks
    folder: Path
    game: Game
    average: WeightAverage
    stream: SampleStream
    held_out: LatentPairs
    scheduler: Scheduler
    space: LatentSpace
    counters: Counters
    log: RunLog
    progress: ProgressLine
    stop: StopRequest
    last_save: float = field(default_factory=time.monotonic)
    save_failed: bool = False

    @property
    def epoch_ended(self) -> bool:
        return self.counters.samples_seen // len(self.stream) > self.counters.finished_epochs

    @property
    def complete(self) -> bool:
        c = self.counters
        patience = self.config.patience
        settled = self.config.pure_gan_mode == 0 or c.phase == "noise"
        return c.samples_seen >= self.scheduler.total_samples or (settled and 0 < patience <= c.since_best)


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
        if run.complete or (config.max_steps and c.step >= config.max_steps):
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


class Stopwatch:
    """Speed and time spent waiting for data, since the last status."""

    def __init__(self, samples_per_step: int) -> None:
        self._per_step = samples_per_step
        self._reset()

    def _reset(self) -> None:
        self._start, self._steps, self._waited = time.perf_counter(), 0, 0.0

    def waiting(self) -> "Stopwatch":
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_) -> None:
        self._waited += time.perf_counter() - self._began

    def step(self) -> None:
        self._steps += 1

    def read(self) -> dict[str, float]:
        """Samples a second and the share of time that data were waited for; starts anew."""
        elapsed = max(1e-9, time.perf_counter() - self._start)
        figures = {
            "samples_per_s": self._steps * self._per_step / elapsed,
            "data_wait_share": self._waited / elapsed,
            "step_s": elapsed / max(1, self._steps),
        }
        self._reset()
        return figures


def status(run: Run, plan: Plan, figures: dict[str, torch.Tensor], clock: Stopwatch) -> None:
    """The figures of the step just made, as the mean over ranks; the only place where the host waits for the device."""
    game, names = run.game, sorted(figures)
    values = run.ranks.mean(torch.stack([figures[name].float() for name in names]))
    scalars = dict(zip(names, values.tolist(), strict=True))
    scalars |= {"lr/g": plan.lr_g, "lr/d": plan.lr_d, "weight/gan": plan.gan_weight}
    scalars |= {"skipped/g": float(game.update_g.bad), "skipped/d": float(game.update_d.bad)}
    if plan.instance_noise > 0:
        scalars["weight/instance_noise"] = plan.instance_noise
    header = {
        "epoch": plan.epoch,
        "samples_seen": run.counters.samples_seen,
        "alpha": plan.alpha,
        "phase": plan.phase,
        "pretrain_phase": int(plan.pretraining),
    }
    run.log.figures(run.counters.step, header, scalars, clock.read())
    run.progress.update(run.counters.samples_seen, plan.epoch, run.config.epochs, plan.phase, plan.alpha, scalars)


def end_epoch(run: Run) -> None:
    """Validation, samples and checkpoints at the end of an epoch."""
    c, config = run.counters, run.config
    c.finished_epochs = epoch = c.samples_seen // len(run.stream)
    alpha = run.scheduler.alpha(epoch)
    improved = False
    if epoch % config.val_every == 0 or epoch == config.epochs:
        levels = {"clean": 0.0, "current": alpha}
        if config.pure_gan_mode > 0:
            levels["ceiling"] = config.gan_noise_ceiling
        losses = validate(run.game, run.average.module, run.held_out, run.stream.frames, levels)
        improved = judge(run, losses["val/current"], run.scheduler.phase(alpha))
        header = {"epoch": epoch, "samples_seen": c.samples_seen, "alpha": alpha, "phase": c.phase}
        run.log.figures(c.step, header, losses | {"val/best": c.best, "val/since_best": float(c.since_best)})
        run.progress.say(
            f"epoch {epoch} {c.phase} alpha {alpha:.2f}: validation "
            + ", ".join(f"{name[4:]} {loss:.4f}" for name, loss in losses.items())
        )
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
    if run.ranks.is_main and run.game.codec is not None:
        write_generations(
            run.log, run.config, run.average.module, run.space, run.game.codec, run.stream.frames, run.counters.step
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


def build(config: RunConfig, ranks: Ranks, stop: StopRequest) -> tuple[Run, RunLock | None]:
    """Everything that a run needs, made or resumed; every error here is told before any training."""
    config, state, notes = ranks.main_first(lambda: take_up(config))
    train_pairs, held_out = ranks.main_first(
        lambda: open_pairs(
            config.dataset_folder,
            config.train_dir,
            config.val_dir,
            config.codec,
            config.codec_weights,
            build=ranks.is_main,
        )
    )
    ranks.main_first(lambda: check_sizes(config, ranks, train_pairs))
    crop = round(config.crop_seconds * 75)
    stream = SampleStream(train_pairs, config.seed, crop, config.shuffle_targets, config.unity_test)
    space = latent_space(stream)
    folder, lock = ranks.main_first(
        lambda: open_folder(config.checkpoint_dir) if ranks.is_main else (Path(config.checkpoint_dir), None)
    )
    codec = find_codec(config, space, ranks, notes)
    game = build_game(config, ranks, space, codec)
    average = WeightAverage(game.generator, config.ema_samples, config.ema_rampup)
    counters = Counters()
    if state is not None:
        ranks.main_first(lambda: check_space(state, space))
        counters = ranks.main_first(lambda: restore(state, game, average))
        space = LatentSpace(**state["latents"])
    if ranks.is_main:
        prepare_folder(folder, config, counters, notes, resumed=state is not None)
    ranks.barrier()
    log = RunLog(folder if ranks.is_main else None, counters.step + 1 if state is not None else None)
    progress = ProgressLine(config.epochs * len(stream), active=ranks.is_main)
    for note in notes:
        progress.say(note)
    per_step = config.batch_per_device(ranks.world) * ranks.world
    if state is not None and state["global_batch"] != per_step:
        progress.say(f"note: the global batch was {state['global_batch']} and is {per_step} now")
    run = Run(
        config, ranks, folder, game, average, stream, held_out, Scheduler(config, len(stream), per_step), space, counters,
        log, progress, stop,
    )  # fmt: skip
    if state is None:
        log.text("options", f"```\n{config.to_yaml()}```")
        if codec is not None and ranks.is_main and config.sample_every:
            write_references(log, held_out, codec, Path(config.val_dir or Path(config.dataset_folder) / "val"))
    return run, lock


def take_up(config: RunConfig) -> tuple[RunConfig, dict | None, list[str]]:
    """Options, checkpoint and what to tell, for a new run or a resumed one."""
    if config.resume is None:
        return config, None, []
    notes: list[str] = []
    found = load_for_resume(config.resume, config.checkpoint_dir, notes.append)
    if found is None:
        return config, None, [f"no checkpoint in {config.checkpoint_dir} yet: a new run begins"]
    path, state = found
    resumed, changed = resumed_config(config, state)
    if "checkpoint_dir" not in config.model_fields_set:
        resumed = resumed.model_copy(update={"checkpoint_dir": str(path.parent)})
    counters = state["counters"]
    notes.append(f"resumed from {path}: epoch {counters['finished_epochs']}, step {counters['step']}")
    return resumed, state, notes + [f"changed: {change}" for change in changed]


def check_sizes(config: RunConfig, ranks: Ranks, pairs: LatentPairs) -> None:
    per_device = config.batch_per_device(ranks.world)
    per_step = per_device * ranks.world
    if per_step > len(pairs):
        raise UserError(
            f"--batch_size {per_device} on {ranks.world} device(s) needs {per_step} pairs, the dataset has "
            f"{len(pairs)}: give a smaller --batch_size or add music"
        )
    if config.encoding_dim != len(pairs.mean):
        raise UserError(f"--encoding_dim {config.encoding_dim} does not fit latents of {len(pairs.mean)} channels")


def find_codec(config: RunConfig, space: LatentSpace, ranks: Ranks, notes: list[str]):
    """The codec, where an audio loss needs it or rank 0 is to write samples; training without it is possible."""
    if not (config.needs_audio or (ranks.is_main and config.sample_every)):
        return None
    try:
        return open_codec(space.codec, config.codec_weights, str(ranks.device))
    except UserError as error:
        if config.needs_audio:
            raise
        notes.append(f"no audio in TensorBoard: {error}")
        return None


def prepare_folder(folder: Path, config: RunConfig, counters: Counters, notes: list[str], resumed: bool) -> None:
    if resumed:
        trim_metrics(folder / "metrics.jsonl", counters.step)
    else:
        moved = move_earlier_run(folder)
        if moved is not None:
            notes.append(f"the earlier run in {folder} is now in {moved}")
    checkpoint.write_atomic(folder / "config.yaml", config.to_yaml().encode())


def main(config: RunConfig) -> int:
    """Runs one rank to its end; returns the exit code."""
    stop = StopRequest().listen()
    ranks = distributed.start(config.num_threads)
    if config.tf32:
        torch.set_float32_matmul_precision("high")
    try:
        run, _lock = build(config, ranks, stop)
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
    if stopped:
        return 128 + (stop.signal or 15)
    return 1 if run.save_failed else 0
