"""Processes, checkpoints, seeds and signals. The only package that uses torch.distributed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "distributed": ["Ranks"],
        "options": ["CheckpointOptions", "ProcessOptions"],
        "saver": ["Saver"],
        "seeding": ["Purpose", "mix_seed", "normal", "uniform"],
        "signals": ["StopRequest"],
    },
)
