"""What a run's options can be seen by, each computed from a configuration alone: figures of its first steps, its plans,
its networks, what it reads, what it writes.

Every observer returns something that can be compared with ==.
"""

import os
from dataclasses import asdict, replace
from pathlib import Path
from unittest import mock

import torch
from fake_latents import FakePairs
from training_parts import (
    ALONE,
    CHANNELS,
    FRAMES,
    PAIRS,
    WholePairs,
    go_on,
    move,
    plan_for,
    take_batches,
    tiny_gauge,
    tiny_run,
    tiny_space,
    tiny_stream,
    tiny_trainer,
    tiny_validation,
    train_on,
)

import train_simple_ddp
from config import RunConfig
from kinds.base import build_kind
from kinds.images.decoder import PictureDecoder
from monitoring.log import read_metrics
from runtime import distributed
from training.builder import build_classifier, build_networks, build_trainer
from training.samples import shown
from training.step_plan import Schedules

STEPS = 4
NUMBERS = {"mean": 3.0, "std": 2.0}  # of the label of fake pairs
RECIPES = Path(__file__).parents[2] / "recipes"


def plain(value):
    return value.tolist() if isinstance(value, torch.Tensor) else value


def steps(config: RunConfig) -> list:
    """The metrics of the first steps, and the averaged weights after them."""
    torch.manual_seed(0)
    run, seen = tiny_run(config), []
    step = run.trainer.step

    def watched(*args):
        metrics = step(*args)
        seen.append({name: float(value) for name, value in metrics.items()})
        return metrics

    run.trainer.step = watched
    go_on(run, STEPS)
    averaged = float(sum(p.double().abs().sum() for p in run.average.module.parameters()))
    return [*seen, averaged]


def plans(config: RunConfig) -> list:
    """The plans of twelve epochs of two steps each, with validations whose metrics move differently."""
    batch = config.training.batch_per_device(1)
    schedules = Schedules(config, PAIRS, batch)
    found: list = [schedules.total_samples]
    for k in range(24):
        seen = k * batch
        found.append({n: plain(v) for n, v in asdict(schedules.plan(k, seen, [*range(seen, seen + 4)], cpu())).items()})
        if k % 2:
            metrics = {"current": 0.5 + k % 4, "clean": 1.0 / (k + 1), "ceiling": 1.0, "d_loss": 0.7, "g_loss": 1.0 / k}
            epoch = k // 2 + 1
            schedules.end_of_epoch(epoch, schedules.alpha(epoch), {f"val/{n}": v for n, v in metrics.items()})
    return found


def cpu() -> torch.device:
    return torch.device("cpu")


def validation(config: RunConfig) -> dict:
    """The metrics of a validation at half noise by an untrained generator."""
    trainer, held_out = tiny_trainer(config), FakePairs(5, FRAMES, CHANNELS, random=True, seed=5)
    gauge = tiny_gauge(trainer, FakePairs(PAIRS, FRAMES, CHANNELS, random=True), held_out)
    validate = tiny_validation(config, trainer, trainer.generator.eval(), held_out, gauge)
    return validate({"clean": 0.0, "current": 0.5})


def networks(config: RunConfig) -> list:
    """Shapes of both networks' weights, and what the generator makes of ones."""
    kind = build_kind(config.choices)
    images = config.chosen("kind").part.facts["axes"] == 3
    shape = (config.model.encoding_dim, 16, 16) if images else (config.model.encoding_dim, 16)
    if images:
        kind.source_channels = kind.made_channels = shape[0]
    found = build_networks(config, kind, shape)
    shapes = [{name: tuple(p.shape) for name, p in network.named_parameters()} for network in found]
    size = getattr(config.chosen("generator").options, "noise_size", None)
    source = torch.ones(1, size) if size else torch.ones(1, *shape)
    with torch.no_grad():
        made = found[0].eval()(source, source).output_BDT
    return [shapes, tuple(made.shape), made.double().sum().item()]


def classifier(config: RunConfig) -> object:
    """The auxiliary classifier's columns, weights and learning rate."""
    pairs = FakePairs(PAIRS, FRAMES, CHANNELS, random=True)
    pairs.labels = lambda i: {"mood": float(i % 2), "key": float(i % 3)}
    found = build_classifier(config, ALONE, pairs, tiny_space(tiny_stream(config, pairs)))
    if found is None:
        return None
    return found.columns, [tuple(p.shape) for p in found.network.parameters()], found.lr


def labels_left(config: RunConfig) -> list[float]:
    """Which of a batch's labels a network gets."""
    space = tiny_space(tiny_stream(config))
    about = space.about | {"labels": {"mood": {"values": ["glad", "sad"]}}}
    trainer = build_trainer(config, ALONE, replace(space, about=about))
    return trainer.some_dropped({"mood": torch.ones(40)}, list(range(40)))["mood"].nan_to_num(-1).tolist()


