"""`--compile`: torch.compile for the networks. A network that cannot be compiled runs uncompiled, with one warning.

Blocks that a network repeats are compiled one by one: they share their code, so that the compiler works once for all
of them ("regional compilation"); compiled as a whole, a network takes as many times as long to start as it has blocks.
"""

import logging
from collections.abc import Callable

import torch
from torch import nn

_COMPLAINS = "torch._dynamo.convert_frame"


class _OneLine(logging.Filter):
    """Passes on the compiler's first warning only, as one line without a traceback."""

    def __init__(self) -> None:
        super().__init__()
        self._reported = False

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        reported, self._reported = self._reported, True
        reason = str(record.exc_info[1]) if record.exc_info else record.getMessage()
        first = " ".join(line.strip() for line in reason.splitlines()[:2])
        record.msg, record.args = f"--compile: continues uncompiled where compilation fails: {first}", None
        record.exc_info = record.exc_text = None
        return not reported


def compile_networks(*networks: nn.Module, backend: str | Callable = "inductor") -> None:
    """Compiles each network in place, for each input shape when it first occurs."""
    torch._dynamo.config.suppress_errors = True
    logging.getLogger(_COMPLAINS).addFilter(_OneLine())
    for network in networks:
        for part in repeated_blocks(network) or [network]:
            part.compile(dynamic=False, backend=backend)


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """The members of all lists of several modules of one class and size in a network, the outermost ones."""
    found: list[nn.Module] = []
    for child in network.children():
        members = list(child) if isinstance(child, nn.ModuleList) else []
        alike = len(members) > 1 and len({_described(member) for member in members}) == 1
        found += members if alike else repeated_blocks(child)
    return found


def _described(module: nn.Module) -> tuple:
    return type(module), tuple(p.shape for p in module.parameters())
