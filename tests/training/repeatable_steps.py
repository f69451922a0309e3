"""Training steps at real widths on several threads, each case twice: run by test_training_repeatable in a process whose
idle threads sleep, so that more threads than cores do not stall it. Prints {threads: {case: equal}} as JSON."""

import json
import sys

import torch
from training_parts import gradients_of, identical, plan_for, tiny_config, tiny_trainer, weights_of

from data.stream import Batch
from training.trainer import Trainer

FRAMES, BATCH, STEPS = 300, 4, 5  # 4 s, an unlucky length for strided convolutions
DEFAULT_WIDTHS = {"encoding_dim": 128, "disc_width": None, "batch_size": BATCH, "pure_gan_mode": 0.5}
CASCADE = {"generator": "cascade", "nhead": 8, "num_layers": 2, "num_transformer_layers": 2, "dropout": 0.1}
PATCH = {"generator": "patch", "size": "tiny", "num_layers": 2, "num_transformer_layers": 1, "nhead": 6}
PENALTIES = {"gan_loss": "rpgan", "r1_weight": 1.0, "r2_weight": 1.0, "centring_weight": 0.01}
CASES = {
    "cascade, bce": CASCADE | {"disc_dropout": 0.3},
    "patch, rpgan, spectrogram": PATCH | PENALTIES | {"discriminator": "spectrogram", "precondition": True},
    "rpgan, conv, finite penalties": PATCH | PENALTIES,
    "wgan-gp, exact penalty": PATCH | {"gan_loss": "wgan-gp"},
    "hinge, both, spectral norm": PATCH
    | {"gan_loss": "hinge", "discriminator": "conv+spectrogram", "disc_spectral_norm": True},
    "lsgan, feature matching": PATCH | {"gan_loss": "lsgan", "feature_matching_weight": 1.0},
    "creative agent": PATCH | {"use_creative_agent": True},
    "compositional agent": PATCH | {"use_compositional_agent": True},
}


def random_batch(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    clean = [torch.randn(BATCH, 128, FRAMES, generator=generator) for _ in range(3)]
    return Batch(*clean, list(range(step * BATCH, (step + 1) * BATCH)))


def trained(options: dict) -> list[dict]:
    """Gradients of both networks after every step, and the weights at the end."""
    config = tiny_config(**DEFAULT_WIDTHS | options)
    trainer: Trainer = tiny_trainer(config)
    left = []
    for step in range(STEPS):
        torch.manual_seed(step)
        batch = random_batch(step)
        trainer.step(batch, plan_for(config, batch, step))
        left.append(gradients_of(trainer.generator) | gradients_of(trainer.discriminator))
    return [*left, weights_of(trainer.generator), weights_of(trainer.discriminator)]


def main() -> None:
    found = {}
    for threads in map(int, sys.argv[1:]):
        torch.set_num_threads(threads)
        found[threads] = {name: identical(trained(options), trained(options)) for name, options in CASES.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
