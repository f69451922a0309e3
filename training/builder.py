"""Builds a run from options, new or resumed. Every error here is reported before training starts."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

from config import RunConfig
from data.pairs import Pairs
from data.stream import SampleStream
from errors import UserError
from kinds.base import Decoder, Kind, build_kind, words_of
from losses.options import OBJECTIVES, learned_guidance
from models.conditions import takes_conditions
from models.ema import WeightAverage
from models.networks import build_discriminator, build_generator
from monitoring.log import RunLog, read_metrics
from monitoring.progress import ProgressLine
from registry import NONE
from runtime import devices, files
from runtime.distributed import Ranks, ReportedElsewhere
from runtime.seeding import Purpose, mix_seed
from runtime.signals import StopRequest
from synthesis.conditions import NO_LABELS, Conditioning, Vocabulary
from synthesis.labels import label_rows
from synthesis.sources import sources_of
from synthesis.space import Space, measure_space
from training.classification import Classifier, label_columns
from training.compiling import compile_networks
from training.counters import Counters
from training.distillation import Teacher, distil_passes
from training.initial_weights import Origin, begin_with, check_codec, conditions_like
from training.optimizers import Updater, build_optimizer
from training.regression_loss import Regression
from training.resume import changed_sizes, check_dataset, check_identity, claim_folder, find_past, prepare_folder
from training.run import Run
from training.samples import write_references
from training.step_plan import Schedules
from training.trainer import Trainer

MEASURED = 512  # samples whose scales and range are kept for generation


def build(config: RunConfig, ranks: Ranks, stop: StopRequest) -> Run:
    """Builds a new run or resumes one; every error here is reported before training starts."""
    folder, lock = claim_folder(config, ranks)
    resumed = find_past(config, ranks, folder)
    given, config, state = config.given, resumed.config, resumed.state
    kind = build_kind(config.choices)
    if state is not None:
        ranks.main_first(lambda: check_dataset(config.data, given))
    train_pairs, held_out = open_data(config, kind, ranks, stop)
    if (origin := resumed.origin) is not None:
        ranks.main_first(lambda: check_codec(origin, kind.identity, config.data.dataset_folder))
    ranks.main_first(lambda: check_sizes(config, ranks, kind, train_pairs))
    data = config.data
    stream = SampleStream(
        train_pairs, config.training.seed, shuffle_targets=data.shuffle_targets, unity_test=data.unity_test
    )
    if state is None:
        space = space_of(config, kind, stream, origin)
        if origin is not None:
            config, remarks = conditions_like(config, origin, space.about.get("labels", NO_LABELS))
            resumed.remarks += remarks
    else:  # its networks expect the statistics of the data on which it began
        ranks.main_first(lambda: check_identity(state, kind.identity))
        space = Space.from_state(state["space"])
        for split in (train_pairs, held_out):
            if hasattr(split, "use_vocabulary"):
                split.use_vocabulary(space.about.get("labels", {}))
    decoder = find_decoder(config, kind, space, ranks, resumed.remarks)
    trainer = build_trainer(config, ranks, space, decoder, kind)
    trainer.classifier = build_classifier(config, ranks, train_pairs, space)
    if origin is not None:
        resumed.remarks += ranks.main_first(lambda: begin_with(origin, trainer))
    average = WeightAverage(trainer.generator, config.model.ema_samples)
    per_step = config.training.batch_per_device(ranks.world) * ranks.world
    run = Run(
        config=config,
        ranks=ranks,
        folder=folder,
        trainer=trainer,
        average=average,
        kind=kind,
        stream=stream,
        held_out=held_out,
        schedules=Schedules(config, len(stream), per_step),
        counters=Counters(),
        log=RunLog(None),
        progress=ProgressLine(config.training.epochs * len(stream), active=ranks.is_main, words=words_of(kind)),
        stop=stop,
        decoder=decoder,
        lock=lock,
        save_first=state is None or resumed.rewound,
    )
    if state is not None:
        ranks.main_first(lambda: run.load(state))
        resumed.remarks += changed_sizes(state, per_step, len(stream))
    open_log(run, resumed)
    return run


def open_log(run: Run, resumed) -> None:
    """Prepares the run's folder, reads its metrics back, and prints all remarks."""
    pending, step = run.epoch_ended, run.counters.step
    run.ranks.main_first(
        lambda: prepare_folder(run.folder, run.config, step, pending, resumed) if run.ranks.is_main else None
    )
    run.progress.log_to(run.folder / "train.log")
    purge_step = step + (not pending) if resumed.own_past else None
    run.log = RunLog(run.folder if run.ranks.is_main else None, purge_step)
    for remark in run.config.remarks() + run.schedules.remarks() + resumed.remarks:
        run.progress.say(remark)
    if resumed.state is None:
        run.log.text("options", f"```\n{run.config.to_yaml()}```")
        write_references(run)
    elif run.ranks.is_main:
        for line in read_metrics(run.folder / "metrics.jsonl"):
            run.doctor.see(line)
            run.doctor.news()


