"""The latent cache: what is encoded, when it is made again, and what a broken one does."""

import os
import pickle
import shutil
import time

import numpy as np
import pytest
import soundfile
import torch
from data_clips import RATE, SAMPLES, chirp, make_hand_made

from audio_codecs import open_codec
from data.pairs import ReadError
from errors import UserError
from kinds.audio import encode
from kinds.audio.files import read_audio, write_wav
from kinds.audio.latent_index import read_index
from kinds.audio.latent_pairs import open_pairs
from kinds.audio.pairs import Manifest, write_manifest


@pytest.fixture
def encoded(monkeypatch):
    """Counts the clips that are encoded."""
    counts = []
    original = encode._encoded

    def counted(*args):
        for latents_BDT in original(*args):
            counts.append(len(latents_BDT))
            yield latents_BDT

    monkeypatch.setattr(encode, "_encoded", counted)
    return counts


def cache_of(folder):
    return next((folder / "latents").iterdir())


def shards_of(folder):
    return sorted(cache_of(folder).glob("shard_*.npy"))


def all_latents(pairs):
    return [np.array(read(i)) for i in range(len(pairs)) for read in (pairs.input, pairs.target)]


def test_latents_are_the_codecs(hand_made):
    train, val = open_pairs(hand_made)
    assert (len(train), len(val), train.frames, train.channels) == (4, 1, 38, 128)
    assert train.names == [f"pair_{i:04d}" for i in range(4)] and val.names == ["pair_0000"]
    assert (train.codec_name, train.sample_rate) == ("mel", RATE)
    codec = open_codec("mel")
    for pairs, split in ((train, "train"), (val, "val")):
        for i, name in enumerate(pairs.names):
            for read, role in ((pairs.input, "input"), (pairs.target, "target")):
                wav = torch.from_numpy(read_audio(hand_made / split / f"{name}_{role}.wav"))
                expected = codec.encode(wav[None, None])[0].numpy()
                latents = read(i)
                assert latents.dtype == np.float16 and not latents.flags.writeable
                np.testing.assert_allclose(latents, expected, atol=train.max_abs_error + 1e-4)
    assert 0 < train.max_abs_error <= 2.0**-8  # half a step of float16 at 8..16


def test_every_distinct_clip_is_encoded_once(hand_made, encoded):
    train, _ = open_pairs(hand_made)
    assert sum(encoded) == 5 + 2
    np.testing.assert_array_equal(train.target(0), train.input(1))
    open_pairs(hand_made)
    assert sum(encoded) == 7


def test_statistics_are_numpys(hand_made):
    train, val = open_pairs(hand_made)
    clips = np.stack([*(train.input(i) for i in range(4)), train.target(3)]).astype(np.float64)
    np.testing.assert_allclose(train.mean, clips.mean(axis=(0, 2)), rtol=1e-6)
    np.testing.assert_allclose(train.std, np.maximum(clips.std(axis=(0, 2)), encode.STD_FLOOR), rtol=1e-6)
    np.testing.assert_array_equal(val.mean, train.mean)


def test_a_changed_wav_is_encoded_anew_and_nothing_else(hand_made, encoded):
    before = open_pairs(hand_made)[0]
    first, last = np.array(before.input(0)), np.array(before.target(3))
    write_wav(hand_made / "train/pair_0000_input.wav", chirp(50))
    encoded.clear()
    after = open_pairs(hand_made)[0]
    assert sum(encoded) == 1
    assert np.abs(after.input(0) - first).max() > 1 and not np.array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.target(3), last)


def test_a_touched_wav_is_not(hand_made, encoded):
    open_pairs(hand_made)
    os.utime(hand_made / "train/pair_0000_input.wav", (1, 1))
    encoded.clear()
    open_pairs(hand_made)
    assert encoded == []


def test_unchanged_files_are_not_opened(hand_made, monkeypatch):
    open_pairs(hand_made)
    monkeypatch.setattr(encode, "file_digest", lambda path: pytest.fail(f"{path} was hashed"))
    monkeypatch.setattr(encode, "read_audio", lambda *_: pytest.fail("a clip was read"))
    open_pairs(hand_made)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def damage(kind, folder):
    shard = shards_of(folder)[0]
    index = cache_of(folder) / "index.json"
    if kind == "byte flipped in a shard":
        flip_a_byte(shard)
    elif kind == "shard cut short":
        shard.write_bytes(shard.read_bytes()[:-100])
    elif kind == "shard removed":
        shard.unlink()
    elif kind == "byte flipped in the index":
        flip_a_byte(index)
    elif kind == "index cut short":
        index.write_bytes(index.read_bytes()[:-100])
    elif kind == "index replaced":
        index.write_text('{"sha256": "", "index": {"format": 1}}')
    elif kind == "everything removed":
        shutil.rmtree(folder / "latents")


