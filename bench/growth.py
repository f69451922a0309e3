"""Growth curves: how step time grows with sizes, and how start-up time and memory grow with the dataset."""

import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from bench.figures import Figure
from bench.step_rows import seconds_per_step
from bench.timing import exponent
from bench.workloads import open_run, work_folder

CURVES = {  # option of the demo recipe -> its values; other options as in the recipe, but with a smaller batch
    "global_batch_size": [4, 8, 16, 28],
    "crop_seconds": [1.0, 2.0, 4.0],
    "width": [96, 192, 384],
}
PAIRS = [1_000, 10_000, 100_000]
CLIP_SAMPLES, FRAMES = 12_000, 38


def growth(quick: bool) -> list[Figure]:
    """Each curve as a table and its exponent."""
    return [*step_curves(quick), *dataset_curve(quick)]


def step_curves(quick: bool) -> list[Figure]:
    found = []
    for option, values in CURVES.items():
        sizes, times = [], []
        for value in values[:2] if quick else values:
            run = open_run("demo", **({"global_batch_size": 4} | {option: value}))
            if option == "width":
                value = sum(p.numel() for p in run.trainer.generator.parameters())
            sizes.append(value)
            times.append(seconds_per_step(run, 1 if quick else 3, 1 if quick else 3))
        name = "parameters of the generator" if option == "width" else option
        found.append(_curve(f"step time ~ {name}", sizes, times, "s"))
    return found


def _curve(title: str, sizes: list, values: list[float], unit: str) -> Figure:
    points = [[size, round(value, 5)] for size, value in zip(sizes, values, strict=True)]
    note = ", ".join(f"{size:g}: {value:.4g} {unit}" for size, value in points)
    return Figure(f"{title}^p, p", exponent(sizes, values), note=note, details={"points": points})


def dataset_curve(quick: bool) -> list[Figure]:
    """Opening a dataset of N pairs whose latents are cached, and the memory that it takes, in a separate process."""
    counts = [100, 1000] if quick else PAIRS
    opened = []
    for count in counts:
        folder = synthetic_dataset(count)
        call = [sys.executable, "-m", __name__, str(folder)]
        opened.append(json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout))
        subprocess.run(["rm", "-rf", str(folder)], check=True)
    per_pair = (opened[-1]["bytes"] - opened[0]["bytes"]) / (counts[-1] - counts[0])
    index = (opened[-1]["index_bytes"] - opened[0]["index_bytes"]) / (counts[-1] - counts[0])
    return [
        _curve("start ~ pairs in the dataset", counts, [one["open_s"] for one in opened], "s"),
        _curve("reading a batch ~ pairs", counts, [one["batch_s"] for one in opened], "s"),
        _curve("the same, raw memory maps ~ pairs", counts, [one["raw_batch_s"] for one in opened], "s"),
        Figure("memory per pair / index file per pair", per_pair / index,
               note=", ".join(f"{n}: {one['bytes'] / 2**20:.0f} MiB" for n, one in zip(counts, opened, strict=True)),
               details={"opened": opened}),
    ]  # fmt: skip


def synthetic_dataset(pairs: int) -> Path:
    """A dataset of that many pairs of silent half seconds, their latents cached: one wav file under many names, and
    sparse shards of zeros. The index is as large as a real one."""
    from audio_codecs import codec_identity
    from kinds.audio import latent_index
    from kinds.audio.encode import SHARD_BYTES, _statistics_key
    from kinds.audio.files import write_wav

    root = Path(tempfile.mkdtemp(prefix="pairs-", dir=work_folder()))
    index = latent_index.Index("mel", codec_identity("mel"), 24_000, CLIP_SAMPLES, frames=FRAMES)
    index.mean, index.std = [0.0] * 128, [1.0] * 128
    for split, count in (("train", pairs), ("val", 2)):
        (root / split).mkdir()
        index.pairs[split] = []
        for number in range(count):
            name, digests = f"pair_{number:06d}", []
            if number % 20_000 == 0:  # file systems limit the number of links to a file
                original = root / f"{split}_{number}.wav"
                write_wav(original, np.zeros(CLIP_SAMPLES, np.float32), 24_000)
                status = original.stat()
            for role in ("input", "target"):
                os.link(original, root / split / f"{name}_{role}.wav")
                digests.append(f"{zlib.crc32(f'{split}{number}{role}'.encode()):08x}{number:024x}{split[0]}{role[0]}")
                index.files[f"{split}/{name}_{role}.wav"] = (status.st_size, status.st_mtime_ns, digests[-1])
            index.pairs[split].append((name, *digests))
    cache = root / "latents" / index.codec_identity
    cache.mkdir(parents=True)
    rows, crc, wanted = SHARD_BYTES // (2 * 128 * FRAMES), zlib.crc32(bytes(2 * 128 * FRAMES)), index.wanted()
    for start in range(0, len(wanted), rows):
        clips = [(digest, crc) for digest in wanted[start : start + rows]]
        path = cache / f"shard_{start:016x}.npy"
        np.lib.format.open_memmap(path, "w+", np.float16, (len(clips), 128, FRAMES))
        status = path.stat()
        index.shards[path.name] = latent_index.ShardInfo(status.st_size, status.st_mtime_ns, "", 0.0, clips)
    index.statistics_of = _statistics_key(index)
    latent_index.write_index(cache, index)
    return root


def measure_opening(folder: str) -> dict[str, float]:
    """Times the opening of a dataset and the first batches."""
    from bench.program_rows import _resident
    from data.stream import SampleStream
    from data.supply import Supply
    from kinds.audio.latent_pairs import open_pairs

    before, begun = _resident(os.getpid()), time.perf_counter()
    train, _ = open_pairs(folder)
    opened = time.perf_counter() - begun
    supply = Supply(SampleStream(train, 0), 0, 16)
    next(supply)
    begun = time.perf_counter()
    for _ in range(20):
        next(supply)
    took, memory = (time.perf_counter() - begun) / 20, _resident(os.getpid()) - before
    index = next(Path(folder).glob("latents/*/index.json")).stat().st_size
    raw = raw_batch_s(sorted(Path(folder).glob("latents/*/shard_*.npy")))
    return {"open_s": opened, "batch_s": took, "raw_batch_s": raw, "bytes": memory, "index_bytes": index}


def raw_batch_s(shards: list[Path]) -> float:
    """Seconds to copy 34 rows, as many as a batch of 16 needs, from newly opened memory maps; in a small dataset some
    of their pages are in the page cache already."""
    rng, maps = np.random.default_rng(0), {}
    begun = time.perf_counter()
    for shard in rng.integers(0, len(shards), 20 * 34):
        if shard not in maps:
            maps[shard] = np.load(shards[shard], mmap_mode="r")
        np.array(maps[shard][rng.integers(0, len(maps[shard]))])
    return (time.perf_counter() - begun) / 20


if __name__ == "__main__":
    print(json.dumps(measure_opening(sys.argv[1])))
