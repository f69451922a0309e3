"""Small parts for tests of training: options, a trainer of tiny networks, batches and plans."""

import copy
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
from fake_latents import FakePairs

from audio_codecs import open_codec
from config import RunConfig, make_config
from data.stream import Batch, SampleStream
from data.supply import Supply
from kinds.audio.decoder import AudioDecoder
from kinds.audio.kind import AudioKind
from kinds.audio.options import AudioOptions
from kinds.base import build_kind
from models.ema import WeightAverage
from monitoring.log import RunLog
from monitoring.progress import ProgressLine
from runtime.distributed import Ranks
from runtime.signals import StopRequest
from synthesis.space import Space, measure_space
from train_simple_worker import finish, train
from training.builder import build, build_trainer
from training.counters import Counters
from training.diversity import DiversityGauge
from training.run import Run
from training.step_plan import Schedules, StepPlan
from training.trainer import Trainer
from training.validation import Validation

CHANNELS, FRAMES, PAIRS, RATE = 4, 12, 8, 75
TINY = {"encoding_dim": CHANNELS, "nhead": 2, "num_layers": 1, "num_transformer_layers": 2, "dropout": 0.0}
TINY |= {"disc_width": 4, "disc_dropout": 0.0, "batch_size": 4, "grad_clip": 0.0, "disc_grad_clip": 0.0, "lr": 1e-3}
ALONE = Ranks(0, 0, 1, 1, torch.device("cpu"))


def tiny_config(**options) -> RunConfig:
    return make_config(TINY | options)


def tiny_stream(config: RunConfig, pairs: FakePairs | None = None) -> SampleStream:
    pairs = pairs or FakePairs(PAIRS, FRAMES, config.model.encoding_dim, random=True, labels=True)
    data = config.data
    return SampleStream(pairs, config.training.seed, shuffle_targets=data.shuffle_targets, unity_test=data.unity_test)


def tiny_space(stream: SampleStream) -> Space:
    pairs, facts = stream.pairs, {"kind": "audio", "identity": "mel-fake", "rate": RATE}
    samples = (stream[index] for index in range(4 * len(stream)))
    about = {"codec": "mel", "sample_rate": 24_000}
    return measure_space(samples, pairs.mean, pairs.std, shape=pairs.shape, about=about, **facts)


def tiny_trainer(config: RunConfig, ranks: Ranks = ALONE) -> Trainer:
    options = config.chosen("kind").options
    decoder = AudioDecoder(open_codec("mel"), options) if options.decodes(config.regression.weights) else None
    return build_trainer(config, ranks, tiny_space(tiny_stream(config)), decoder)


def take_batches(config: RunConfig, count: int, start: int = 0, ranks: Ranks = ALONE) -> list[Batch]:
    per_rank = config.training.batch_per_device(ranks.world)
    return list(islice(Supply(tiny_stream(config), start, per_rank, ranks.rank, ranks.world), count))


def plan_for(config: RunConfig, batch: Batch, step: int = 0, world: int = 1) -> StepPlan:
    per_step = config.training.batch_per_device(world) * world
    return Schedules(config, PAIRS, per_step).plan(step, step * per_step, batch.indices, torch.device("cpu"))


def trainer_at(config: RunConfig, step: int = 0) -> tuple[Trainer, Batch, StepPlan]:
    """A new trainer, with the batch and the plan of a step."""
    batch = take_batches(config, step + 1)[step]
    return tiny_trainer(config), batch, plan_for(config, batch, step)


def move(network) -> None:
    """Weights with which no layer is silent."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=generator)


def tiny_gauge(trainer: Trainer, train: FakePairs, held_out: FakePairs) -> DiversityGauge:
    return DiversityGauge(AudioKind(AudioOptions()).features, trainer.normalise, train, held_out)


def tiny_validation(config: RunConfig, trainer: Trainer, averaged, held_out: FakePairs, gauge) -> Validation:
    """As the worker sets it up."""
    c = config
    return Validation(
        trainer, averaged, held_out, gauge, c.data.unity_test, c.curriculum.easy_share, c.sampling.passes,
        c.training.batch_size,
    )  # fmt: skip


def tiny_run(config: RunConfig) -> Run:
    """A new run of one rank that writes nothing; `go_on` trains it."""
    trainer, stream = tiny_trainer(config), tiny_stream(config)
    return Run(
        config=config,
        ranks=ALONE,
        folder=Path("nowhere"),
        trainer=trainer,
        average=WeightAverage(trainer.generator, config.model.ema_samples),
        kind=build_kind(config.choices),
        stream=stream,
        held_out=FakePairs(4, FRAMES, config.model.encoding_dim, random=True, seed=5),
        schedules=Schedules(config, PAIRS, config.training.batch_size),
        counters=Counters(),
        log=RunLog(None),
        progress=ProgressLine(0, active=False),
        stop=StopRequest(),
    )


def go_on(run: Run, steps: int) -> None:
    """The worker's loop without all around it; each epoch ends with a validation whose loss is its number's inverse."""
    c, per_step = run.counters, run.schedules.global_batch
    for batch in take_batches(run.config, steps, start=c.samples_seen):
        run.trainer.step(batch, run.schedules.plan(c.step, c.samples_seen, batch.indices, ALONE.device))
        run.average.update(run.trainer.generator, c.samples_seen, per_step)
        c.step, c.samples_seen = c.step + 1, c.samples_seen + per_step
        if run.epoch_ended:
            epoch = c.finished_epochs = c.samples_seen // PAIRS
            alpha = run.schedules.alpha(epoch)
            c.is_best(1 / epoch, run.schedules.phase(alpha))
            run.schedules.end_of_epoch(epoch, alpha, {"val/current": 1 / epoch, "val/d_loss": 0.7})


class WholePairs(FakePairs):
    """Pairs as the audio kind opens them."""

    vocabulary: ClassVar[dict] = {}

    def use_vocabulary(self, vocabulary: dict) -> None:
        assert not vocabulary

    def crop_to(self, frames: int) -> None:
        self.crop_frames = frames or self.frames


def train_on(pairs: WholePairs, monkeypatch, config: RunConfig) -> Run:
    """The worker's run, new or resumed, to its end, on these pairs instead of files."""
    held_out = WholePairs(4, pairs.frames, pairs.channels, random=True, seed=99)
    monkeypatch.setattr("kinds.audio.kind.open_pairs", lambda *_, **__: (pairs, held_out))
    run = build(config, ALONE, StopRequest())
    try:
        train(run)
        finish(run)
    finally:
        run.lock.release()
    return run


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def gradients_of(module: torch.nn.Module) -> dict[str, torch.Tensor | None]:
    return {name: None if p.grad is None else p.grad.detach().clone() for name, p in module.named_parameters()}


def optimizer_of(updater) -> dict:
    """The state of an updater's optimizer, copied."""
    return copy.deepcopy(updater.optimizer.state_dict())


def identical(a, b) -> bool:
    """Whether two nests of tensors and plain values are equal, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(identical, a, b))
    return a == b
