"""From options to a run, new or resumed. Every error here is told before any training."""

from pathlib import Path

from audio_codecs import open_codec
from config import RunConfig
from data.cache import LatentPairs, open_pairs
from data.stream import SampleStream
from errors import UserError
from models.ema import WeightAverage
from monitoring.log import RunLog, read_metrics
from monitoring.progress import ProgressLine
from runtime import checkpoint
from runtime.distributed import Ranks
from runtime.run_folder import load_for_resume, move_earlier_run, open_folder, trim_metrics
from runtime.signals import StopRequest
from training.plan import Scheduler
from training.players import build_game, latent_space
from training.run import Run
from training.samples import write_references
from training.state import Counters, LatentSpace, check_space, restore, resumed_config


def build(config: RunConfig, ranks: Ranks, stop: StopRequest) -> Run:
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
    scheduler = Scheduler(config, len(stream), per_step)
    scheduler.reactions.restore(counters.reactions)
    run = Run(
        config, ranks, folder, game, average, stream, held_out, scheduler, space, counters, log, progress, stop, lock
    )  # fmt: skip
    if state is not None and ranks.is_main:
        for line in read_metrics(folder / "metrics.jsonl"):
            run.doctor.see(line)
            run.doctor.news()
    if state is None:
        log.text("options", f"```\n{config.to_yaml()}```")
        if codec is not None and ranks.is_main and config.sample_every:
            write_references(log, held_out, codec, Path(config.val_dir or Path(config.dataset_folder) / "val"))
    return run


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