@pytest.mark.parametrize(
    "kind, again",
    [
        ("byte flipped in a shard", 7),
        ("shard cut short", 7),
        ("shard removed", 7),
        ("byte flipped in the index", 0),
        ("index cut short", 0),
        ("index replaced", 0),
        ("everything removed", 7),
    ],
)
def test_a_damaged_cache_is_mended(hand_made, encoded, kind, again):
    before = [all_latents(pairs) for pairs in open_pairs(hand_made)]
    files = {path.name: path.read_bytes() for path in cache_of(hand_made).glob("shard*.npy")}
    encoded.clear()
    damage(kind, hand_made)
    after = [all_latents(pairs) for pairs in open_pairs(hand_made)]
    assert sum(encoded) == again
    np.testing.assert_array_equal(np.concatenate(after), np.concatenate(before))
    assert {path.name: path.read_bytes() for path in cache_of(hand_made).glob("shard*.npy")} == files


def test_an_interrupted_build_goes_on(hand_made, encoded, monkeypatch):
    monkeypatch.setattr(encode, "SHARD_BYTES", 2 * 2 * 128 * 38)  # two clips to a shard
    whole = make_hand_made(hand_made.parent / "whole")
    open_pairs(whole)
    encoded.clear()

    def stop(done, total):
        if done > 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_pairs(hand_made, progress=stop)
    assert len(shards_of(hand_made)) == 2 and not (cache_of(hand_made) / "index.json").exists()
    encoded.clear()
    open_pairs(hand_made)
    assert sum(encoded) == 3
    assert [p.name for p in shards_of(hand_made)] == [p.name for p in shards_of(whole)]


def test_what_is_no_longer_wanted_is_removed(hand_made, monkeypatch):
    monkeypatch.setattr(encode, "SHARD_BYTES", 2 * 128 * 38)  # one clip to a shard
    open_pairs(hand_made)
    assert len(shards_of(hand_made)) == 7
    for role in ("input", "target"):
        (hand_made / f"train/pair_0003_{role}.wav").unlink()
    (cache_of(hand_made) / "shard_0123456789abcdef.npy").write_bytes(b"stray")
    train, _ = open_pairs(hand_made)
    assert len(train) == 3 and len(shards_of(hand_made)) == 6
    assert set(read_index(cache_of(hand_made)).shards) == {path.name for path in shards_of(hand_made)}


def test_latents_that_vanish_or_change_in_use_are_named(hand_made):
    for change in (lambda p: p.unlink(), flip_a_byte, lambda p: os.truncate(p, 5000)):
        train, _ = open_pairs(hand_made)
        change(shards_of(hand_made)[0])
        with pytest.raises(ReadError, match="train/pair_000._(input|target)"):
            all_latents(train)


def test_latents_that_change_behind_a_checked_read_are_named(hand_made):
    train, _ = open_pairs(hand_made)
    all_latents(train)
    flip_a_byte(shards_of(hand_made)[0])
    with pytest.raises(ReadError, match="its checksum is wrong"):
        all_latents(train)


def test_latents_that_a_disk_alters_are_made_again_by_the_next_start(hand_made, encoded):
    """Bits that change without any write leave size and time as they were."""
    train, _ = open_pairs(hand_made)
    right, (shard, *_) = all_latents(train), shards_of(hand_made)
    before = shard.stat()
    flip_a_byte(shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    encoded.clear()
    train, _ = open_pairs(hand_made)
    assert encoded == []  # it cannot be known yet
    with pytest.raises(ReadError, match="its checksum is wrong"):
        all_latents(train)
    train, _ = open_pairs(hand_made)
    assert sum(encoded) == 7
    np.testing.assert_array_equal(all_latents(train), right)


def test_a_shard_cut_short_after_it_was_mapped_does_not_kill(hand_made):
    train, _ = open_pairs(hand_made)
    train.input(0)
    os.truncate(shards_of(hand_made)[0], 200)
    with pytest.raises(ReadError, match="train/pair_0003_target"):
        train.target(3)


def test_pairs_travel_to_other_processes(hand_made):
    train, _ = open_pairs(hand_made)
    train.input(0)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(train)).input(0), train.input(0))


def test_ranks_that_do_not_build_only_read(hand_made, encoded):
    with pytest.raises(UserError, match="no latents"):
        open_pairs(hand_made, build=False)
    train, _ = open_pairs(hand_made)
    encoded.clear()
    other, _ = open_pairs(hand_made, build=False)
    np.testing.assert_array_equal(other.input(2), train.input(2))
    assert encoded == []


