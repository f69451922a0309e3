"""What a loaded generator makes, in one step or several, at training length or in windows."""

import dataclasses

import pytest
import torch
from tiny_generators import build
from torch import nn

from errors import UserError
from models.networks import GuidedGenerator
from synthesis.draws import plain
from synthesis.generation import generate
from synthesis.sampler import noise_levels, sample


def noise_sources(loaded, clips, frames):
    return loaded.sources.from_noise(loaded.space, plain(0, clips), (128, frames), "cpu")


def with_generator(loaded, generator: nn.Module):
    return dataclasses.replace(loaded, network=GuidedGenerator(generator))


def test_clips_of_training_length_see_no_windows(loaded):
    sources = noise_sources(loaded, 2, loaded.space.shape[-1])
    made = loaded.space.normalise(generate(loaded, *sources))
    steps = loaded.config.sampling.passes
    whole = sample(lambda a, b, alpha: loaded.network(a, b).output_BDT, *sources, steps=steps)
    torch.testing.assert_close(made, whole, rtol=1e-4, atol=1e-5)


def test_several_passes_stay_in_the_range_of_training_latents(codec):
    loaded = build("patch in passes", codec)
    sources = noise_sources(loaded, 2, 3 * loaded.space.shape[-1])
    free = loaded.space.normalise(generate(loaded, *sources))
    ends = torch.full((128,), 0.5)
    loaded.space = dataclasses.replace(loaded.space, lowest_D=-ends, highest_D=ends)
    kept = loaded.space.normalise(generate(loaded, *sources))
    assert free.abs().max() > 1 and kept.abs().max() <= 0.5 + 1e-5


class Recording(nn.Module):
    """Makes its input, and keeps what it is called with."""

    takes_conditions = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, list[float]]] = []

    def forward(self, input_BDT, target_BDT, conditions=None):
        self.seen.append((input_BDT.shape[-1], conditions["alpha"].tolist()))
        return input_BDT


def test_a_network_knows_the_noise_level_of_every_step(codec):
    network = Recording()
    loaded = with_generator(build("patch in passes", codec, conditions="alpha"), network)
    generate(loaded, *noise_sources(loaded, 2, 48), alpha=0.8)
    assert [alphas for _, alphas in network.seen] == [[pytest.approx(a)] * 2 for a in noise_levels(0.8, 3)]


def test_a_network_never_sees_more_than_a_training_clip(codec):
    network = Recording()
    loaded = with_generator(build("patch", codec, conditions="alpha"), network)
    for frames in (30, 48, 49, 200):
        network.seen.clear()
        sources = noise_sources(loaded, 1, frames)
        made = loaded.space.normalise(generate(loaded, *sources))
        torch.testing.assert_close(made, sources[0], atol=1e-4, rtol=1e-4)
        assert all(width <= 48 for width, _ in network.seen) and (len(network.seen) == 1) == (frames <= 48)


def test_a_generator_that_makes_no_numbers_is_refused(codec):
    class Broken(nn.Module):
        def forward(self, input_BDT, target_BDT):
            return input_BDT * torch.nan

    loaded = with_generator(build("patch", codec), Broken())
    with pytest.raises(UserError, match="a test gives NaN or infinite values"):
        generate(loaded, *noise_sources(loaded, 1, 48))
