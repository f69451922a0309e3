"""Real trainings of tiny networks on made-up latents, through the worker's own loop: seconds, no audio."""

from pathlib import Path

import numpy as np
import torch

from config import RunConfig, make_config
from monitoring.log import read_metrics
from runtime.distributed import Ranks
from runtime.signals import StopRequest
from train_simple_worker import finish, train
from training.builder import build

CHANNELS, FRAMES = 8, 32
ALONE = Ranks(0, 0, 1, 1, torch.device("cpu"))
TINY = {
    "generator": "patch", "encoding_dim": CHANNELS, "width": 16, "nhead": 2, "num_layers": 1, "patch_frames": 2,
    "num_transformer_layers": 1, "dropout": 0.0, "disc_width": 8, "disc_dropout": 0.0, "batch_size": 8,
    "loss_weight_input": 0.0, "loss_weight_target": 0.0, "gan_weight": 1.0, "optimizer": "adam", "weight_decay": 0.0,
    "beta1": 0.0, "beta2": 0.99, "ema_samples": 64.0, "log_every": 1, "sample_every": 0, "save_every": 1000,
    "save_every_minutes": 0.0, "patience": 0, "num_threads": 1,
}  # fmt: skip


class Tunes:
    """Stands for `kinds.audio.latent_pairs.LatentPairs`: every clip has notes, a level and a movement of its own."""

    codec_name, codec_identity, sample_rate = "mel", "mel-made-up", 24_000

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.frames, self.channels, self.names = FRAMES, CHANNELS, [f"tune_{i}" for i in range(count)]
        time_T = np.arange(FRAMES)
        level, size, rate, phase = rng.normal(0, (1.0, 0.6, 0.3, 2.0), (2, count, CHANNELS, 4)).T
        waves = np.sin(rate.T[..., None] * time_T + phase.T[..., None])
        self._clips = (level.T[..., None] + size.T[..., None] * waves).astype(np.float32)
        self.mean, self.std = self._clips.mean((0, 1, 3)), self._clips.std((0, 1, 3))

    def __len__(self) -> int:
        return len(self.names)

    def input(self, i: int) -> np.ndarray:
        return self._clips[0, i]

    def target(self, i: int) -> np.ndarray:
        return self._clips[1, i]

    @property
    def shape(self) -> tuple[int, int]:
        return self.channels, self.frames

    def crop_to(self, frames: int) -> None:
        assert frames == 0, "these clips are never cut"

    def cut(self, whole_DT: np.ndarray, draw: int | None = None) -> np.ndarray:
        return whole_DT

    def labels(self, i: int) -> dict[str, float]:
        return {}


def tiny_config(folder: Path, **options) -> RunConfig:
    return make_config(TINY | {"checkpoint_dir": str(folder)} | options)


def train_tiny(monkeypatch, folder: Path, pairs: int = 32, **options):
    """Trains to the end; returns the run and the lines of its `metrics.jsonl`."""
    monkeypatch.setattr("kinds.audio.kind.open_pairs", lambda *_, **__: (Tunes(pairs, 0), Tunes(8, 1)))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = build(tiny_config(folder, **options), ALONE, StopRequest())
        train(run)
        finish(run)
    finally:
        torch.set_num_threads(threads)
        run.lock.release()
    return run, read_metrics(folder / "metrics.jsonl")
