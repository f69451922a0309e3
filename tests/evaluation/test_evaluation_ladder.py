"""Every figure puts the rungs in order, on demo music and on one's own; a wrong order is named."""

import os
from pathlib import Path

import numpy as np
import pytest

from audio_codecs.mel import MelCodec
from evaluation import ladder
from evaluation.scorer import Scorer
from evaluation.table import HEADINGS, add_gap_closed, broken_figures, render
from kinds.audio.features import describe
from kinds.audio.preparing.demo_music import demo_song
from kinds.audio.rungs import make_rung

SAMPLE_RATE = 24000


def crops_of(songs, length, count, seed=0):
    clips = [song[i : i + length] for song in songs for i in range(0, len(song) - length + 1, length)]
    chosen = np.random.default_rng(seed).permutation(len(clips))[:count]
    return np.stack([clips[i] for i in chosen]).astype(np.float32)


def measured(reference_BN, train_BN, codec, rounds=20):
    """Every rung's figures."""
    scorer = Scorer(describe(reference_BN).features_NF, describe(train_BN).features_NF)
    start_BN = train_BN[: len(reference_BN)]
    sets = {rung: scorer.score(describe(make_rung(rung, start_BN, codec)), rounds) for rung in ladder.RUNGS}
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
    nearly["floor"]["frechet"] = 1.0
    assert "frechet" in ladder.misordered(nearly)
