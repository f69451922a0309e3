"""The weight average against its closed form."""

import pytest
import torch
from torch import nn

from models.cascade_generator import CascadeGenerator
from models.ema import WeightAverage


def live(value: float) -> nn.Module:
    module = nn.BatchNorm1d(3)  # has parameters, float buffers and an integer buffer
    nn.init.constant_(module.weight, value)
    return module


def test_constant_halflife_matches_the_closed_form():
    average = WeightAverage(live(0.0), halflife=64.0, rampup=None)
    target = live(1.0)
    for step in range(16):
        average.update(target, samples_seen=8 * step, batch=8)
    # 128 samples are two half-lives.
    torch.testing.assert_close(average.module.weight, torch.full((3,), 0.75))


def test_halflife_means_the_same_at_any_batch_size():
    averages = []
    for batch in (4, 32):
        average = WeightAverage(live(0.0), halflife=50.0, rampup=None)
        for step in range(320 // batch):
            average.update(live(1.0), step * batch, batch)
        averages.append(average.module.weight)
    torch.testing.assert_close(*averages)


def test_rampup_shortens_the_halflife_early_on():
    average = WeightAverage(live(0.0), halflife=1000.0, rampup=0.05)
    assert average.beta(0, 8) == 0.0
    assert average.beta(400, 8) == pytest.approx(0.5 ** (8 / 20))
    assert average.beta(10**6, 8) == pytest.approx(0.5 ** (8 / 1000))
    average.update(live(3.0), samples_seen=0, batch=8)
    assert torch.equal(average.module.weight, torch.full((3,), 3.0))


def test_buffers_follow_the_live_module():
    module = live(1.0)
    average = WeightAverage(module, halflife=1e6, rampup=None)
    module(torch.randn(5, 3) + 4)
    average.update(module, 1, 1)
    assert torch.equal(average.module.running_mean, module.running_mean) and average.module.num_batches_tracked == 1


def test_average_and_live_weights_never_touch_one_another():
    torch.manual_seed(0)
    module = CascadeGenerator(channels=8, nhead=2, num_layers=1)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    average = WeightAverage(module, halflife=8.0, rampup=None)
    assert module.training and not average.module.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    x = torch.randn(2, 8, 10)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    average.update(module, 100, 8)  # one half-life: half way
    for key, value in before.items():
        if "._" not in key:  # not a buffer of the power iteration
            torch.testing.assert_close(average.module.state_dict()[key], value + 0.5)
            torch.testing.assert_close(module.state_dict()[key], value + 1.0)
    assert torch.equal(average.module(x, x), average.module(x, x))


def test_state_comes_back_exactly_and_is_not_overwritten_by_the_live_weights():
    module = live(0.0)
    average = WeightAverage(module, halflife=8.0, rampup=None)
    average.update(live(1.0), 8, 8)
    state = {key: value.clone() for key, value in average.state_dict().items()}
    again = WeightAverage(live(7.0), halflife=8.0, rampup=None)
    again.load_state_dict(state)
    assert torch.equal(again.module.weight, torch.full((3,), 0.5))
    for one in (average, again):
        one.update(live(1.0), 16, 8)
    assert torch.equal(again.module.weight, average.module.weight) and again.module.weight[0] == 0.75


@pytest.mark.parametrize("bad", [{"halflife": 0.0}, {"halflife": 1.0, "rampup": 0.0}])
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="must be positive"):
        WeightAverage(live(0.0), **bad)
