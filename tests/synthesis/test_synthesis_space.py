"""What generation knows of the data: there and back for samples of any number of axes, and through a checkpoint."""

import io

import numpy as np
import pytest
import torch
from fake_latents import FakePairs
from hypothesis import given
from hypothesis import strategies as st

from data.stream import SampleStream
from synthesis.space import Space, measure_space

SHAPES = [(4, 12), (4, 3, 12), (4,)]


def space_for(shape, ranges=True) -> Space:
    generator = torch.Generator().manual_seed(2)
    mean_D, std_D = torch.randn(4, generator=generator), 0.5 + torch.rand(4, generator=generator)
    lowest_D, highest_D = (-1 - torch.rand(4, generator=generator), 1 + torch.rand(4, generator=generator))
    known = {"lowest_D": lowest_D, "highest_D": highest_D} if ranges else {}
    about = {"codec": "mel"}
    return Space("audio", "mel-1", shape, 75, mean_D, std_D, torch.ones(3, 2), about=about, **known)


def samples(shape, scale=1.0, batch=5):
    return scale * torch.randn(batch, *shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_denormalise_undoes_normalise(shape):
    space, x = space_for(shape), samples(shape, 7.0)
    torch.testing.assert_close(space.denormalise(space.normalise(x)), x)
    torch.testing.assert_close(space.normalise(space.denormalise(x)), x)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_statistics_are_those_of_each_channel(shape):
    space, x = space_for(shape), samples(shape)
    made = space.normalise(x)
    assert made.shape == x.shape
    for d in range(4):
        torch.testing.assert_close(made[:, d], (x[:, d] - space.mean_D[d]) / space.std_D[d])


def test_denormalised_samples_are_float32_whatever_came_in():
    space = space_for((4, 12))
    made = space.denormalise(samples((4, 12)).bfloat16())
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, space.denormalise(samples((4, 12))), atol=0.1, rtol=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_within_brings_back_what_lies_beyond_and_nothing_else(shape):
    space, x = space_for(shape), samples(shape, 3.0)
    kept = space.within(x)
    for d in range(4):
        assert torch.equal(kept[:, d], x[:, d].clamp(float(space.lowest_D[d]), float(space.highest_D[d])))
    assert not torch.equal(kept, x)
    inside = samples(shape, 0.1)
    assert torch.equal(space.within(inside), inside)
    assert space.within(inside.double()).dtype == torch.float64


def test_spaces_of_early_versions_know_no_range():
    x = samples((4, 12), 100.0)
    assert space_for((4, 12), ranges=False).within(x) is x


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("ranges", [False, True])
def test_the_state_is_plain_and_gives_the_space_back(shape, ranges):
    space, buffer = space_for(shape, ranges), io.BytesIO()
    torch.save(space.state_dict(), buffer)
    buffer.seek(0)
    again = Space.from_state(torch.load(buffer, weights_only=True))
    for name in Space.__dataclass_fields__:
        before, after = getattr(space, name), getattr(again, name)
        assert torch.equal(before, after) if isinstance(before, torch.Tensor) else before == after, name
    assert isinstance(again.shape, tuple)
    with pytest.raises((KeyError, TypeError)):
        Space.from_state({"shape": [4, 12]})
    with pytest.raises((KeyError, TypeError)):
        Space.from_state({})


def test_length_is_in_the_unit_of_the_kind():
    assert space_for((4, 300)).length == 4.0


def test_moving_keeps_everything():
    space = space_for((4, 12))
    moved = space.to(torch.device("cpu"))
    assert moved.state_dict().keys() == space.state_dict().keys()
    assert torch.equal(moved.normalise(samples((4, 12))), space.normalise(samples((4, 12))))


FACTS = {"kind": "audio", "identity": "x", "rate": 75}


@given(st.sampled_from([(4, 12), (4, 3, 5)]), st.integers(1, 6), st.integers(0, 2**31 - 1))
def test_measured_scales_and_ranges_are_numpys(shape, count, seed):
    rng = np.random.default_rng(seed)
    mean_D, std_D = rng.standard_normal(4).astype(np.float32), rng.uniform(0.5, 2, 4).astype(np.float32)
    pairs = [tuple(rng.standard_normal((2, *shape)).astype(np.float32)) for _ in range(count)]
    space = measure_space(iter(pairs), mean_D, std_D, shape=shape, **FACTS)
    ones = (4, *[1] * (len(shape) - 1))
    scaled = (np.array(pairs) - mean_D.reshape(ones)) / std_D.reshape(ones)  # [count, 2, *shape]
    np.testing.assert_allclose(space.noise_scales_K2, scaled.reshape(count, 2, -1).std(axis=2), rtol=1e-4)
    by_channel = scaled.swapaxes(0, 2).reshape(4, -1)
    np.testing.assert_allclose(space.lowest_D, by_channel.min(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(space.highest_D, by_channel.max(1), rtol=1e-4, atol=1e-5)
    assert all(x.dtype == torch.float32 for x in (space.mean_D, space.std_D, space.lowest_D, space.highest_D))
    made = space.normalise(torch.from_numpy(np.array(pairs)[:, 0]))
    torch.testing.assert_close(space.within(made), made, atol=1e-5, rtol=1e-5)


def test_the_space_of_a_stream_is_that_of_its_crops():
    pairs = FakePairs(6, random=True, crop_frames=5)
    stream = SampleStream(pairs, 3)
    crops = [stream[index] for index in range(12)]
    space = measure_space(crops, pairs.mean, pairs.std, shape=pairs.shape, **FACTS)
    assert space.shape == (4, 5) and space.noise_scales_K2.shape == (12, 2)
    normalised = torch.stack([space.normalise(torch.from_numpy(source)[None])[0] for source, _ in crops])
    torch.testing.assert_close(space.noise_scales_K2[:, 0], normalised.std(dim=(1, 2), correction=0))