def test_folders_elsewhere_and_a_cache_elsewhere(hand_made, tmp_path):
    (hand_made / "val").rename(tmp_path / "held_out")
    train, val = open_pairs("unused", train_dir=hand_made / "train", val_dir=tmp_path / "held_out")
    assert (len(train), len(val)) == (4, 1) and (hand_made / "latents").is_dir()
    shutil.rmtree(hand_made / "latents")
    open_pairs("unused", train_dir=hand_made / "train", val_dir=tmp_path / "held_out", cache_dir=tmp_path / "cache")
    assert not (hand_made / "latents").exists() and list((tmp_path / "cache").rglob("shard_*.npy"))


def test_naming_the_usual_folders_is_naming_the_dataset(hand_made, encoded):
    open_pairs(hand_made)
    encoded.clear()
    open_pairs(hand_made, train_dir=hand_made / "train", val_dir=hand_made / "val")
    assert encoded == [] and len(list((hand_made / "latents").iterdir())) == 1


def test_the_recorded_codec_is_followed_unless_another_is_given(hand_made):
    """Each codec has latents of its own, so that one dataset serves to compare them."""
    write_manifest(hand_made, Manifest(duration=0.5, codec="mel_slaney"))
    assert open_pairs(hand_made)[0].codec_name == "mel_slaney"
    assert open_pairs(hand_made, codec="mel")[0].codec_name == "mel"
    assert len(list((hand_made / "latents").iterdir())) == 2
    write_manifest(hand_made, Manifest(duration=0.5, codec="mel_fine"))  # its name in an earlier version
    assert open_pairs(hand_made)[0].codec_name == "mel"


def test_the_manifest_must_fit_the_clips(hand_made):
    write_manifest(hand_made, Manifest(duration=1.0, codec="mel"))
    with pytest.raises(UserError, match="0.500 s long where the others are 1.000 s"):
        open_pairs(hand_made)
    write_manifest(hand_made, Manifest(duration=0.5, sample_rate=44_100, codec="mel"))
    with pytest.raises(UserError, match="44100 Hz, but the codec mel takes 24000"):
        open_pairs(hand_made)


def write(samples, rate=RATE, subtype="PCM_16"):
    return lambda path: soundfile.write(path, samples, rate, subtype)


BROKEN = {
    "not audio": lambda path: path.write_text("hello"),
    "empty": lambda path: path.write_bytes(b""),
    "NaN": write(np.full(SAMPLES, np.nan), subtype="FLOAT"),
    "8 bits": write(chirp(9), subtype="PCM_U8"),
    "silent": write(np.zeros(SAMPLES)),
    "one length": write(chirp(9)[:-5]),
    "sample rate of 22050": write(chirp(9), rate=22_050),
    "has no pair_0001_target.wav": lambda path: path.with_name("pair_0001_target.wav").unlink(),
}


@pytest.mark.parametrize("complaint", BROKEN)
@pytest.mark.parametrize("warm", [False, True])
def test_a_clip_that_cannot_be_used_is_named(hand_made, complaint, warm):
    if warm:
        open_pairs(hand_made)
    BROKEN[complaint](hand_made / "train/pair_0001_input.wav")
    with pytest.raises(UserError, match=rf"pair_0001_input\.wav.*{complaint}.*prepare_dataset.py") as caught:
        open_pairs(hand_made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "train, val, complaint",
    [(0, 1, "train holds no pairs"), (1, 1, "train holds 1 pair, .* at least 2"), (4, 0, "val holds no pairs")],
)
def test_too_few_pairs(tmp_path, train, val, complaint):
    make_hand_made(tmp_path / "dataset", train, val)
    with pytest.raises(UserError, match=complaint):
        open_pairs(tmp_path / "dataset")


def test_missing_and_unfinished_datasets(hand_made, tmp_path):
    with pytest.raises(UserError, match="no dataset folder"):
        open_pairs(tmp_path / "nowhere")
    (hand_made / ".prepare").mkdir()
    with pytest.raises(UserError, match="not finished"):
        open_pairs(hand_made)
    shutil.rmtree(hand_made / "val")
    (hand_made / ".prepare").rmdir()
    with pytest.raises(UserError, match="val does not exist"):
        open_pairs(hand_made)


def test_a_cache_that_cannot_be_written_is_one_sentence(hand_made):
    (hand_made / "latents").write_text("a file in the way")
    with pytest.raises(UserError, match="latents cannot be written to"):
        open_pairs(hand_made)


def test_reading_a_row_costs_next_to_nothing(hand_made):
    train, _ = open_pairs(hand_made)
    train.input(0)
    start = time.perf_counter()
    for _ in range(1000):
        train.input(0)
    assert time.perf_counter() - start < 0.5
