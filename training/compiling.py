"""`--compile`: torch.compile for the networks. A network that cannot be compiled runs uncompiled, with one warning."""

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
        network.compile(dynamic=False, backend=backend)
