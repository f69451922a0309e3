"""Pairs of latents for training, read from memory maps.

The cache is beside the folder of training pairs, in `latents/<codec identity>/`, and is made by `kinds.audio.encode`.
D latent channels, T frames (75 a second).
"""

import contextlib
import hashlib
import os
import zlib
from collections import OrderedDict
from pathlib import Path
from time import monotonic_ns

import numpy as np

from data.pairs import ReadError
from earlier_versions import RENAMED_CODECS
from errors import UserError
from kinds.audio.encode import CacheTask, Progress, bring_up_to_date
from kinds.audio.labels import PairLabels, read_labels
from kinds.audio.latent_index import Index, read_index
from kinds.audio.pairs import UNFINISHED_NAME, read_manifest
from registry import Options
from runtime.arrays import load_array
from runtime.memory import is_out_of_memory
from synthesis.labels import Vocabulary

DEFAULT_CODEC = "mel"  # of datasets made by hand, which specify no codec
_MAX_OPEN_SHARDS = 256
SAME_NS = 50_000  # from one clip of a pair to the other


def open_pairs(
    dataset_folder: str | Path,
    train_dir: str | Path | None = None,
    val_dir: str | Path | None = None,
    codec: str | None = None,
    codec_weights: str | Path | None = None,
    build: bool = True,
    progress: Progress | None = None,
    cache_dir: str | Path | None = None,
    codec_options: Options | None = None,
) -> "tuple[LatentPairs, LatentPairs]":
    """Open a dataset -> (training pairs, validation pairs), encoding first what is new or changed.

    Args:
        dataset_folder: holds `train/`, `val/` and, unless made by hand, `dataset.yaml`.
        train_dir, val_dir: other folders of pairs. `dataset.yaml` and the latents are then expected beside `train_dir`.
        codec: its name; as recorded in `dataset.yaml` if None, and "mel" where nothing is recorded.
        codec_weights: see `audio_codecs.open_codec`.
        build: False reads only, after another process has built the cache: nothing is checked, hashed or encoded.
        progress: called as progress(clips encoded, clips to encode).
        cache_dir: another folder for the latents, for read-only datasets.
        codec_options: the codec's own; None: their defaults.

    Raises UserError, one sentence, for anything in the dataset that training could not use.

    >>> train, val = open_pairs("dataset_pairs_wav")
    >>> train.input(0).shape
    (128, 300)
    """
    task = _cache_task(dataset_folder, train_dir, val_dir, codec, codec_weights, cache_dir, codec_options)
    if build:
        index = bring_up_to_date(task, progress)
    else:
        index = read_index(task.cache_dir)
        if index is None or index.codec_identity != task.codec_identity:
            raise UserError(
                f"There are no latents of {task.train_dir} in {task.cache_dir}; let the first rank build them."
            )
    shards = _Shards(task.cache_dir, (len(index.mean), index.frames))
    names = {split: [name for name, _, _ in pairs] for split, pairs in index.pairs.items()}
    labels = read_labels({"train": task.train_dir, "val": task.val_dir}, names)
    return LatentPairs("train", index, shards, labels["train"]), LatentPairs("val", index, shards, labels["val"])


def _cache_task(
    dataset_folder: str | Path,
    train_dir: str | Path | None,
    val_dir: str | Path | None,
    codec: str | None,
    codec_weights: str | Path | None,
    cache_dir: str | Path | None,
    codec_options: Options | None,
) -> CacheTask:
    """Resolve folders and codec, and check the dataset's description against them."""
    train = Path(train_dir) if train_dir else Path(dataset_folder) / "train"
    val = Path(val_dir) if val_dir else (Path(dataset_folder) / "val")
    root = train.absolute().parent
    if not (train_dir or Path(dataset_folder).is_dir()):
        raise UserError(f"There is no dataset folder {dataset_folder}; make one with prepare_dataset.py.")
    manifest = read_manifest(root)
    if manifest is None and (root / UNFINISHED_NAME).exists():
        raise UserError(f"The dataset {root} is not finished; run the same prepare_dataset.py command again.")
    from audio_codecs import codec_class, codec_identity

    recorded = manifest.codec if manifest else DEFAULT_CODEC
    name = codec or RENAMED_CODECS.get(recorded, recorded)
    weights = str(codec_weights) if codec_weights else None
    identity = codec_identity(name, weights, codec_options)
    rate = codec_class(name).sample_rate
    if manifest and manifest.sample_rate != rate:
        raise UserError(
            f"The dataset {root} has a sample rate of {manifest.sample_rate} Hz, but the codec {name} takes {rate}; "
            f"prepare it again with prepare_dataset.py --sample_rate {rate}."
        )
    place = _cache_place(root, train, val, Path(cache_dir) if cache_dir else None, identity)
    return CacheTask(train, val, place, name, identity, weights, rate, manifest, codec_options)


