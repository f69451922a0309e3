"""`--compile` where nothing can be compiled."""

import logging

import pytest
import torch

from training.compiling import compile_networks


class Doubled(torch.nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


@pytest.fixture
def records():
    """Records that the compiler's logger lets through; torch's loggers do not hand on to the root."""
    kept: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = kept.append
    logger = logging.getLogger("torch._dynamo.convert_frame")
    logger.addHandler(handler)
    torch._dynamo.reset()
    yield kept
    logger.removeHandler(handler)
    logger.filters.clear()
    torch._dynamo.reset()
    torch._dynamo.config.suppress_errors = False


def test_a_compiler_that_fails_costs_one_line(records):
    def broken(_graph, _inputs):
        raise RuntimeError("no C++ compiler here\nand a long story")

    networks = [Doubled(4, 4), Doubled(4, 2)]
    x = torch.ones(3, 4)
    expected = [network(x) for network in networks]
    compile_networks(*networks, backend=broken)
    assert all(torch.equal(network(x), values) for network, values in zip(networks, expected, strict=True))
    (record,) = records
    assert "no C++ compiler here" in record.getMessage() and "\n" not in record.getMessage()
    assert not record.exc_info
