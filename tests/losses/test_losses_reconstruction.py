"""Shapes: B batch, D latent channels, T frames."""

import pytest
import torch
from torch.nn import functional as F

from losses.features import feature_matching
from losses.options import RECONSTRUCTION


def noise(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


OUTPUT_BDT, TARGET_BDT = 2 * noise(3, 4, 5), noise(3, 4, 5, seed=1)
ORACLES = {
    "rmse": lambda a, b: F.mse_loss(a, b).sqrt(),
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": F.huber_loss,
}


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_values_per_sample_equal_the_librarys(name):
    expected = [ORACLES[name](a, b) for a, b in zip(OUTPUT_BDT, TARGET_BDT, strict=True)]
    got_B = RECONSTRUCTION[name].load()(OUTPUT_BDT, TARGET_BDT)
    torch.testing.assert_close(got_B, torch.stack(expected), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_gradients(name):
    output_BDT = OUTPUT_BDT[:2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: RECONSTRUCTION[name].load()(x, TARGET_BDT[:2, :2]), (output_BDT,))


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_zero_error_has_a_zero_gradient(name):
    output_BDT = TARGET_BDT.float().requires_grad_()
    loss_B = RECONSTRUCTION[name].load()(output_BDT, TARGET_BDT.float())
    loss_B.sum().backward()
    assert (output_BDT.grad == 0).all()
    assert (loss_B <= 1.01e-4).all()


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_waveforms_and_any_length(name):
    assert RECONSTRUCTION[name].load()(noise(2, 1, 777), noise(2, 1, 777, seed=1)).shape == (2,)


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_further_axes_count_as_more_values_of_the_sample(name):
    measure, output, target = RECONSTRUCTION[name].load(), noise(3, 2, 5, 4), noise(3, 2, 5, 4, seed=1)
    torch.testing.assert_close(measure(output, target), measure(output.flatten(2), target.flatten(2)))


def test_feature_matching_is_the_relative_difference_of_each_layer():
    real = [noise(2, 3, 8), noise(2, 5)]
    fake = [real[0] + 0.5, 3 * real[1]]
    got_B = feature_matching(real, fake)
    for b in range(2):
        first = 0.5 / real[0][b].abs().mean()
        torch.testing.assert_close(got_B[b], (first + 2.0) / 2)


def test_feature_matching_does_not_depend_on_a_layers_scale():
    real, fake = [noise(2, 3, 8), noise(2, 5)], [noise(2, 3, 8, seed=1), noise(2, 5, seed=2)]
    scaled = feature_matching([real[0] * 100, real[1]], [fake[0] * 100, fake[1]])
    torch.testing.assert_close(scaled, feature_matching(real, fake))


def test_feature_matching_gradients_reach_fakes_only():
    real, fake = noise(2, 3, 4).requires_grad_(), noise(2, 3, 4, seed=1).requires_grad_()
    feature_matching([real], [fake]).sum().backward()
    assert real.grad is None
    assert torch.autograd.gradcheck(lambda f: feature_matching([real.detach()], [f]), (fake,))


def test_feature_matching_stays_finite_for_a_dead_layer_and_equal_features():
    fake = torch.zeros(2, 3, requires_grad=True)
    feature_matching([torch.zeros(2, 3)], [fake]).sum().backward()
    assert torch.isfinite(fake.grad).all()


def test_feature_matching_refuses_unlike_layers():
    with pytest.raises(AssertionError):
        feature_matching([noise(2, 3)], [noise(2, 3), noise(2, 3)])
    with pytest.raises(AssertionError):
        feature_matching([noise(2, 3)], [noise(2, 1)])