def _cache_place(root: Path, train: Path, val: Path, cache_dir: Path | None, identity: str) -> Path:
    """`<root>/latents/<identity>` for `train` and `val` in one folder; other combinations get a suffix of their own."""
    where = [os.path.relpath(folder, root) for folder in (train, val)]
    base = root / "latents"
    if cache_dir is not None:
        base, where = cache_dir, [str(folder.resolve()) for folder in (train, val)]
    if where == ["train", "val"]:
        return base / identity
    return base / f"{identity}-{hashlib.sha256(os.fsencode('|'.join(where))).hexdigest()[:8]}"


class LatentPairs:
    """The pairs of one split. Opening reads the index only; latents are mapped at first use.

    Attributes:
        names: name of every pair, as in its files.
        frames, channels: T and D of a whole clip, equal for all clips.
        crop_frames: of a sample.
        mean, std: float32 [D], of the distinct TRAINING clips, whichever split this is; std is at least 1e-5.
        codec_name, codec_identity, sample_rate: what the latents are.
        max_abs_error: the largest rounding error of the float16 latents on disk.
    """

    def __init__(self, split: str, index: Index, shards: "_Shards", labels: PairLabels):
        self.split, self._shards, self._labels = split, shards, labels
        self.names = [name for name, _, _ in index.pairs[split]]
        self.frames, self.channels = index.frames, len(index.mean)
        self.crop_frames = self.frames
        self.mean, self.std = (np.array(values, dtype=np.float32) for values in (index.mean, index.std))
        self.codec_name, self.codec_identity = index.codec_name, index.codec_identity
        self.sample_rate, self.max_abs_error = index.sample_rate, index.max_abs_error
        located = index.located()
        self._shard_names = list(index.shards)
        number = {name: i for i, name in enumerate(self._shard_names)}
        self._places = np.array(
            [
                [(number[shard], row, crc) for shard, row, crc in (located[a], located[b])]
                for _, a, b in index.pairs[split]
            ],
            dtype=np.int64,
        )  # [pairs, input or target, (shard, row, crc)]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int]:
        """(D, T) of a sample."""
        return self.channels, self.crop_frames

    def crop_to(self, frames: int) -> None:
        """Sets the length of a sample in frames; 0: whole clips."""
        self.crop_frames = min(frames or self.frames, self.frames)

    def cut(self, whole_DT: np.ndarray, draw: int | None = None) -> np.ndarray:
        """See `data.pairs.Pairs`."""
        spare = self.frames - self.crop_frames
        start = spare // 2 if draw is None else draw % (spare + 1)
        return whole_DT[:, start : start + self.crop_frames]

    def labels(self, i: int) -> dict[str, float]:
        """Labels of pair i by name, as `vocabulary` describes them: an index or a number, NaN where missing."""
        return self._labels.of(i)

    @property
    def vocabulary(self) -> Vocabulary:
        """What the labels mean, taken from the training pairs; see `synthesis.labels`. Empty without labels."""
        return self._labels.vocabulary

    @property
    def labels_digest(self) -> str:
        """Equal for equal labels of equal meaning; "" without labels."""
        return self._labels.digest

    def use_vocabulary(self, vocabulary: Vocabulary) -> None:
        """Express the labels in another vocabulary, such as that of a checkpoint; what it does not know is NaN."""
        self._labels.use(vocabulary)

    def input(self, i: int) -> np.ndarray:
        """Latents of the input clip of pair i: float16 [D, T], a read-only memory map. Raises ReadError."""
        return self._clip(i, 0)

    def target(self, i: int) -> np.ndarray:
        """Latents of the target clip of pair i: float16 [D, T], a read-only memory map. Raises ReadError."""
        return self._clip(i, 1)

    def _clip(self, i: int, role: int) -> np.ndarray:
        shard, row, crc = self._places[i, role].tolist()
        try:
            return self._shards.row(self._shard_names[shard], row, crc)
        except (OSError, ValueError, IndexError) as error:
            if is_out_of_memory(error):
                raise
            clip = f"{self.split}/{self.names[i]}_{('input', 'target')[role]}"
            path = self._shards.folder / self._shard_names[shard]
            raise ReadError(
                f"The latents of {clip} cannot be read from {path} ({error}); the next start encodes them again.",
                clip,
            ) from None


