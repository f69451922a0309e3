"""The rungs of audio are what they are called: level, spectrum, moments and order kept or lost as their names say."""

import numpy as np
import pytest

from audio_codecs.mel import MelCodec
from evaluation.ladder import RUNGS
from kinds.audio import rungs
from kinds.audio.rungs import make_rung

SAMPLE_RATE = 24000


def noise_clips(count=6, samples=48000):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((count, samples)) * rng.uniform(0.05, 0.3, (count, 1))).astype(np.float32)


@pytest.mark.parametrize("samples", [48000, 48001])
def test_random_phases_keep_the_spectrum(samples):
    clips = noise_clips(samples=samples)
    changed = rungs.randomise_phases(clips, np.random.default_rng(1))
    np.testing.assert_allclose(abs(np.fft.rfft(changed)), abs(np.fft.rfft(clips)), rtol=1e-3, atol=1e-2)
    assert abs(np.corrcoef(changed[0], clips[0])[0, 1]) < 0.05


def test_shuffled_grains_keep_level_and_lose_order():
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / SAMPLE_RATE)
    halves = np.where(np.arange(48000) < 24000, tone, 0)[None].astype(np.float32)
    shuffled = rungs.shuffle_grains(halves, np.random.default_rng(0))
    assert shuffled.shape == halves.shape
    assert np.sqrt(np.mean(shuffled**2)) == pytest.approx(np.sqrt(np.mean(halves**2)), rel=0.25)
    level = np.sqrt(np.mean(shuffled[0].reshape(-1, 4000) ** 2, axis=1))
    assert (level[:6] < 0.2).any() and (level[6:] > 0.1).any()


def test_white_noise_has_the_level_of_its_clip():
    clips = noise_clips()
    noise = rungs.white_noise(clips, np.random.default_rng(1))
    np.testing.assert_allclose(noise.std(1), clips.std(1), rtol=0.02)
    assert abs(np.corrcoef(noise[0], clips[0])[0, 1]) < 0.02


def test_gaussian_latents_have_the_moments_and_no_memory():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((5, 5))
    slow = np.repeat(rng.standard_normal((20, 5, 40)), 10, axis=2)  # frames in runs of ten
    latents = (np.einsum("de,bet->bdt", mixing, slow) + 3).astype(np.float32)
    drawn = rungs.gaussian_latents(latents, rng)
    rows, drawn_rows = (z.transpose(0, 2, 1).reshape(-1, 5) for z in (latents, drawn))
    np.testing.assert_allclose(drawn_rows.mean(0), rows.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn_rows.T), np.cov(rows.T), atol=0.5, rtol=0.1)
    assert np.corrcoef(latents[:, 0, :-1].ravel(), latents[:, 0, 1:].ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(drawn[:, 0, :-1].ravel(), drawn[:, 0, 1:].ravel())[0, 1]) < 0.05


def test_rungs_are_seeded_and_keep_the_shape():
    clips, codec = noise_clips(2), MelCodec(rounds=2)
    for rung in RUNGS:
        once, again = (make_rung(rung, clips, codec, seed=3) for _ in range(2))
        assert once.shape == clips.shape and once.dtype == np.float32
        np.testing.assert_array_equal(once, again)
    assert not np.array_equal(*(make_rung("white_noise", clips, codec, seed) for seed in (3, 4)))
    one = make_rung("one_clip", clips, codec)
    assert (one == one[0]).all() and any(np.array_equal(one[0], clip) for clip in clips)
    with pytest.raises(KeyError):
        make_rung("pink_noise", clips, codec)
