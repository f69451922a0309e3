"""The latent cache on disk: shards of latents, each with its list of clips, and one index over them.

    latents/<codec identity>/index.json          the only file that a run reads at its start
    latents/<codec identity>/shard_<digest>.npy  [rows, D, T] latents, memory-mapped
    latents/<codec identity>/shard_<digest>.json the clips of that shard, so that the index can be rebuilt

Everything is addressed by contents: a clip by the digest of its file, a shard by the digest of its latents.
D latent channels, T frames.
"""

import hashlib
import io
import json
import os
import re
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from runtime.files import atomic_path, file_digest, write_text

INDEX_NAME = "index.json"
FORMAT = 1
_SHARD_PATTERN = re.compile(r"shard_[0-9a-f]{16}\.npy")


@dataclass
class ShardInfo:
    """`clips` holds (digest of the wav file, crc32 of the row) row by row; size and mtime_ns are as last seen."""

    size: int
    mtime_ns: int
    digest: str
    max_abs_error: float
    clips: list[tuple[str, int]]

    def unchanged(self, path: Path) -> bool:
        """Whether the file on disk is the one that was written: by its size and time, or else by its digest.

        If only the time differs, the new time is stored.
        """
        try:
            status = path.stat()
            if status.st_size != self.size:
                return False
            if status.st_mtime_ns != self.mtime_ns:
                if file_digest(path) != self.digest:
                    return False
                self.mtime_ns = status.st_mtime_ns
        except OSError:
            return False
        return True

    def intact(self, path: Path) -> bool:
        """Whether the digest of the file on disk is right, whatever its time says."""
        try:
            return file_digest(path) == self.digest
        except OSError:
            return False


@dataclass
class Index:
    """Contents of index.json.

    `pairs[split]` holds (name, input digest, target digest); `files` maps "split/name" to (size, mtime_ns, digest);
    mean and std are those of the distinct training clips, which `statistics_of` identifies.
    """

    codec_name: str
    codec_identity: str
    sample_rate: int
    samples: int
    frames: int = 0
    files: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    pairs: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    shards: dict[str, ShardInfo] = field(default_factory=dict)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    statistics_of: str = ""
    max_abs_error: float = 0.0
    format: int = FORMAT

    def located(self) -> dict[str, tuple[str, int, int]]:
        """Where every clip's latents are: digest -> (shard file, row, crc32)."""
        return {
            digest: (name, row, crc)
            for name, shard in self.shards.items()
            for row, (digest, crc) in enumerate(shard.clips)
        }

    def wanted(self) -> list[str]:
        """Digests of the clips that pairs refer to, each once, training first, in the order of the pairs."""
        return list(
            dict.fromkeys(d for split in ("train", "val") for _, *digests in self.pairs[split] for d in digests)
        )


def read_index(folder: Path) -> Index | None:
    """The index in a cache folder; None if it is missing, damaged (it carries its digest) or of another format."""
    try:
        content = json.loads((folder / INDEX_NAME).read_bytes())
        fields = content["index"]
        if content["sha256"] != _body_and_digest(fields)[1] or fields["format"] != FORMAT:
            return None
        index = Index(**fields)
        index.shards = {name: _shard_info(name, shard) for name, shard in index.shards.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return index


def write_index(folder: Path, index: Index) -> None:
    """Write index.json atomically, with its own digest in it."""
    body, digest = _body_and_digest(asdict(index))
    write_text(folder / INDEX_NAME, f'{{"sha256":"{digest}",\n"index":{body}}}\n')


def _body_and_digest(fields: dict) -> tuple[str, str]:
    body = json.dumps(fields, separators=(",", ":"))
    return body, hashlib.sha256(body.encode()).hexdigest()


def write_shard(
    folder: Path, latents_RDT: np.ndarray, digests: list[str], max_abs_error: float
) -> tuple[str, ShardInfo]:
    """Write one shard and the list of its clips -> (file name, its entry in the index)."""
    buffer = io.BytesIO()
    np.save(buffer, latents_RDT, allow_pickle=False)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()[:32]
    path = folder / f"shard_{digest[:16]}.npy"
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    status = path.stat()
    clips = [(name, zlib.crc32(row)) for name, row in zip(digests, latents_RDT, strict=True)]
    info = ShardInfo(status.st_size, status.st_mtime_ns, digest, max_abs_error, clips)
    write_text(path.with_suffix(".json"), json.dumps(asdict(info), separators=(",", ":")))
    return path.name, info


def recover_shards(folder: Path, known: set[str]) -> dict[str, ShardInfo]:
    """Intact shards in a cache folder that are missing in the index: of an interrupted run, or of a lost index."""
    found = {}
    for name in set(shard_files(folder)) - known:
        try:
            info = _shard_info(name, json.loads((folder / name).with_suffix(".json").read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
        if info.unchanged(folder / name):
            found[name] = info
    return found


def _shard_info(name: str, fields: dict) -> ShardInfo:
    if not _SHARD_PATTERN.fullmatch(name):
        raise ValueError(f"not the name of a shard: {name}")
    fields["clips"] = [(str(digest), int(crc)) for digest, crc in fields["clips"]]
    return ShardInfo(**fields)


def remove_shard(folder: Path, name: str) -> None:
    """Remove a shard and the list of its clips, if they are there."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).with_suffix(".json").unlink(missing_ok=True)


def shard_files(folder: Path) -> list[str]:
    """Names of the shard files in a cache folder, in the index or not."""
    return sorted(entry.name for entry in os.scandir(folder) if _SHARD_PATTERN.fullmatch(entry.name))
