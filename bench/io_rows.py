"""Benchmarks of generation, preparation of a dataset, and reading of latents."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.figures import Figure
from bench.timing import compare, seconds
from bench.workloads import ROOT, dataset, open_run, work_folder


def generation(quick: bool) -> list[Figure]:
    """Seconds of audio per second of the demo generator: with one sampling step, and with the recipe's and decoding."""
    from audio_codecs import open_codec
    from kinds.audio.render import generate_from_noise
    from synthesis.loading import export_generator, load_generator

    run = open_run("demo")
    folder = Path(tempfile.mkdtemp(prefix="generator-", dir=work_folder()))
    export_generator(folder, run.config, run.average.state_dict(), run.space, "nothing")
    device = str(run.ranks.device)
    clips, length, found = 4 if quick else 8, 8.0, []
    for name, passes, codec, bars in (
        ("latents, one sampling step", 1, NoCodec(), (">= 50", ">= 5000")),
        (
            f"{run.config.sampling.passes} sampling steps and decoding (mel)",
            None,
            open_codec("mel", device=device),
            (">= 5", ""),
        ),
    ):
        loaded = load_generator(folder, device, passes)

        def make(codec=codec, loaded=loaded) -> None:
            for _ in generate_from_noise(loaded, codec, clips, length, 0):
                pass

        make()
        taken = min(seconds(make) for _ in range(1 if quick else 3))
        found.append(Figure(f"generation, {name}", clips * length / taken, *bars, " x real time"))
    return found


class NoCodec:
    """Returns silence for any latents, so that only the generator is timed."""

    name, identity, sample_rate, frame_rate, hop, channels = "none", "none", 24000, 75, 320, 128
    streams = False

    def decode(self, latents_BDT):
        return latents_BDT.new_zeros(len(latents_BDT), 1, latents_BDT.shape[-1] * self.hop)


def prepare_rate(quick: bool) -> list[Figure]:
    """`prepare_dataset.py` (cut, check, split, encode as mel) against ffmpeg resampling the same files."""
    title = "prepare_dataset.py / ffmpeg to 24 kHz mono"
    ffmpeg = _find_ffmpeg()
    if ffmpeg is None:
        return [Figure(title, None, ">= 0.5", note="needs ffmpeg (pip install imageio-ffmpeg)")]
    work = Path(tempfile.mkdtemp(prefix="prepare-", dir=work_folder()))
    songs, minutes = (2, 1) if quick else (8, 5)
    _write_songs(work / "music", songs, minutes)

    def ours() -> None:
        out = Path(tempfile.mkdtemp(dir=work))
        call = [sys.executable, "prepare_dataset.py", "--input_dir", str(work / "music"), "--codec", "mel"]
        subprocess.run([*call, "--output_dir", str(out / "d")], cwd=ROOT, check=True, capture_output=True)
        shutil.rmtree(out)

    def theirs() -> None:
        out = Path(tempfile.mkdtemp(dir=work))
        for file in sorted((work / "music").iterdir()):
            call = [ffmpeg, "-v", "error", "-i", str(file), "-ar", "24000", "-ac", "1", str(out / f"{file.stem}.wav")]
            subprocess.run(call, check=True)
        shutil.rmtree(out)

    result = compare(theirs, ours, 1 if quick else 2, warm=False)
    hours = songs * minutes / 60
    details = result.details() | {"hours_per_hour": 3600 * hours / result.details()["b_s"], "cores": os.cpu_count()}
    return [Figure(title, result.ratio, ">= 0.5", details=details)]


def _find_ffmpeg() -> str | None:
    """The system's ffmpeg, else that of the package imageio-ffmpeg, else None."""
    try:
        import imageio_ffmpeg

        return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return shutil.which("ffmpeg")


def _write_songs(folder: Path, songs: int, minutes: float) -> None:
    """Stereo FLAC files at 44.1 kHz: a different chord over quiet noise each."""
    import soundfile

    folder.mkdir()
    rng, time = np.random.default_rng(0), np.arange(round(60 * minutes * 44_100)) / 44_100
    for song in range(songs):
        chord = sum(np.sin(2 * np.pi * pitch * time) for pitch in rng.uniform(80, 900, 3))
        stereo = 0.1 * chord[:, None] + 0.01 * rng.standard_normal((len(time), 2))
        soundfile.write(folder / f"song_{song}.flac", stereo.astype(np.float32), 44_100)


def cache(quick: bool) -> list[Figure]:
    """Random crops through the sample stream against slices copied from a raw memory map of the same shards."""
    from data.stream import SampleStream
    from kinds.audio.latent_pairs import open_pairs

    train, _ = open_pairs(dataset())
    train.crop_to(150)
    stream, crops = SampleStream(train, 0), 100 if quick else 4000
    shard = next((dataset() / "latents" / train.codec_identity).glob("shard_*.npy"))
    raw_RDT = np.load(shard, mmap_mode="r")
    starts = np.random.default_rng(0).integers(0, train.frames - 150, crops)
    rows = np.random.default_rng(1).integers(0, len(raw_RDT), (crops, 2))

    def ours() -> None:
        for index in range(crops):
            stream.read(index, {})

    def raw() -> None:
        for start, (a, b) in zip(starts, rows, strict=True):
            np.array(raw_RDT[a, :, start : start + 150])
            np.array(raw_RDT[b, :, start : start + 150])

    result = compare(raw, ours, 1 if quick else 9)
    return [Figure("latent cache / raw memory map, crops", result.ratio, ">= 0.5", details=result.details(crops))]
