"""`--compile`: what is compiled, and a compiler that fails."""

import logging

import pytest
import torch

from training.compiling import compile_networks, repeated_blocks


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


class Stack(torch.nn.Module):
    """`count` equal blocks in a list, and another list whose layers differ in size."""

    def __init__(self, count: int):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Doubled(4, 4) for _ in range(count))
        self.others = torch.nn.ModuleList([torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)])

    def forward(self, x):
        for layer in [*self.blocks, *self.others]:
            x = layer(x)
        return x


def test_blocks_that_a_network_repeats_are_compiled_once(records):
    """Four blocks cost two graphs of a block: for the network's input, which needs no gradient, and for what the blocks
    pass on. Without repeated blocks the network is one graph."""
    graphs = []

    def counting(graph, _inputs):
        graphs.append([node for node in graph.graph.nodes if node.target is torch.nn.functional.linear])
        return graph.forward

    x = torch.ones(3, 4)
    for count, linears in ((4, [1, 1]), (1, [3])):
        network = Stack(count)
        assert len(repeated_blocks(network)) == (count if count > 1 else 0)
        expected = network(x)
        graphs.clear()
        compile_networks(network, backend=counting)
        assert torch.equal(network(x), expected)
        assert [len(graph) for graph in graphs] == linears
    assert not records


def test_compiled_networks_keep_the_names_of_their_weights():
    """FareedKhan-dev/train-llm-from-scratch 36: torch.compile writes "_orig_mod." into checkpoints' names."""
    network = Stack(2)
    before = list(network.state_dict())
    compile_networks(network, backend="eager")
    network(torch.ones(3, 4))
    assert list(network.state_dict()) == before
