"""Updates the latent cache of a dataset: finds clips without latents, encodes them, computes statistics.

B clips of a batch, R clips (rows) of a shard, D latent channels, T frames, N audio samples.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from errors import UserError
from kinds.audio import latent_index
from kinds.audio.errors import AudioError
from kinds.audio.files import read_audio
from kinds.audio.latent_index import Index
from kinds.audio.pairs import Manifest, check_clip, check_counts, list_pairs
from registry import Options
from runtime.arrays import load_array
from runtime.files import file_digest, locked

if TYPE_CHECKING:
    from audio_codecs.base import Codec

LATENTS = "NOISE2MUSIC_LATENTS"  # environment variable: a folder for the latents of a dataset that is read-only
SHARD_BYTES = 32 << 20
BATCH_SECONDS = {"cpu": 64.0, "mps": 64.0, "cuda": 256.0}
SILENT_PEAK = 1e-4  # -80 dBFS: about three steps of 16-bit audio
STD_FLOOR = 1e-5
_READERS = 4

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CacheTask:
    """Description of a cache: where the pairs are, where the latents go, and the codec."""

    train_dir: Path
    val_dir: Path
    cache_dir: Path
    codec_name: str
    codec_identity: str
    codec_weights: str | None
    sample_rate: int
    manifest: Manifest | None
    codec_options: Options | None = None

    def path(self, key: str) -> Path:
        """Path of a file that an index calls "split/name"."""
        split, name = key.split("/", 1)
        return (self.train_dir if split == "train" else self.val_dir) / name


def bring_up_to_date(task: CacheTask, progress: Progress | None = None) -> Index:
    """Encode what is new or changed, drop what is no longer there, and return the index, which is also on disk.

    If nothing has changed, only the size and time of every file are checked. `progress(done, total)` counts clips to
    be encoded. Raises UserError for pairs that cannot be used and for a folder that cannot be written.
    """
    old = latent_index.read_index(task.cache_dir)
    index = _survey(task, old)
    if old is not None and _is_current(task, old, index):
        return old
    if old is not None and not os.access(task.cache_dir, os.W_OK) and _is_complete(task, index):
        return index  # a valid cache on a read-only disk; only the times of its files differ
    try:
        task.cache_dir.mkdir(parents=True, exist_ok=True)
        with locked(task.cache_dir / ".lock", wait=True):
            _adopt_shards(task, index)
            _encode_missing(task, index, progress)
            _drop_unused(task, index)
            _take_statistics(task, index)
            latent_index.write_index(task.cache_dir, index)
    except OSError as error:
        raise UserError(
            f"The latents cannot be written to {task.cache_dir} ({error.strerror or error}); make that folder "
            f"writable, free some space there, or name another one in the environment variable {LATENTS}."
        ) from None
    return index


def _survey(task: CacheTask, old: Index | None) -> Index:
    """Check every clip on disk -> an index without shards; unchanged files are neither opened nor hashed."""
    pairs = {"train": list_pairs(task.train_dir), "val": list_pairs(task.val_dir)}
    check_counts(len(pairs["train"]), len(pairs["val"]), task.train_dir, task.val_dir)
    expected = task.manifest.clip_samples if task.manifest else None
    samples = check_clip(pairs["train"][0].input, task.sample_rate, expected)
    known = old.files if old is not None and old.samples == samples else {}
    keys = [f"{split}/{path.name}" for split in pairs for pair in pairs[split] for path in (pair.input, pair.target)]
    files = {key: _unchanged(task, key, known.get(key)) for key in keys}
    changed = [key for key, entry in files.items() if entry is None]
    with ThreadPoolExecutor(_READERS) as threads:
        files |= zip(changed, threads.map(lambda key: _look_at(task, key, samples), changed), strict=True)
    index = Index(task.codec_name, task.codec_identity, task.sample_rate, samples, files=files)
    for split, items in pairs.items():
        index.pairs[split] = [
            (pair.name, files[f"{split}/{pair.input.name}"][2], files[f"{split}/{pair.target.name}"][2])
            for pair in items
        ]
    return index


def _unchanged(task: CacheTask, key: str, known: tuple[int, int, str] | None) -> tuple[int, int, str] | None:
    """The stored entry of a file, if its size and time are unchanged."""
    if known is None:
        return None
    try:
        status = os.stat(task.path(key))
    except OSError:
        return None
    return tuple(known) if (known[0], known[1]) == (status.st_size, status.st_mtime_ns) else None


def _look_at(task: CacheTask, key: str, samples: int) -> tuple[int, int, str]:
    """Check a clip by its header and digest its contents -> (size, mtime_ns, digest)."""
    path = task.path(key)
    check_clip(path, task.sample_rate, samples)
    try:
        status = path.stat()
        return status.st_size, status.st_mtime_ns, file_digest(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from None


def _is_current(task: CacheTask, old: Index, index: Index) -> bool:
    """Whether the old index and its shards are valid for the current files."""
    same_files = {key: tuple(entry) for key, entry in old.files.items()} == index.files
    same_codec = old.codec_identity == task.codec_identity
    times = {name: shard.mtime_ns for name, shard in old.shards.items()}
    whole = all(shard.unchanged(task.cache_dir / name) for name, shard in old.shards.items())
    return same_files and same_codec and whole and times == {n: s.mtime_ns for n, s in old.shards.items()}


def _is_complete(task: CacheTask, index: Index) -> bool:
    """Adopt the shards on disk; returns whether they hold all clips of the dataset."""
    _adopt_shards(task, index)
    return (
        bool(index.mean)
        and set(index.wanted()) <= index.located().keys()
        and index.statistics_of == _statistics_key(index)
    )


def _adopt_shards(task: CacheTask, index: Index) -> None:
    """Adopt every intact shard in the cache folder."""
    old = latent_index.read_index(task.cache_dir)
    shards = old.shards if old is not None and old.codec_identity == task.codec_identity else {}
    index.shards = {name: shard for name, shard in shards.items() if shard.unchanged(task.cache_dir / name)}
    index.shards |= latent_index.recover_shards(task.cache_dir, set(index.shards))
    if old is not None:
        index.frames, index.mean, index.std, index.statistics_of = old.frames, old.mean, old.std, old.statistics_of
    if index.statistics_of != _statistics_key(index):  # they are taken from all shards, which a disk may have altered
        index.shards = {name: shard for name, shard in index.shards.items() if shard.intact(task.cache_dir / name)}


def _encode_missing(task: CacheTask, index: Index, progress: Progress | None) -> None:
    located = index.located()
    missing = [digest for digest in index.wanted() if digest not in located]
    if not missing:
        return
    codec, device = _open_codec(task)
    index.frames = -(-index.samples // codec.hop)
    paths = {digest: task.path(key) for key, (_, _, digest) in reversed(index.files.items())}
    rows = max(1, SHARD_BYTES // (2 * codec.channels * index.frames))
    at_once = max(1, int(BATCH_SECONDS[device] * task.sample_rate / index.samples))
    done = 0
    with ThreadPoolExecutor(_READERS) as readers:
        for start in range(0, len(missing), rows):
            digests = missing[start : start + rows]
            wavs = readers.map(lambda digest: _read_clip(paths[digest], index), digests)
            parts, error = [], 0.0
            for latents_BDT in _encoded(codec, device, wavs, at_once):
                half_BDT = latents_BDT.astype(np.float16)
                error = max(error, float(np.abs(latents_BDT - half_BDT.astype(np.float32)).max()))
                parts.append(half_BDT)
                done += len(half_BDT)
                if progress:
                    progress(done, len(missing))
            if not np.isfinite(error):
                raise UserError(f"The codec {task.codec_name} gave non-finite latents; are its weights damaged?")
            name, shard = latent_index.write_shard(
                task.cache_dir, np.ascontiguousarray(np.concatenate(parts)), digests, error
            )
            index.shards[name] = shard


def _open_codec(task: CacheTask) -> "tuple[Codec, str]":
    from audio_codecs import open_codec
    from runtime import devices

    device = devices.choose().type
    return open_codec(task.codec_name, task.codec_weights, device, task.codec_options), device


def _read_clip(path: Path, index: Index) -> np.ndarray:
    """A clip -> float32 [N]. Raises UserError if it is broken, silent or shorter than its header says."""
    remedy = "make the dataset again with prepare_dataset.py, or remove the pair"
    try:
        wav = read_audio(path, index.sample_rate)
    except AudioError as error:
        raise UserError(f"{path} cannot be used: {error.reason}; {remedy}.") from None
    if len(wav) != index.samples:
        raise UserError(f"{path} cannot be used: its length is not what its header says; {remedy}.")
    if np.abs(wav - wav.mean()).max() < SILENT_PEAK:
        raise UserError(f"{path} cannot be used: silent; {remedy}.")
    return wav


def _encoded(codec: "Codec", device: str, wavs: Iterator[np.ndarray], at_once: int) -> Iterator[np.ndarray]:
    """Encode clips [N], `at_once` of them, divided among a CPU's cores -> float32 [B, D, T] each."""
    from data.parallel import map_batches, parallel_batches

    batch = -(-at_once // parallel_batches(device))
    while group := list(islice(wavs, at_once)):
        yield map_batches(lambda wav_BN: codec.encode(wav_BN[:, None]).float(), np.stack(group), batch, device)


def _drop_unused(task: CacheTask, index: Index) -> None:
    """Remove shards without any clip of the dataset, and other files that are named like shards."""
    wanted = set(index.wanted())
    index.shards = {n: s for n, s in sorted(index.shards.items()) if not wanted.isdisjoint(d for d, _ in s.clips)}
    for name in latent_index.shard_files(task.cache_dir):
        if name not in index.shards:
            latent_index.remove_shard(task.cache_dir, name)
    index.max_abs_error = max(shard.max_abs_error for shard in index.shards.values())


def _train_digests(index: Index) -> list[str]:
    return sorted({digest for _, *pair in index.pairs["train"] for digest in pair})


def _statistics_key(index: Index) -> str:
    return hashlib.sha256("".join([index.codec_identity, *_train_digests(index)]).encode()).hexdigest()[:32]


def _take_statistics(task: CacheTask, index: Index) -> None:
    """Mean and standard deviation per channel of the distinct training clips as stored (float16), in float64.

    Merges clip by clip: Chan, Golub & LeVeque (1983), eq. 2.1. Kept while the set of training clips is the same.
    """
    key = _statistics_key(index)
    if key == index.statistics_of and index.mean:
        return
    by_shard: dict[str, list[int]] = {}
    located = index.located()
    for digest in _train_digests(index):
        name, row, _ = located[digest]
        by_shard.setdefault(name, []).append(row)
    count, mean_D, squares_D = 0, 0.0, 0.0
    for name, rows in sorted(by_shard.items()):
        latents_RDT = load_array(task.cache_dir / name, mapped=True)
        index.frames = latents_RDT.shape[2]  # where the index was lost, nothing else says it
        for row in sorted(rows):
            clip_DT = latents_RDT[row].astype(np.float64)
            frames = clip_DT.shape[1]
            clip_mean_D = clip_DT.mean(axis=1)
            delta_D, total = clip_mean_D - mean_D, count + frames
            squares_D = squares_D + clip_DT.var(axis=1) * frames + delta_D**2 * (count * frames / total)
            mean_D, count = mean_D + delta_D * (frames / total), total
    std_D = np.maximum(np.sqrt(squares_D / count), STD_FLOOR)
    index.mean, index.std, index.statistics_of = mean_D.tolist(), std_D.tolist(), key
