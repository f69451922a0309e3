"""What a run draws depends on (seed, purpose, index) and on nothing else."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from runtime.counter_noise import bits
from runtime.seeding import Purpose, counted_on_cpus, mix_seed, normal, seed_step, uniform

SEEDS = st.integers(0, 2**31 - 1)
INDICES = st.lists(st.integers(0, 2**40), min_size=1, max_size=6)
PURPOSES = st.sampled_from(list(Purpose))


def test_seeds_stay_what_they_were():
    """A change here would change every run that is resumed: these three were computed apart from the program."""

    def splitmix(state: int) -> int:
        state = state * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        return state ^ (state >> 31)

    start = 0x9E3779B97F4A7C15
    assert mix_seed(42) == splitmix(start ^ 42) >> 1
    assert mix_seed(42, 1) == splitmix(splitmix(start ^ 42) ^ 1) >> 1
    assert mix_seed(42, 1, -1) == splitmix(splitmix(splitmix(start ^ 42) ^ 1) ^ (2**64 - 1)) >> 1


def test_seeds_do_not_collide():
    seeds = {mix_seed(seed, purpose, index) for seed in range(8) for purpose in Purpose for index in range(800)}
    assert len(seeds) == 8 * len(Purpose) * 800
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mix_seed(1, 2) != mix_seed(2, 1)


@given(SEEDS, PURPOSES, INDICES, st.sampled_from([normal, uniform]))
def test_rows_do_not_depend_on_their_batch(seed, purpose, indices, draw):
    together = draw(seed, purpose, indices, (3, 5), "cpu")
    assert together.shape == (len(indices), 3, 5)
    for row, index in zip(together, indices, strict=True):
        assert torch.equal(row, draw(seed, purpose, [index], (3, 5), "cpu")[0])


@given(SEEDS, PURPOSES, st.integers(0, 2**40), st.sampled_from([normal, uniform]))
def test_seed_purpose_and_index_all_matter(seed, purpose, index, draw):
    here = draw(seed, purpose, [index], (16,), "cpu")
    other = Purpose(purpose % len(Purpose) + 1)
    for changed in ((seed + 1, purpose, index), (seed, other, index), (seed, purpose, index + 1)):
        assert not torch.equal(here, draw(*changed[:2], [changed[2]], (16,), "cpu"))


@pytest.mark.parametrize("draw", [normal, uniform])
def test_the_global_generator_is_neither_read_nor_moved(draw):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw(3, Purpose.MASK, range(4), (7,), "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw(3, Purpose.MASK, range(4), (7,), "cpu"), first)


def test_normal_numbers_are_normal_and_uncorrelated():
    drawn = normal(5, Purpose.INPUT_NOISE, range(16), (8000,), "cpu").double()
    assert drawn.mean(1).abs().max() < 5 / 8000**0.5
    assert (drawn.std(1) - 1).abs().max() < 5 / (2 * 8000) ** 0.5
    correlation = torch.corrcoef(drawn) - torch.eye(16)
    assert correlation.abs().max() < 5 / 8000**0.5
    fourth = drawn.pow(4).mean()
    assert fourth == pytest.approx(3, abs=5 * (96 / drawn.numel()) ** 0.5)


def test_uniform_numbers_fill_the_unit_interval():
    drawn = uniform(5, Purpose.ALPHA, range(20_000), (), "cpu")
    assert drawn.shape == (20_000,)
    assert (drawn >= 0).all()
    assert (drawn < 1).all()
    parts = torch.histc(drawn, 10, 0, 1)
    assert (parts - 2000).abs().max() < 5 * (2000 * 0.9) ** 0.5


def test_dropout_follows_seed_step_and_rank():
    def mask(seed: int, step: int, rank: int) -> torch.Tensor:
        seed_step(seed, step, rank)
        return torch.nn.functional.dropout(torch.ones(64), 0.5)

    with torch.random.fork_rng(devices=[]):
        first = mask(1, 10, 0)
        torch.rand(100)
        assert torch.equal(mask(1, 10, 0), first)
        for other in ((2, 10, 0), (1, 11, 0), (1, 10, 1)):
            assert not torch.equal(mask(*other), first)


def test_counted_numbers_are_those_of_splitmix():
    """The stream of a key as its inventors define it, computed apart from the program."""

    def number(key: int, n: int) -> int:
        x = (key + (n + 1) * 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    keys = [0, 5, 2**63 - 1]
    expected = [[number(key, n) for n in range(6)] for key in keys]
    assert [[value % 2**64 for value in row] for row in bits(keys, 6, "cpu").tolist()] == expected


@given(SEEDS, PURPOSES, INDICES, st.sampled_from([normal, uniform]))
def test_counted_rows_do_not_depend_on_their_batch(seed, purpose, indices, draw):
    with counted_on_cpus():
        together = draw(seed, purpose, indices, (3, 5), "cpu")
        assert together.shape == (len(indices), 3, 5)
        for row, index in zip(together, indices, strict=True):
            assert torch.equal(row, draw(seed, purpose, [index], (3, 5), "cpu")[0])


def test_counted_numbers_are_distributed_as_they_should_be():
    with counted_on_cpus():
        normal_BN = normal(7, Purpose.PENALTY, range(8), (50_000,), "cpu")
        uniform_BN = uniform(7, Purpose.MASK, range(8), (50_000,), "cpu")
    for numbers, law in ((normal_BN, "norm"), (uniform_BN, "uniform")):
        assert stats.kstest(numbers.flatten().double().numpy(), law).pvalue > 1e-3
        neighbours = torch.corrcoef(torch.stack([numbers[:, 1:].flatten(), numbers[:, :-1].flatten()]))[0, 1]
        assert abs(neighbours) < 0.01 and abs(torch.corrcoef(numbers) - torch.eye(8)).max() < 0.03
    assert uniform_BN.min() >= 0 and uniform_BN.max() < 1


def test_cpus_draw_as_before_outside():
    before = normal(1, Purpose.MASK, [3], (4,), "cpu")
    with counted_on_cpus():
        assert not torch.equal(normal(1, Purpose.MASK, [3], (4,), "cpu"), before)
    assert torch.equal(normal(1, Purpose.MASK, [3], (4,), "cpu"), before)
    assert torch.equal(before[0], torch.empty(4).normal_(generator=torch.Generator().manual_seed(mix_seed(1, 6, 3))))
