"""Samples are cut out of whole clips: where a random number says, or from the middle."""

import pickle

import numpy as np
import pytest
from data_clips import make_hand_made
from hypothesis import given
from hypothesis import strategies as st

from data.stream import SampleStream
from kinds.audio.latent_pairs import open_pairs

FRAMES = 38  # of half a second


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    return open_pairs(make_hand_made(tmp_path_factory.mktemp("crops") / "dataset"))


@pytest.fixture
def pairs(splits):
    train, _ = splits
    train.crop_to(0)
    return train


def test_clips_are_whole_at_first(splits):
    train, val = open_pairs(splits[0]._shards.folder.parent.parent)
    for split in (train, val):
        assert split.shape == (128, FRAMES) and split.crop_frames == FRAMES
        assert np.array_equal(split.cut(split.input(0)), split.input(0))
        assert np.array_equal(split.cut(split.input(0), 12345), split.input(0))


@pytest.mark.parametrize("asked, frames", [(0, FRAMES), (1, 1), (10, 10), (FRAMES, FRAMES), (1000, FRAMES)])
def test_crops_are_never_longer_than_the_clip(pairs, asked, frames):
    pairs.crop_to(asked)
    assert pairs.shape == (128, frames)
    assert (pairs.frames, pairs.channels) == (FRAMES, 128)
    for draw in (None, 0, 7):
        assert pairs.cut(pairs.target(1), draw).shape == pairs.shape


@given(st.integers(1, FRAMES), st.integers(0, 2**63 - 1))
def test_a_number_says_where(splits, frames, draw):
    pairs, whole = splits[0], np.arange(2 * FRAMES).reshape(2, FRAMES)
    pairs.crop_to(frames)
    piece = pairs.cut(whole, draw)
    start = draw % (FRAMES - frames + 1)
    assert np.array_equal(piece, whole[:, start : start + frames])
    assert np.shares_memory(piece, whole)


@given(st.integers(1, FRAMES))
def test_without_a_number_it_is_the_middle(splits, frames):
    pairs = splits[0]
    pairs.crop_to(frames)
    piece = pairs.cut(np.arange(FRAMES)[None])[0]
    before, after = piece[0], FRAMES - 1 - piece[-1]
    assert len(piece) == frames and before <= after <= before + 1


def test_every_place_is_reached(pairs):
    pairs.crop_to(30)
    starts = {int(pairs.cut(np.arange(FRAMES)[None], draw)[0, 0]) for draw in range(100)}
    assert starts == set(range(9))


def test_the_stream_cuts_input_and_target_alike(pairs):
    whole = {i: (np.array(pairs.input(i), np.float32), np.array(pairs.target(i), np.float32)) for i in range(4)}
    pairs.crop_to(12)
    stream = SampleStream(pairs, seed=3)
    for index in range(20):
        source, target = stream[index]
        number = stream.pair_of(index)[0]
        places = [t for t in range(FRAMES - 11) if np.array_equal(source, whole[number][0][:, t : t + 12])]
        assert any(np.array_equal(target, whole[number][1][:, t : t + 12]) for t in places)


def test_a_crop_travels_to_other_processes(pairs):
    pairs.crop_to(9)
    assert pickle.loads(pickle.dumps(pairs)).shape == (128, 9)


def test_the_splits_are_cut_on_their_own(splits):
    train, val = splits
    train.crop_to(9)
    assert val.shape == (128, FRAMES)


def test_latents_have_no_labels(pairs):
    assert all(pairs.labels(i) == {} for i in range(len(pairs)))
