"""One definition of the generator's sources: the curriculum's mix of the samples' own noise, then the masks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from config import make_config
from curriculum.mixing import mix_noise, slow_noise
from models.options import MASKS
from runtime.seeding import Purpose, mix_seed, normal, uniform
from synthesis.noise import source_noise
from synthesis.options import SamplingOptions
from synthesis.sources import Sources

D, T, RATE, SEED = 8, 24, 50, 11
INDICES = [3, 40, 7]
LASTING = {"offset_noise": 0.6, "offset_seconds": 0.2}


def sources_of(**options) -> Sources:
    config = make_config(options)
    return Sources(config.sampling, config.chosen("mask_type"), RATE)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return tuple(2 * torch.randn(3, D, T, generator=generator) + 1 for _ in range(2))


def noises(sampling: SamplingOptions, shape=(D, T)):
    purposes = Purpose.INPUT_NOISE, Purpose.TARGET_NOISE
    return [source_noise(sampling, RATE, SEED, purpose, INDICES, shape, "cpu") for purpose in purposes]


ALPHAS = [0.0, 0.35, 1.0, torch.tensor([0.0, 0.35, 1.0])]


@pytest.mark.parametrize("options", [{}, {"offset_noise": 0.6}, LASTING], ids=str)
@pytest.mark.parametrize("alpha", ALPHAS, ids=str)
def test_mixed_is_the_curriculums_mix_of_source_noise(pair, alpha, options):
    sources = sources_of(**options)
    made = sources.mixed(*pair, alpha, INDICES, SEED)
    for x, clean, noise in zip(made, pair, noises(sources.sampling), strict=True):
        assert torch.equal(x, mix_noise(clean, alpha, noise))


def test_mixed_is_the_formula_written_out(pair):
    """(1 - alpha) x + alpha std(x) noise, with the population's deviation of each sample."""
    made, _ = sources_of().mixed(*pair, 0.35, INDICES, SEED)
    noise = torch.cat([normal(SEED, Purpose.INPUT_NOISE, [i], (D, T), "cpu") for i in INDICES])
    std = pair[0].std(dim=(1, 2), correction=0, keepdim=True)
    torch.testing.assert_close(made, 0.65 * pair[0] + 0.35 * std * noise)


def test_without_noise_nothing_is_drawn_and_nothing_changes(pair, monkeypatch):
    monkeypatch.setattr("synthesis.sources.source_noise", lambda *_: pytest.fail("noise was drawn"))
    made = sources_of(**LASTING).mixed(*pair, 0.0, INDICES, SEED)
    assert all(x is clean for x, clean in zip(made, pair, strict=True))


@pytest.mark.parametrize("mask_type", [name for name in MASKS if name != "none"])
@pytest.mark.parametrize("alpha", [0.0, 0.35])
def test_masks_come_after_the_noise(pair, mask_type, alpha):
    masked, bare = sources_of(mask_type=mask_type), sources_of()
    made = masked.mixed(*pair, alpha, INDICES, SEED)
    expected = masked.masked(*bare.mixed(*pair, alpha, INDICES, SEED), INDICES, SEED)
    assert all(torch.equal(x, y) for x, y in zip(made, expected, strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(made, bare.mixed(*pair, alpha, INDICES, SEED), strict=True))


@pytest.mark.parametrize("mask_type", ["temporal", "spectral", "hybrid"])
def test_masked_is_the_chosen_mask_with_the_samples_own_numbers(pair, mask_type):
    sources = sources_of(mask_type=mask_type)
    part = MASKS[mask_type]
    uniform_BK = uniform(SEED, Purpose.MASK, INDICES, (part.facts["uniforms"](D),), "cpu")
    masking = part.load()(part.options(), *pair, uniform_BK)
    made = sources.masked(*pair, INDICES, SEED)
    assert torch.equal(made[0], masking.masked_input) and torch.equal(made[1], masking.masked_target)


def test_the_masks_own_options_count(pair):
    few, many = (sources_of(mask_type="frequency", mask_freq_split=split).masked(*pair, INDICES, SEED)[0]
                 for split in (0.25, 0.75))  # fmt: skip
    assert [int((x != 0).any(2).sum()) for x in (few, many)] == [3 * 2, 3 * 6]


def test_no_mask_leaves_the_sources_as_they_are(pair):
    made = sources_of().masked(*pair, INDICES, SEED)
    assert all(x is clean for x, clean in zip(made, pair, strict=True))


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(["none", "temporal", "spectral"]), st.permutations(range(3)))
def test_rows_depend_on_their_own_sample_alone(mask_type, order):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, D, T, generator=generator) for _ in range(2))
    sources, alpha_B = sources_of(mask_type=mask_type, **LASTING), torch.tensor([0.2, 0.5, 1.0])
    together = sources.mixed(a, b, alpha_B, INDICES, SEED)
    shuffled = sources.mixed(a[order], b[order], alpha_B[order], [INDICES[k] for k in order], SEED)
    for x, y in zip(together, shuffled, strict=True):
        torch.testing.assert_close(x[order], y)


def test_samples_of_more_axes_are_mixed_alike():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(3, D, 5, T, generator=generator) for _ in range(2))
    for options in ({}, {"offset_noise": 0.6}):
        sources = sources_of(**options)
        made = sources.mixed(a, b, 0.35, INDICES, SEED)
        for x, clean, noise in zip(made, (a, b), noises(sources.sampling, (D, 5, T)), strict=True):
            torch.testing.assert_close(x, mix_noise(clean, 0.35, noise))
            assert x.shape == clean.shape


# --- source noise --------------------------------------------------------------------------------------------------


def test_white_noise_is_the_samples_own_normal_numbers():
    noise = source_noise(SamplingOptions(), RATE, SEED, Purpose.INPUT_NOISE, INDICES, (D, T), "cpu")
    assert torch.equal(noise, normal(SEED, Purpose.INPUT_NOISE, INDICES, (D, T), "cpu"))


def test_lasting_noise_is_a_share_of_its_own_numbers():
    share, white = 0.6, normal(SEED, Purpose.INPUT_NOISE, INDICES, (D, T), "cpu")
    own_seed = mix_seed(SEED, Purpose.OFFSET)
    whole = normal(own_seed, Purpose.INPUT_NOISE, INDICES, (D, 1), "cpu")
    made = source_noise(SamplingOptions(offset_noise=share), RATE, SEED, Purpose.INPUT_NOISE, INDICES, (D, T), "cpu")
    torch.testing.assert_close(made, 0.8 * white + share * whole)
    wandering = slow_noise(normal(own_seed, Purpose.INPUT_NOISE, INDICES, (D, T), "cpu"), 0.2 * RATE)
    made = source_noise(SamplingOptions(**LASTING), RATE, SEED, Purpose.INPUT_NOISE, INDICES, (D, T), "cpu")
    torch.testing.assert_close(made, 0.8 * white + share * wandering)


def test_lasting_noise_lasts_in_the_unit_of_the_kind():
    """Twice the rate: the same time is twice as many positions."""

    def correlation(rate: float, apart: int) -> float:
        options = SamplingOptions(offset_noise=0.999, offset_seconds=1.0)
        noise = source_noise(options, rate, SEED, Purpose.INPUT_NOISE, range(8), (64, 400), "cpu")
        return float((noise[..., apart:] * noise[..., :-apart]).mean())

    assert correlation(10, 10) == pytest.approx(correlation(20, 20), abs=0.08)
    assert correlation(10, 10) == pytest.approx(0.37, abs=0.08)  # 1 / e after a second
    assert correlation(20, 10) == pytest.approx(0.61, abs=0.08)
