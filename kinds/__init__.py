"""Kinds of data: from files to tensors and back.

A new kind is one class that follows `kinds.base.Kind`, its options, and one line in `kinds/options.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["Decoder", "Kind", "build_kind"],
        "base_options": ["KindOptions"],
        "options": ["CONDITIONS", "KINDS", "DataOptions"],
    },
)