def open_data(config: RunConfig, kind: Kind, ranks: Ranks, stop: StopRequest) -> tuple[Pairs, Pairs]:
    """Training and validation pairs. Rank 0 prepares missing data (such as latents), then one rank of every other
    machine does (on a shared disk nothing is left to do), then all ranks read.

    Raises:
        UserError: see `kinds.base.Kind.open`; or machines with separate disks hold different datasets.
    """

    def together(mine: bool, build: bool) -> tuple[Pairs, Pairs] | None:
        return ranks.while_in_touch((lambda: kind.open(config.data, build)) if mine else None, lambda: stop.requested)

    first_of_machine = ranks.local_rank == 0 and not ranks.is_main
    pairs = together(ranks.is_main, build=True)
    pairs = together(first_of_machine, build=True) or pairs
    pairs = together(pairs is None, build=False) or pairs
    labels = filter(None, (getattr(split, "labels_digest", "") for split in pairs))
    seen = hashlib.sha256(os.fsencode("\n".join([*pairs[0].names, "", *pairs[1].names, *labels]))).hexdigest()
    if len(set(ranks.gather(seen))) > 1:
        problem = f"the machines hold different datasets in {config.data.dataset_folder}: give all of them the same"
        raise UserError(problem) if ranks.is_main else ReportedElsewhere(problem)
    # Latents computed on several machines may differ in their last bits; all ranks use the statistics of rank 0.
    statistics = ranks.from_main((pairs[0].mean, pairs[0].std))
    for split in pairs:
        split.mean, split.std = statistics
    return pairs


def check_sizes(config: RunConfig, ranks: Ranks, kind: Kind, pairs: Pairs) -> None:
    per_device = config.training.batch_per_device(ranks.world)
    per_step, channels = per_device * ranks.world, config.model.encoding_dim
    expected = getattr(kind, "source_channels", len(pairs.mean))
    if per_step > len(pairs):
        raise UserError(
            f"--batch_size {per_device} on {ranks.world} device(s) needs {per_step} pairs, the dataset has "
            f"{len(pairs)}: give a smaller --batch_size or add data"
        )
    if channels != expected:
        raise UserError(f"--encoding_dim {channels} does not fit latents of {expected} channels: give {expected}")


def space_of(config: RunConfig, kind: Kind, stream: SampleStream, origin: Origin | None = None) -> Space:
    """The description of the dataset that generation needs. Networks of an `origin` keep the statistics by which their
    inputs were normalised: they are no linear functions of them, and the new ones would be another scale to learn."""
    pairs, count = stream.pairs, min(MEASURED, 4 * len(stream))
    mean, std = (origin.space.mean_D.numpy(), origin.space.std_D.numpy()) if origin else (pairs.mean, pairs.std)
    about = dict(kind.about)
    if vocabulary := about.get("labels"):
        about["label_rows"] = label_rows((pairs.labels(stream.pair_of(i)[0]) for i in range(count)), vocabulary)
    return measure_space(
        (stream[index] for index in range(count)),
        mean,
        std,
        kind=config.data.kind,
        identity=kind.identity,
        shape=tuple(pairs.shape),
        rate=kind.rate,
        about=about,
    )


def find_decoder(config: RunConfig, kind: Kind, space: Space, ranks: Ranks, remarks: list[str]) -> Decoder | None:
    """The decoder, if a loss needs it or rank 0 writes samples; training is possible without it."""
    needed = config.chosen("kind").options.decodes(config.regression.weights)
    if not (needed or (ranks.is_main and config.logging.sample_every)):
        return None
    try:
        return kind.open_decoder(space, str(ranks.device))
    except UserError as error:
        if needed:
            raise
        remarks.append(f"no samples in TensorBoard: {error}")
        return None


