"""The notes ruler puts the rungs in order, on demo music and on one's own recordings."""

import os
from pathlib import Path

import numpy as np
import pytest

from audio_codecs.mel import MelCodec
from evaluation import ladder
from evaluation.table import broken_figures
from kinds.audio import notes
from kinds.audio.clips import crops, read_folder
from kinds.audio.preparing.demo_music import demo_song
from kinds.audio.rulers import measure

SAMPLE_RATE = 24_000
pytestmark = pytest.mark.skipif(notes.missing() is not None, reason=str(notes.missing()))


def test_demo_music_is_put_in_order_by_every_metric():
    songs = [demo_song(seed, 16.0, SAMPLE_RATE) for seed in range(16)]
    length = 2 * SAMPLE_RATE
    reference_BN, train_BN = (crops(half, length, 0, 64) for half in (songs[:8], songs[8:]))
    # Eight rounds of Griffin-Lim instead of 32: a somewhat worse codec, and a quarter of the time.
    measured = measure(["notes"], reference_BN, train_BN, {}, MelCodec(rounds=8), rounds=10)["notes"]
    assert list(measured.sets) == list(ladder.RUNGS)
    assert broken_figures(measured.sets) == {}
    floor, round_trip, noise = (measured.sets[rung] for rung in ("floor", "round_trip", "white_noise"))
    assert round_trip["gap_closed"]["value"] > 0.9 and floor["coverage"]["value"] > 0.7
    assert floor["notes_per_s"]["value"] == pytest.approx(measured.reference["notes_per_s"]["value"], rel=0.25)
    assert noise["polyphony_mean"]["value"] < 0.1
    # Griffin-Lim breaks notes: this is what the ruler is for.
    assert round_trip["length_mean"]["value"] < 0.8 * floor["length_mean"]["value"]


@pytest.mark.skipif("N2M_MUSIC" not in os.environ, reason="set N2M_MUSIC to a folder of music to try the ladder on it")
def test_own_music_is_put_in_order_by_every_metric():
    """Both halves have clips of the same recordings, since notes differ more from song to song than timbre does."""
    from evaluation.metrics import silent_clips

    clips_BN = crops(read_folder(Path(os.environ["N2M_MUSIC"]), "N2M_MUSIC"), 4 * SAMPLE_RATE, 0, 256)
    clips_BN = clips_BN[~silent_clips(clips_BN)]
    half = len(clips_BN) // 2
    reference_BN, train_BN = clips_BN[: 2 * half : 2], clips_BN[1 : 2 * half : 2]
    measured = measure(["notes"], reference_BN, train_BN, {}, MelCodec(), rounds=10)["notes"]
    assert broken_figures(measured.sets) == {}
    assert np.isfinite([entry["value"] for values in measured.sets.values() for entry in values.values()]).all()
