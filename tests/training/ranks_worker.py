"""Training steps on one rank or several, and what they leave: run by test_training_ranks, in processes or at home."""

import dataclasses

import torch
from conditioned_parts import CONDITIONED, conditioned_parts
from fake_latents import FakePairs
from training_parts import (
    FRAMES,
    PAIRS,
    gradients_of,
    plan_for,
    take_batches,
    tiny_config,
    tiny_gauge,
    tiny_trainer,
    tiny_validation,
    weights_of,
)

from runtime import distributed
from runtime.distributed import Ranks
from training.step_metrics import averaged_metrics

BASE = {"pure_gan_mode": 0.5, "optimizer": "sgd", "global_batch_size": 4, "lr": 0.01}
PENALTIES = {"gan_loss": "rpgan", "r1_weight": 5.0, "r2_weight": 3.0, "centring_weight": 0.1}
CASES = {
    "bce": {},
    "hinge": {"gan_loss": "hinge"},
    "lsgan": {"gan_loss": "lsgan", "label_smoothing": 0.9},
    "wgan-gp": {"gan_loss": "wgan-gp", "centring_weight": 0.1},
    "rpgan, penalties": PENALTIES,
    "feature matching": {"feature_matching_weight": 2.0},
    "creative agent": {"use_creative_agent": True},
    "compositional agent": {"use_compositional_agent": True},
    "masks": {"mask_type": "hybrid", "mask_temporal_segment": 4},
    "instance noise, fades": {
        "instance_noise_std": 0.2,
        "easy_share": 0.5,
        "gan_fade": "known",
        "recon_fade": "linear",
    },
    "spectral norm": {"disc_spectral_norm": True, "gan_loss": "hinge"},
    "patch, ensemble": {"generator": "patch", "width": 16, "discriminator": "conv+spectrogram"},
    "several updates of one network": {"n_critic": 2},
    "conditions": CONDITIONED | PENALTIES | {"easy_share": 0.5, "feature_matching_weight": 1.0},
    "clipping": {"grad_clip": 0.05, "disc_grad_clip": 0.05},
}


def train(options: dict, ranks: Ranks, steps: int = 3) -> dict:
    """What some steps leave behind: gradients of the first (discriminator) and of the last, weights, metrics."""
    config = tiny_config(**BASE | options)
    trainer = tiny_trainer(config, ranks)
    left = {}
    for step, batch in enumerate(take_batches(config, steps, ranks=ranks)):
        metrics = trainer.step(batch, plan_for(config, batch, step, ranks.world))
        if step == 0:
            left["first gradients of d"] = gradients_of(trainer.discriminator)
        values = ranks.mean(torch.stack([metrics[name].float() for name in sorted(metrics)]))
        left[f"metrics {step}"] = averaged_metrics(dict(zip(sorted(metrics), values.tolist(), strict=True)))
    left |= {"gradients of g": gradients_of(trainer.generator), "gradients of d": gradients_of(trainer.discriminator)}
    return left | {"g": weights_of(trainer.generator), "d": weights_of(trainer.discriminator)}


def spoil(ranks: Ranks) -> dict:
    """A clip that is not a number, on the last rank only: weights before and after, and skips counted."""
    config = tiny_config(**BASE)
    trainer = tiny_trainer(config, ranks)
    batch = take_batches(config, 1, ranks=ranks)[0]
    if ranks.rank == ranks.world - 1:
        spoiled = batch.input_BDT.clone()
        spoiled[-1] = float("nan")
        batch = dataclasses.replace(batch, input_BDT=spoiled)
    before = weights_of(trainer.generator) | weights_of(trainer.discriminator)
    trainer.step(batch, plan_for(config, batch, 0, ranks.world))
    after = weights_of(trainer.generator) | weights_of(trainer.discriminator)
    return {"before": before, "after": after, "skipped": [float(u.bad) for u in (trainer.update_g, trainer.update_d)]}


def validate(ranks: Ranks) -> dict[str, float]:
    """Validation of 7 pairs, shared out."""
    config = tiny_config(**BASE)
    trainer = tiny_trainer(config, ranks)
    held_out = FakePairs(7, FRAMES, 4, random=True, seed=5)
    gauge = tiny_gauge(trainer, FakePairs(PAIRS, FRAMES, 4, random=True), held_out)
    validation = tiny_validation(config, trainer, trainer.generator, held_out, gauge)
    return validation({"clean": 0.0, "current": 0.5, "ceiling": 1.0})


def all_cases(ranks: Ranks) -> dict:
    with conditioned_parts():
        left = {name: train(options, ranks) for name, options in CASES.items()}
    return left | {"spoiled": spoil(ranks), "validation": validate(ranks)}


def run(folder: str) -> None:
    """One rank of several: leaves what it has in `folder`."""
    ranks = distributed.start(num_threads=1)
    torch.save(all_cases(ranks), f"{folder}/rank{ranks.rank}.pt")
    distributed.stop(ranks)