class _Shard:
    """A shard's memory map, with its path as a string and its expected size, which every read needs."""

    def __init__(self, path: Path, clip_shape: tuple[int, int]):
        mapped_RDT = load_array(path, mapped=True)
        self.path, self.size = str(path), mapped_RDT.offset + mapped_RDT.nbytes
        is_rows = mapped_RDT.shape[1:] == clip_shape and mapped_RDT.flags.c_contiguous
        if mapped_RDT.dtype != np.float16 or not is_rows or self.size != path.stat().st_size:
            raise ValueError("its header is damaged")  # the bytes of the rows, which the checksums cover, may be right
        self.rows_RDT = mapped_RDT.view(np.ndarray)  # memmap's own indexing takes several times as long


class _Shards:
    """Memory maps of the shards of one cache, opened on demand, the least recently used ones closed again.

    Every row is compared with its checksum when it is first read, and again when the file has been written to since.
    Access to the map of a truncated file would kill the process, so the file's size and time are read (two
    microseconds) before each access, once for the two clips of a pair.
    """

    def __init__(self, folder: Path, clip_shape: tuple[int, int]):
        self.folder, self._clip_shape = folder, clip_shape
        self._open: OrderedDict[str, _Shard] = OrderedDict()
        self._checked: dict[str, tuple[int, set[int]]] = {}  # of a shard: its time, and rows with the right checksum
        self._seen = ("", 0, 0)  # the shard last asked for its time, when, and its time

    def row(self, name: str, row: int, crc: int) -> np.ndarray:
        """Row of a shard -> [D, T]. Raises OSError or ValueError if the file is missing, truncated or modified."""
        shard = self._open.get(name)
        if shard is None:
            shard = self._open[name] = self._opened(self.folder / name)
            if len(self._open) > _MAX_OPEN_SHARDS:
                self._open.popitem(last=False)
        self._open.move_to_end(name)
        written = self._written(name, shard)
        time, right = self._checked.get(name, (None, None))
        if time != written:
            time, right = self._checked[name] = written, set()
        if row not in right:
            if zlib.crc32(shard.rows_RDT[row]) != crc:
                _have_it_compared(shard.path)
                raise ValueError("its checksum is wrong")
            right.add(row)
        return shard.rows_RDT[row]

    def _written(self, name: str, shard: _Shard) -> int:
        """When the file was last written to. Raises OSError or ValueError if it is missing or truncated."""
        now, (seen, at, written) = monotonic_ns(), self._seen
        if seen != name or now - at > SAME_NS:
            status = os.stat(shard.path)
            if status.st_size < shard.size:
                raise ValueError("the file is truncated")
            written = status.st_mtime_ns
            self._seen = name, now, written
        return written

    def _opened(self, path: Path) -> _Shard:
        try:
            return _Shard(path, self._clip_shape)
        except ValueError:
            _have_it_compared(str(path))
            raise

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_open": OrderedDict(), "_checked": {}, "_seen": ("", 0, 0)}


def _have_it_compared(path: str) -> None:
    """Sets a file's time, so that the next start compares its digest: a disk that alters bits does not change it."""
    with contextlib.suppress(OSError):  # on a read-only disk
        os.utime(path)
