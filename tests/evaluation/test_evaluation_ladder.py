"""The rungs are what they are called, and every figure puts them in order, on demo music and on one's own."""

import os
from pathlib import Path

import numpy as np
import pytest
from evaluation.judge import Judge, describe

from audio_codecs.mel import MelCodec
from evaluation import ladder
from evaluation.table import HEADINGS, add_gap_closed, broken_figures, render
from kinds.audio.preparing.demo_music import demo_song

SAMPLE_RATE = 24000


def crops_of(songs, length, count, seed=0):
    clips = [song[i : i + length] for song in songs for i in range(0, len(song) - length + 1, length)]
    chosen = np.random.default_rng(seed).permutation(len(clips))[:count]
    return np.stack([clips[i] for i in chosen]).astype(np.float32)


def measured(reference_BN, train_BN, codec, rounds=20):
    """Every rung's figures."""
    judge = Judge(describe(reference_BN).features_NF, describe(train_BN).features_NF)
    start_BN = train_BN[: len(reference_BN)]
    sets = {rung: judge.score(describe(ladder.make_rung(rung, start_BN, codec)), rounds) for rung in ladder.RUNGS}
    add_gap_closed(sets)
    return sets


@pytest.fixture(scope="module")
def demo_ladder():
    songs = [demo_song(seed, 16.0, SAMPLE_RATE) for seed in range(16)]
    length = 2 * SAMPLE_RATE
    # Eight rounds of Griffin-Lim instead of 32: a somewhat worse codec, and a quarter of the time.
    return measured(crops_of(songs[:8], length, 64), crops_of(songs[8:], length, 64), MelCodec(rounds=8))


def test_demo_music_is_put_in_order_by_every_figure(demo_ladder):
    assert set(ladder.ORDER) <= set(demo_ladder["floor"])
    assert broken_figures(demo_ladder) == {}


def test_ends_of_the_scales_on_demo_music(demo_ladder):
    assert demo_ladder["floor"]["gap_closed"]["value"] == 1
    assert demo_ladder["gaussian"]["gap_closed"]["value"] == 0
    assert demo_ladder["white_noise"]["gap_closed"]["value"] < 0
    assert demo_ladder["round_trip"]["gap_closed"]["value"] > 0.9
    assert demo_ladder["one_clip"]["diversity"]["value"] == 0
    assert 0.7 < demo_ladder["floor"]["diversity"]["value"] < 1.4
    assert demo_ladder["floor"]["coverage"]["value"] > 0.6 > 0.2 > demo_ladder["white_noise"]["coverage"]["value"]
    for figures in demo_ladder.values():
        assert figures["silent"]["value"] == 0
        for entry in figures.values():
            assert entry["low"] <= entry["value"] <= entry["high"]


def test_the_table_shows_every_set_and_figure(demo_ladder):
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as capture:
        console.print(render({"mine": demo_ladder["time_shuffled"], **demo_ladder}, "64 clips", {"density": ["why"]}))
    text = capture.get()
    for name in ("mine", *ladder.RUNGS, *(heading for heading, _ in HEADINGS.values()), "density !"):
        assert name in text


@pytest.mark.skipif("N2M_MUSIC" not in os.environ, reason="set N2M_MUSIC to a folder of music to try the ladder on it")
def test_own_music_is_put_in_order_by_every_figure():
    from evaluate import crops, halves, read_folder
    from evaluation.metrics import silent_clips

    sides = halves(read_folder(Path(os.environ["N2M_MUSIC"]), "N2M_MUSIC"), seed=0)
    reference_BN, train_BN = (crops(side, 4 * SAMPLE_RATE, 0, 128) for side in sides)
    reference_BN, train_BN = (clips[~silent_clips(clips)] for clips in (reference_BN, train_BN))
    count = min(len(reference_BN), len(train_BN))
    assert broken_figures(measured(reference_BN[:count], train_BN[:count], MelCodec())) == {}


def rising(figure_of):
    order = ["floor", "round_trip", "time_shuffled", "phase_randomised", "gaussian", "white_noise"]
    return {rung: {"frechet": figure_of(order.index(rung) if rung in order else 3)} for rung in ladder.RUNGS}


