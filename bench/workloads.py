"""The measured runs: real ones on a small dataset, built as in the programs."""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

from config import RunConfig, make_config, with_presets
from runtime import distributed
from runtime.files import read_yaml
from runtime.memory import keep_freed_memory
from runtime.signals import StopRequest
from training.builder import build
from training.run import Run

ROOT = Path(__file__).parent.parent
SEED = 42
# Only identical training steps: no validation, samples or checkpoints; noise level 0.5 throughout.
_STEPS_ONLY = {
    "epochs": 10**6, "patience": 0, "val_every": 10**6, "save_every": 10**6, "save_every_minutes": 0, "sample_every": 0,
    "pure_gan_mode": 0.5, "gan_curriculum_start_epoch": 1, "gan_noise_ceiling": 0.5, "penalty_every": 1, "seed": SEED,
    "g_pretrain_steps": 0, "adv_ramp_steps": 0, "g_warmup_steps": 0, "lr_schedule": "constant",
}  # fmt: skip


def work_folder() -> Path:
    """The folder of temporary files; the parent process sets one for all benchmarks."""
    return Path(os.environ.get("BENCH_WORK") or _own_folder())


@functools.cache
def _own_folder() -> str:
    return tempfile.mkdtemp(prefix="bench-")


def dataset() -> Path:
    """A dataset of synthesised music with its latent cache: 28 training pairs of 4 s, or of `BENCH_SONGS` songs."""
    from kinds.audio.preparing.prepare import Options, prepare

    folder = work_folder() / "dataset"
    if (folder / "dataset.yaml").exists():
        return folder
    songs = int(os.environ.get("BENCH_SONGS", "8"))
    workers = 1 if os.environ.get("BENCH_QUICK") else None  # processes take longer to start than a few songs
    prepare(Options(demo="songs", demo_songs=songs, output_dir=folder, seed=SEED, workers=workers))
    return folder


def config(name: str, **changes: Any) -> RunConfig:
    """ "demo": the recipe at twice its batch; "classic": all defaults (the baseline networks) at half the batch;
    training steps only."""
    values = {"batch_size": 4}
    if name == "demo":
        values = with_presets(read_yaml(ROOT / "recipes" / "demo.yaml")) | {"global_batch_size": 16}
    if os.environ.get("BENCH_QUICK"):
        values |= {"num_layers": 1, "disc_width": 8, "crop_seconds": 0.5}
        values |= {"global_batch_size": 4} if name == "demo" else {"batch_size": 2}
    inherited = frozenset(values) - set(changes)  # a recipe's options of a part that a change replaces are left out
    return make_config(values | _STEPS_ONLY | {"dataset_folder": str(dataset())} | changes, inherited=inherited)


@functools.cache
def one_rank() -> distributed.Ranks:
    """This process as a rank, set up as in the worker: the only one, or one of torchrun's."""
    keep_freed_memory()
    return distributed.start(int(os.environ.get("BENCH_THREADS", "0")))


def open_run(name: str, ranks: distributed.Ranks | None = None, **changes: Any) -> Run:
    """A run built as in the worker, in its own folder."""
    ranks = ranks or one_rank()
    torch.set_float32_matmul_precision("high")
    folder = ranks.from_main(tempfile.mkdtemp(prefix=f"{name}-", dir=work_folder()) if ranks.is_main else None)
    return build(config(name, checkpoint_dir=folder, **changes), ranks, StopRequest())


def advance(run: Run, steps: int) -> None:
    """Runs steps of the worker's own loop: plan, data, both updates, EMA, logging."""
    from train_simple_worker import train

    run.config = run.config.replace(max_steps=run.counters.step + steps)
    train(run)