def opened(config: RunConfig) -> list:
    """What the kind asks the readers of a dataset for, and how long a crop is."""
    asked, cropped = [], []
    pairs = WholePairs(4, 4 * FRAMES, CHANNELS)
    pairs.crop_to = cropped.append
    with mock.patch("kinds.audio.kind.open_pairs", lambda *args, **more: asked.append((args, more)) or (pairs, pairs)):
        build_kind(config.choices).open(config.data, build=False)
    return [asked, cropped]


def contrast(config: RunConfig) -> float:
    """The discriminator's total loss in a step, for samples with labels."""
    trainer = labelled_trainer(config)
    (batch,) = take_batches(config, 1)
    return float(trainer.step(batch, plan_for(config, batch))["loss/d_total"])


def imitated(config: RunConfig) -> list:
    """What the generator is to imitate, of samples with labels."""
    trainer = labelled_trainer(config)
    move(trainer.teacher.network)
    (batch,) = take_batches(config, 1)
    return trainer.view(batch, plan_for(config, batch)).target_BDT.tolist()


def labelled_trainer(config: RunConfig):
    """A new trainer of samples that have a number as their label."""
    space = tiny_space(tiny_stream(config))
    return build_trainer(config, ALONE, replace(space, about=space.about | {"labels": {"number": NUMBERS}}))


def samples(config: RunConfig) -> int:
    """How many samples a grid has."""
    return shown(tiny_run(config))


def pictures(config: RunConfig) -> list:
    """The losses on decoded images."""
    options = config.chosen("kind").options
    decoder, generator = PictureDecoder(options), torch.Generator().manual_seed(0)
    made, clean = (torch.rand(2, 3, 4, 4, generator=generator) for _ in range(2))
    return decoder.losses(config.regression, None)(made, clean, clean)[0].tolist()


def files(config: RunConfig, folder: Path, monkeypatch) -> list:
    """A whole run: the names of its files, its logged lines, and the epochs after which samples were written."""
    sampled: list[int] = []
    monkeypatch.setattr("training.builder.find_decoder", lambda *_: None)
    monkeypatch.setattr("train_simple_worker.write_samples", lambda run, epoch: sampled.append(epoch))
    where = folder / config.checkpoints.checkpoint_dir
    pairs = WholePairs(PAIRS, FRAMES, CHANNELS, random=True)
    train_on(pairs, monkeypatch, config.replace(checkpoint_dir=str(where)))
    lines = [{n: v for n, v in line.items() if n != "time"} for line in read_metrics(where / "metrics.jsonl")]
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "tfevents" not in path.name)
    return [names, lines, sampled]


def again(config: RunConfig, folder: Path, monkeypatch) -> list:
    """A run of two steps in a folder that holds one already."""
    files(config.replace(resume=None), folder, monkeypatch)
    return files(config, folder, monkeypatch)


def after_another(config: RunConfig, folder: Path, monkeypatch) -> list:
    """A run beside another one, from whose weights it may begin."""
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    files(config.replace(init_from=None, checkpoint_dir="first", seed=9), Path(), monkeypatch)
    return files(config.replace(checkpoint_dir="second"), Path(), monkeypatch)


def processes(config: RunConfig, monkeypatch) -> list:
    """What the launcher and a rank do with the options of processes."""
    seen: list = []
    monkeypatch.setattr(train_simple_ddp, "_run_agent", lambda workers, *_: seen.append(workers) or -9)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: seen.append(("threads", count)))
    monkeypatch.setattr(distributed, "_join", lambda *args: seen.append(("limit", args[-1])))
    monkeypatch.setattr(distributed.dist, "new_group", lambda **_: None)
    with mock.patch.dict(os.environ, {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}):
        distributed.start(config.processes.num_threads, config.processes.timeout_minutes)
    distributed.share_cores(config.processes.num_threads, 1)
    with mock.patch.dict(os.environ):
        train_simple_ddp.launch(config, [])
    return [*seen, distributed.repeat_exactly(cpu(), config.processes.deterministic)]


def compiled(config: RunConfig) -> list[bool]:
    trainer = tiny_trainer(config)
    return [network._compiled_call_impl is not None for network in (trainer.generator, trainer.discriminator)]


def reading(config: RunConfig) -> list[int]:
    """How many processes read for a rank."""
    from data.supply import Supply

    supply = Supply(tiny_stream(config), 0, 4, workers=config.data.num_workers)
    try:
        next(supply)
        return [supply._workers]
    finally:
        supply.close()


def patience(config: RunConfig) -> bool:
    """Whether a run whose metric did not improve at three validations goes on."""
    run = tiny_run(config)
    run.counters.since_best = 3
    return run.complete


def bad_steps(config: RunConfig) -> bool:
    """Whether a run with two skipped updates in a row returns to its last good checkpoint."""
    from training.recovery import is_failing

    run = tiny_run(config)
    run.trainer.update_g.bad_in_row += 2
    return is_failing(run)


def late_saves(config: RunConfig) -> list[bool]:
    """Whether a save is due after a minute, and at step 3."""
    from training.checkpointing import overdue, step_is_due

    run = tiny_run(config)
    run.last_save -= 61
    run.counters.step = 3
    return [overdue(run), step_is_due(run)]
