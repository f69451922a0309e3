"""Latents whose file is damaged in other places than the values of a row, or all over."""

import os
import random

import numpy as np
import pytest

from data.pairs import ReadError
from kinds.audio.latent_pairs import open_pairs
from runtime.arrays import load_array

HEADER = 128  # bytes


def the_shard(folder):
    (shard,) = folder.glob("latents/*/shard_*.npy")
    return shard


def all_latents(pairs):
    return [np.array(read(i)) for i in range(len(pairs)) for read in (pairs.input, pairs.target)]


def by_the_disk(path, content):
    """As a disk alters a file: its time stays."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_damaged_header_is_a_value_error(tmp_path):
    path, chance = tmp_path / "array.npy", random.Random(1)
    np.save(path, np.zeros((2, 3), np.float16))
    right = path.read_bytes()
    broken = [right[:k] for k in range(0, len(right), 7)]
    broken += [right[:10] + chance.randbytes(HEADER - 10) + right[HEADER:] for _ in range(30)]
    broken += [right[:k] + bytes([right[k] ^ 1 << bit]) + right[k + 1 :] for k in range(8) for bit in range(8)]
    broken += [right[:10] + text.ljust(HEADER - 10).encode() + right[HEADER:] for text in ("{'descr': (", "{]", ",")]
    for content in broken:
        path.write_bytes(content)
        for mapped in (False, True):
            with pytest.raises(ValueError):
                load_array(path, mapped)
    with pytest.raises(OSError):
        load_array(tmp_path / "none.npy")


@pytest.mark.parametrize(
    "before, after",
    [(b"'<f2'", b"'>f2'"), (b"'<f2'", b"'<i2'"), (b"'fortran_order': False", b"'fortran_order':  True"),
     (b"(", b"{"), (b"7,", b"5,")],
    ids=["bytes swapped", "integers", "columns first", "nonsense", "another shape"],
)  # fmt: skip
def test_a_header_that_the_disk_altered_is_never_used_and_made_again(hand_made, before, after):
    """The checksums of the rows do not cover it, and with the first two they are right."""
    train, _ = open_pairs(hand_made)
    right, shard = all_latents(train), the_shard(hand_made)
    content = shard.read_bytes()
    assert content[:HEADER].count(before) >= 1
    by_the_disk(shard, content.replace(before, after, 1))
    train, _ = open_pairs(hand_made)
    with pytest.raises(ReadError, match="train/pair_0000_input"):
        train.input(0)
    train, _ = open_pairs(hand_made)
    np.testing.assert_array_equal(all_latents(train), right)


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("content", [b"", bytes(5000), random.Random(2).randbytes(200_000)])
def test_a_shard_overwritten_in_use_is_named_and_made_again(hand_made, content, read_before):
    right = all_latents(open_pairs(hand_made)[0])
    train, _ = open_pairs(hand_made)
    if read_before:
        all_latents(train)
    the_shard(hand_made).write_bytes(content)
    with pytest.raises(ReadError, match="train/pair_0000_input"):
        train.input(0)
    np.testing.assert_array_equal(all_latents(open_pairs(hand_made)[0]), right)


@pytest.mark.parametrize("content", [b"", b'{"sha256": "", "index": {"format": 1}}'])
def test_a_lost_index_is_made_again_whole(hand_made, content):
    before, _ = open_pairs(hand_made)
    (index,) = hand_made.glob("latents/*/index.json")
    index.write_bytes(content)
    after, val = open_pairs(hand_made)
    assert after.frames == val.frames == before.frames == before.input(0).shape[1] > 0
    assert after.crop_frames == before.crop_frames
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(all_latents(after), all_latents(before))


def test_statistics_are_not_taken_from_what_the_disk_altered(hand_made):
    """Another set of clips has other statistics, for which all shards are read."""
    open_pairs(hand_made)
    for path in hand_made.glob("train/pair_0000_*.wav"):
        path.unlink()
    content = bytearray(the_shard(hand_made).read_bytes())
    content[-1] ^= 0x40  # of the last row
    by_the_disk(the_shard(hand_made), content)
    fewer, _ = open_pairs(hand_made)
    clips = np.unique(np.stack(all_latents(fewer)), axis=0).astype(np.float64)
    np.testing.assert_allclose(fewer.mean, clips.mean(axis=(0, 2)), rtol=1e-6)
