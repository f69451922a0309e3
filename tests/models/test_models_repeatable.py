"""Gradients of strided convolutions on several threads: right, and the same each time."""

import pytest
import torch
from torch import nn

from models.blocks import StridedConv1d
from models.discriminators import ConvDiscriminator

UNLUCKY = 75  # frames before the third layer of a clip of 4 s: 11 modulo 16, where oneDNN's own gradient is wrong


@pytest.fixture(params=[2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def gradients(network: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    x = x.detach().requires_grad_()
    return list(torch.autograd.grad(network(x).square().sum(), [x, *network.parameters()]))


@pytest.mark.parametrize("frames", [44, 4 * UNLUCKY])
def test_the_discriminators_gradients_are_right_and_repeat(threads, frames):
    torch.manual_seed(0)
    network, x_BDT = ConvDiscriminator(dropout=0.0), torch.randn(8, 128, frames)
    exact = ConvDiscriminator(dropout=0.0).double()
    exact.load_state_dict(network.state_dict())
    expected, first = gradients(exact, x_BDT.double()), gradients(network, x_BDT)
    for _ in range(5):
        for mine, again, right in zip(gradients(network, x_BDT), first, expected, strict=True):
            assert torch.equal(mine, again)
            assert (mine - right).norm() <= 1e-4 * right.norm()


@pytest.mark.parametrize("frames", [1, 2, 5, 41, 42, 43, 44, UNLUCKY, 150, 299])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_appended_zeros_change_no_output(frames, kernel):
    torch.manual_seed(0)
    padded = StridedConv1d(6, 5, kernel, 2, kernel // 2)
    plain = nn.Conv1d(6, 5, kernel, 2, kernel // 2)
    plain.load_state_dict(padded.state_dict())  # under the same names
    x_BDT = torch.randn(2, 6, frames)
    torch.testing.assert_close(padded(x_BDT), plain(x_BDT))
