"""How close one set of samples is to another: metrics, the ladder that validates them, intervals, tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ladder": ["ORDER", "RUNGS", "misordered"],
        "metrics": ["diversity_ratio", "frechet_distance", "gap_closed", "nearest_train_ratio"],
        "scorer": ["Described", "Scorer"],
    },
)
