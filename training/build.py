"""From options to a run, new or resumed. Every error here is told before any training."""

import hashlib
from pathlib import Path

from audio_codecs import open_codec
from config import RunConfig
from data.cache import LatentPairs, open_pairs
from data.stream import SampleStream
from errors import UserError
from models.ema import WeightAverage
from monitoring.log import RunLog, read_metrics
from monitoring.progress import ProgressLine
from runtime.distributed import Ranks, ToldElsewhere
from runtime.signals import StopRequest
from training.plan import Scheduler
from training.players import build_game, latent_space
from training.run import Run
from training.samples import write_references
from training.state import Counters, LatentSpace, check_space, restore
from training.taking_up import claim_folder, prepare_folder, take_up


def build(config: RunConfig, ranks: Ranks, stop: StopRequest) -> Run:
    """Everything that a run needs, made or resumed; every error here is told before any training."""
    folder, lock = claim_folder(config, ranks)
    config, state, notes, own_past = take_up(config, ranks, folder)
    train_pairs, held_out = open_data(config, ranks, stop)
    ranks.main_first(lambda: check_sizes(config, ranks, train_pairs))
    crop = round(config.crop_seconds * 75)
    stream = SampleStream(train_pairs, config.seed, crop, config.shuffle_targets, config.unity_test)
    space = latent_space(stream)
    if state is not None:  # its networks know the latents as they were when it began
        ranks.main_first(lambda: check_space(state, space))
        space = LatentSpace(**state["latents"])
    codec = find_codec(config, space, ranks, notes)
    game = build_game(config, ranks, space, codec)
    average = WeightAverage(game.generator, config.ema_samples, config.ema_rampup)
    counters = Counters()
    if state is not None:
        counters = ranks.main_first(lambda: restore(state, game, average))
    pending = counters.samples_seen // len(stream) > counters.finished_epochs
    ranks.main_first(
        lambda: prepare_folder(folder, config, counters.step, pending, own_past, notes) if ranks.is_main else None
    )
    log = RunLog(folder if ranks.is_main else None, counters.step + (not pending) if own_past else None)
    progress = ProgressLine(config.epochs * len(stream), active=ranks.is_main)
    per_step = config.batch_per_device(ranks.world) * ranks.world
    for note in notes + (changed_sizes(state, per_step, len(stream)) if state is not None else []):
        progress.say(note)
    scheduler = Scheduler(config, len(stream), per_step)
    scheduler.reactions.restore(counters.reactions)
    run = Run(
        config, ranks, folder, game, average, stream, held_out, scheduler, space, counters, log, progress, stop, lock
    )  # fmt: skip
    run.save_first = state is None or counters.turn > state.get("saved_turn", 0)
    if state is not None and ranks.is_main:
        for line in read_metrics(folder / "metrics.jsonl"):
            run.doctor.see(line)
            run.doctor.news()
    if state is None:
        log.text("options", f"```\n{config.to_yaml()}```")
        if codec is not None and ranks.is_main and config.sample_every:
            val_dir = Path(config.val_dir or Path(config.dataset_folder) / "val")
            progress.guard(lambda: write_references(log, held_out, codec, val_dir, folder / "samples"))
    return run


def open_data(config: RunConfig, ranks: Ranks, stop: StopRequest) -> tuple[LatentPairs, LatentPairs]:
    """Training and validation pairs. Rank 0 encodes what is missing; then one rank of every other machine, which finds
    the work done where the disk is shared; then all ranks read.

    Raises:
        UserError: see `open_pairs`; or machines with disks of their own hold different datasets.
    """

    def opened(build: bool) -> tuple[LatentPairs, LatentPairs]:
        c = config
        return open_pairs(c.dataset_folder, c.train_dir, c.val_dir, c.codec, c.codec_weights, build=build)

    def together(mine: bool, build: bool) -> tuple[LatentPairs, LatentPairs] | None:
        return ranks.while_in_touch((lambda: opened(build)) if mine else None, lambda: stop.requested)

    first_of_machine = ranks.local_rank == 0 and not ranks.is_main
    pairs = together(ranks.is_main, build=True)
    pairs = together(first_of_machine, build=True) or pairs
    pairs = together(pairs is None, build=False) or pairs
    seen = hashlib.sha256("\n".join([*pairs[0].names, "", *pairs[1].names]).encode()).hexdigest()
    if len(set(ranks.gather(seen))) > 1:
        problem = f"the machines hold different datasets in {config.dataset_folder}: give all of them the same"
        raise UserError(problem) if ranks.is_main else ToldElsewhere(problem)
    # Encoded on several machines, latents may differ in their last bits; their statistics are one for all ranks.
    statistics = ranks.from_main((pairs[0].mean, pairs[0].std))
    for split in pairs:
        split.mean, split.std = statistics
    return pairs


def changed_sizes(state: dict, per_step: int, pairs: int) -> list[str]:
    """What the user should know of a resumed run's other batch or dataset."""
    notes, batch, before = [], state["global_batch"], state.get("pairs") or pairs
    if batch != per_step:
        notes.append(
            f"note: the global batch was {batch} and is {per_step} now (--global_batch_size {batch} would keep it)"
        )
    if before != pairs:
        notes.append(f"note: the dataset had {before} training pairs and has {pairs} now: epochs are counted anew")
    return notes


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