def build_networks(
    config: RunConfig, kind: Kind | None = None, shape: Sequence[int] = (), vocabulary: Vocabulary = NO_LABELS
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Generator and discriminator, initialised from the run's seed.

    kind: needed if the generator starts from something else than it makes.
    shape: of a sample; needed by networks of a fixed size.
    vocabulary: of the labels, `Space.about["labels"]`.

    Raises:
        UserError: `--conditions` is given, but neither network takes conditions; or the discriminator takes samples
            with other numbers of axes.
    """
    model, seed = config.model, config.training.seed
    final_bias = OBJECTIVES[config.adversarial.gan_loss].facts["final_bias"]
    check_axes(config)
    widths = conditioning_of(config, vocabulary).widths
    generator = build_generator(
        config.chosen("generator"), model.agent, model.encoding_dim, mix_seed(seed, Purpose.WEIGHTS, 0), shape, widths
    )
    discriminator = build_discriminator(
        config.chosen("discriminator"),
        getattr(kind, "made_channels", model.encoding_dim),
        final_bias,
        mix_seed(seed, Purpose.WEIGHTS, 1),
        shape,
        widths,
        generator,
    )
    if config.data.conditions and not (takes_conditions(generator) or takes_conditions(discriminator)):
        raise UserError(
            f"--conditions {config.data.conditions} has no effect: neither --generator {model.generator} nor "
            f"--discriminator {model.discriminator} takes conditions"
        )
    return generator, discriminator


def conditioning_of(config: RunConfig, vocabulary: Vocabulary) -> Conditioning:
    """Raises UserError if labels are to be conditions of data that has none."""
    conditioning = Conditioning(config.choices.get("conditions"), vocabulary)
    if 0 in conditioning.widths.values():
        raise UserError(
            f"--conditions {config.data.conditions}: the dataset in {config.data.dataset_folder} has no labels; add a "
            "labels.csv to it, or leave labels out"
        )
    return conditioning


def check_axes(config: RunConfig) -> None:
    kind = config.chosen("kind")
    axes = kind.part.facts.get("axes")
    for part, _ in config.chosen("discriminator").members:
        if axes is not None and axes not in part.facts.get("axes", (axes,)):
            raise UserError(
                f"--discriminator {part.name} does not take what --kind {kind.name} holds: give another one"
            )


def build_trainer(
    config: RunConfig, ranks: Ranks, space: Space, decoder: Decoder | None = None, kind: Kind | None = None
) -> Trainer:
    """Networks, optimizers and losses on this rank's device. `decoder` is needed if a loss is measured on decoded
    data, `kind` if the generator starts from something else than it makes."""
    o, kind_options = config.optimizer, config.chosen("kind").options
    vocabulary = space.about.get("labels", NO_LABELS)
    networks = build_networks(config, kind, space.shape, vocabulary)
    generator, discriminator = (network.to(ranks.device) for network in networks)
    if config.training.compile:
        compile_networks(generator, discriminator)
    measure = config.chosen("loss_reconstruction").part.load()
    decodes = kind_options.decodes(config.regression.weights)
    optimizer = config.chosen("optimizer")
    trainer = Trainer(
        ranks=ranks,
        generator=generator,
        discriminator=discriminator,
        update_g=Updater(generator, build_optimizer(optimizer, o, generator, o.lr), o.grad_clip),
        update_d=Updater(
            discriminator, build_optimizer(optimizer, o, discriminator, o.discriminator_lr), o.disc_grad_clip
        ),
        objective=config.chosen("gan_loss").build(),
        regression=Regression(config.regression, measure, active=not kind_options.regresses_decoded),
        adversarial=config.adversarial,
        mask_losses=config.mask_losses,
        space=space.to(ranks.device),
        sources=sources_of(config.chosen("generator"), config.sampling, config.chosen("mask_type"), space.rate),
        conditioning=conditioning_of(config, vocabulary),
        seed=config.training.seed,
        noisy=config.curriculum.pure_gan_mode > 0,
        amp=config.training.amp == "bf16",
        decoded_losses=decoder.losses(config.regression, measure) if decodes else None,
        decode_every=kind_options.decode_every if decodes else 1,
        observe=getattr(kind, "observe", None),
        own_reals=getattr(kind, "own_reals", False),
    )
    trainer.teacher = build_teacher(config, trainer)
    return trainer


def build_teacher(config: RunConfig, trainer: Trainer) -> Teacher | None:
    """The generator that is imitated, if one is; its weights come with `--init_from` or the checkpoint."""
    steps = distil_passes(config)
    if steps == 0:
        return None
    of_samples = config.sampling.channels, trainer.space.within, trainer.autocast
    guidance = learned_guidance(config) if trainer.conditioning.known_labels else 1.0
    teacher = Teacher(trainer.generator, steps, trainer.conditioning, *of_samples, guidance)
    if config.training.compile:
        compile_networks(teacher.network)
    return teacher


def build_classifier(config: RunConfig, ranks: Ranks, pairs: Pairs, space: Space) -> Classifier | None:
    """The auxiliary classifier of the labels of `pairs`, if one was selected.

    Raises:
        UserError: the data have no labels that could be learned.
    """
    chosen = config.chosen("classifier")
    if chosen.name == NONE:
        return None
    options, names = chosen.options, chosen.options.classifier_labels
    columns = ranks.main_first(lambda: label_columns(pairs, names.split(",") if names else None))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seed(config.training.seed, Purpose.WEIGHTS, 2))
        network = chosen.build(columns, space.shape).to(ranks.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=options.classifier_lr, fused=True)
    return Classifier(network, Updater(network, optimizer, 0.0), columns, options.classifier_lr, ranks)


def write_about(run: Run) -> None:
    """`about.json`: facts about data, networks and devices, for the report. Raises OSError if it cannot be written."""
    device, data = run.ranks.device, run.config.data
    about: dict[str, Any] = {
        "dataset": data.train_dir or data.dataset_folder,
        "train_pairs": len(run.stream),
        "val_pairs": len(run.held_out),
        "length": run.space.length,
        "unit": run.kind.unit,
        "words": asdict(words_of(run.kind)),
        "identity": run.kind.identity,
        "generator_parameters": sum(p.numel() for p in run.trainer.generator.parameters()),
        "discriminator_parameters": sum(p.numel() for p in run.trainer.discriminator.parameters()),
        "world": run.ranks.world,
        "device": devices.name_of(device),
        "global_batch": run.schedules.global_batch,
        "torch": torch.__version__,
    }
    files.write_bytes(run.folder / "about.json", json.dumps(about, indent=1).encode())