def test_a_wrong_order_is_named():
    sound = rising(float)
    assert ladder.misordered(sound) == {}
    sound["gaussian"]["frechet"] = 5.5
    assert ladder.misordered(sound) == {"frechet": ["gaussian 5.5 is not < white_noise 5"]}
    assert set(ladder.misordered(rising(lambda place: -float(place)))) == {"frechet"}


def test_only_no_better_than_forgives_a_little():
    nearly = rising(float)
    nearly["floor"]["frechet"], nearly["round_trip"]["frechet"] = 0.1, 0.0
    assert ladder.misordered(nearly) == {}
    nearly["floor"]["frechet"] = 0.5
    assert "frechet" in ladder.misordered(nearly)


def noise_clips(count=6, samples=48000):
    rng = np.random.default_rng(0)
    return (rng.standard_normal((count, samples)) * rng.uniform(0.05, 0.3, (count, 1))).astype(np.float32)


@pytest.mark.parametrize("samples", [48000, 48001])
def test_random_phases_keep_the_spectrum(samples):
    clips = noise_clips(samples=samples)
    changed = ladder.randomise_phases(clips, np.random.default_rng(1))
    np.testing.assert_allclose(abs(np.fft.rfft(changed)), abs(np.fft.rfft(clips)), rtol=1e-3, atol=1e-2)
    assert abs(np.corrcoef(changed[0], clips[0])[0, 1]) < 0.05


def test_shuffled_grains_keep_level_and_lose_order():
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(48000) / SAMPLE_RATE)
    halves = np.where(np.arange(48000) < 24000, tone, 0)[None].astype(np.float32)
    shuffled = ladder.shuffle_grains(halves, np.random.default_rng(0))
    assert shuffled.shape == halves.shape
    assert np.sqrt(np.mean(shuffled**2)) == pytest.approx(np.sqrt(np.mean(halves**2)), rel=0.25)
    level = np.sqrt(np.mean(shuffled[0].reshape(-1, 4000) ** 2, axis=1))
    assert (level[:6] < 0.2).any() and (level[6:] > 0.1).any()


def test_white_noise_has_the_level_of_its_clip():
    clips = noise_clips()
    noise = ladder.white_noise(clips, np.random.default_rng(1))
    np.testing.assert_allclose(noise.std(1), clips.std(1), rtol=0.02)
    assert abs(np.corrcoef(noise[0], clips[0])[0, 1]) < 0.02


def test_gaussian_latents_have_the_moments_and_no_memory():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((5, 5))
    slow = np.repeat(rng.standard_normal((20, 5, 40)), 10, axis=2)  # frames in runs of ten
    latents = (np.einsum("de,bet->bdt", mixing, slow) + 3).astype(np.float32)
    drawn = ladder.gaussian_latents(latents, rng)
    rows, drawn_rows = (z.transpose(0, 2, 1).reshape(-1, 5) for z in (latents, drawn))
    np.testing.assert_allclose(drawn_rows.mean(0), rows.mean(0), atol=0.15)
    np.testing.assert_allclose(np.cov(drawn_rows.T), np.cov(rows.T), atol=0.5, rtol=0.1)
    assert np.corrcoef(latents[:, 0, :-1].ravel(), latents[:, 0, 1:].ravel())[0, 1] > 0.8
    assert abs(np.corrcoef(drawn[:, 0, :-1].ravel(), drawn[:, 0, 1:].ravel())[0, 1]) < 0.05


def test_rungs_are_seeded_and_keep_the_shape():
    clips, codec = noise_clips(2), MelCodec(rounds=2)
    for rung in ladder.RUNGS:
        once, again = (ladder.make_rung(rung, clips, codec, seed=3) for _ in range(2))
        assert once.shape == clips.shape and once.dtype == np.float32
        np.testing.assert_array_equal(once, again)
    assert not np.array_equal(*(ladder.make_rung("white_noise", clips, codec, seed) for seed in (3, 4)))
    one = ladder.make_rung("one_clip", clips, codec)
    assert (one == one[0]).all() and any(np.array_equal(one[0], clip) for clip in clips)
    with pytest.raises(KeyError):
        ladder.make_rung("pink_noise", clips, codec)
