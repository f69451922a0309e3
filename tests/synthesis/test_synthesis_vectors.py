"""Sources of generators that start from a vector of noise."""

import pytest
import torch

from errors import UserError
from synthesis.draws import Draw, Origin, plain
from synthesis.space import Space
from synthesis.vectors import VectorSources, windows_of

SPACE = Space("audio", "mel", (4, 16), 75.0, torch.zeros(4), torch.ones(4), torch.ones(1, 2))
SOURCES = VectorSources(6)


def test_a_vector_depends_on_seed_and_sample_alone():
    x = torch.zeros(3, 4, 16)
    noise_BZ, same_BZ = SOURCES.mixed(x, x, 0.0, [5, 2, 9], 1)
    assert noise_BZ.shape == (3, 6) and torch.equal(noise_BZ, same_BZ)
    assert torch.equal(noise_BZ[1:2], SOURCES.mixed(x[:1], x[:1], 1.0, [2], 1)[0])
    assert not torch.equal(noise_BZ, SOURCES.mixed(x, x, 0.0, [5, 2, 9], 2)[0])


def test_generation_draws_as_training_does():
    made_BZ, _ = SOURCES.from_noise(SPACE, plain(1, 3), (4, 16), torch.device("cpu"))
    x = torch.zeros(3, 4, 16)
    assert torch.equal(made_BZ, SOURCES.mixed(x, x, 0.0, [0, 1, 2], 1)[0])


def test_long_samples_have_a_vector_for_each_window():
    assert [windows_of(SPACE, length) for length in (1, 16, 17, 28, 29, 100)] == [1, 1, 2, 2, 3, 8]
    short, _ = SOURCES.from_noise(SPACE, plain(1, 2), (4, 16), torch.device("cpu"))
    long, _ = SOURCES.from_noise(SPACE, plain(1, 2), (4, 40), torch.device("cpu"))
    assert long.shape == (2, 6, 3) and torch.equal(long[..., 0], short)
    assert not torch.equal(long[..., 1], long[..., 0])


def test_between_two_draws_the_norm_is_kept():
    between = Draw(Origin(1), Origin(2), 0.5)
    noise_BZ, _ = VectorSources(400).from_noise(SPACE, [between], (4, 16), torch.device("cpu"), temperature=2.0)
    assert noise_BZ.norm() / 20 == pytest.approx(2.0, rel=0.15)


def test_a_recording_cannot_be_changed():
    with pytest.raises(UserError, match="starts from noise alone"):
        SOURCES.from_music(torch.zeros(1, 4, 16), torch.zeros(1, 4, 16), plain(0, 1), None)
