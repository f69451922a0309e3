"""From staged songs to `train/` and `val/`: choosing held-out songs, numbering pairs, moving files into place."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from errors import UserError
from kinds.audio.pairs import MIN_TRAIN_PAIRS, PAIR_FILE, SongOrigin, pair_paths
from kinds.audio.preparing.songs import WAV_HEADER_BYTES, StagedSong, choose_val, clip_path, split_by_time
from runtime.files import atomic_path

_COPIERS = 4


def plan_split(songs: list[StagedSong], val_fraction: float, seed: int) -> tuple[list[SongOrigin], str]:
    """Assign usable songs to train and val and number their pairs -> (origins, "song" or "time").

    Split by song, so that no song is in both. A single song is split by time, its end held out after a gap.
    Raises UserError if train would have fewer than two pairs or val none.
    """
    if len(songs) == 1:
        train_runs, val_runs = split_by_time(songs[0].runs, val_fraction)
        parts = [("train", songs[0], train_runs), ("val", songs[0], val_runs)]
    else:
        held_out = choose_val([song.pairs for song in songs], val_fraction, seed)
        parts = [("val" if i in held_out else "train", song, song.runs) for i, song in enumerate(songs)]
    origins, counts = [], {"train": 0, "val": 0}
    for split, song, runs in parts:
        if runs:
            origins.append(SongOrigin(split, counts[split], runs, song.digest, song.name))
            counts[split] += sum(pairs for _, pairs in runs)
    if counts["train"] < MIN_TRAIN_PAIRS or counts["val"] < 1:
        raise UserError(
            f"The music gives {counts['train']} training and {counts['val']} validation pairs, at least "
            f"{MIN_TRAIN_PAIRS} and 1 are needed; add music or choose a shorter --duration."
        )
    return origins, "song" if len(songs) > 1 else "time"


def missing_files(output: Path, origins: list[SongOrigin], clip_samples: int) -> list[tuple[Path, str, int]]:
    """(file to write, digest of its song, clip) for every file of the pairs that is missing or incomplete."""
    size = WAV_HEADER_BYTES + 2 * clip_samples
    missing = []
    for origin in origins:
        for number, clip in origin.pairs():
            for offset, path in enumerate(pair_paths(output / origin.split, number)):
                if not (path.is_file() and path.stat().st_size == size):
                    missing.append((path, origin.digest, clip + offset))
    return missing


def clear_dataset(output: Path, latents_too: bool) -> None:
    """Remove the pairs in `train/` and `val/`; other files stay."""
    for split in ("train", "val"):
        for path in (output / split).glob("*"):
            if PAIR_FILE.fullmatch(path.name):
                path.unlink()
    if latents_too:
        shutil.rmtree(output / "latents", ignore_errors=True)


def place_files(staging: Path, files: list[tuple[Path, str, int]]) -> None:
    """Move staged clips into place, each flushed to disk. Raises UserError if that fails."""
    with _writing(), ThreadPoolExecutor(_COPIERS) as copiers:
        for folder in {path.parent for path, _, _ in files}:
            folder.mkdir(parents=True, exist_ok=True)
        for _ in copiers.map(lambda file: _place(clip_path(staging, file[1], file[2]), file[0]), files):
            pass


def _place(clip: Path, path: Path) -> None:
    """An input is the staged file itself under a second name, a target a copy, so that no two pairs share a file."""
    with atomic_path(path) as temporary:
        temporary.unlink(missing_ok=True)
        if path.stem.endswith("_input"):
            with contextlib.suppress(OSError):
                os.link(clip, temporary)
                return
        shutil.copyfile(clip, temporary)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The pairs cannot be written ({error.strerror or error}: {error.filename}); free some space or choose "
            "another --output_dir, then run the same command again."
        ) from None
