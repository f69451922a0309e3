"""Small parts for tests of training: options, a game of tiny networks, batches and plans."""

import copy
from itertools import islice

import torch
from fake_latents import FakePairs

from audio_codecs import open_codec
from config import RunConfig, make_config
from data.stream import Batch, SampleStream, batches
from runtime.distributed import Ranks
from training.plan import Plan, Scheduler
from training.players import build_game, latent_space
from training.steps import Game

CHANNELS, FRAMES, PAIRS = 4, 12, 8
TINY = {"encoding_dim": CHANNELS, "nhead": 2, "num_layers": 1, "num_transformer_layers": 2, "dropout": 0.0}
TINY |= {"disc_width": 4, "disc_dropout": 0.0, "batch_size": 4, "grad_clip": 0.0, "disc_grad_clip": 0.0, "lr": 1e-3}
ALONE = Ranks(0, 0, 1, 1, torch.device("cpu"))


def tiny_config(**options) -> RunConfig:
    return make_config(TINY | options)


def tiny_stream(config: RunConfig, pairs: FakePairs | None = None) -> SampleStream:
    pairs = pairs or FakePairs(PAIRS, FRAMES, config.encoding_dim, random=True)
    return SampleStream(pairs, config.seed, 0, config.shuffle_targets, config.unity_test)


def tiny_game(config: RunConfig, ranks: Ranks = ALONE) -> Game:
    stream = tiny_stream(config)
    codec = open_codec("mel") if config.needs_audio else None
    return build_game(config, ranks, latent_space(stream), codec)


def take_batches(config: RunConfig, count: int, start: int = 0, ranks: Ranks = ALONE) -> list[Batch]:
    per_rank = config.batch_per_device(ranks.world)
    return list(islice(batches(tiny_stream(config), start, per_rank, ranks.rank, ranks.world), count))


def plan_for(config: RunConfig, batch: Batch, step: int = 0, world: int = 1) -> Plan:
    per_step = config.batch_per_device(world) * world
    return Scheduler(config, PAIRS, per_step).plan(step, step * per_step, batch.indices, torch.device("cpu"))


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
