"""Clips of one length out of recordings: read, halved by file, cropped."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from errors import UserError
from kinds.audio.errors import AudioError
from kinds.audio.files import SAMPLE_RATE, Recording, read_recording
from kinds.audio.walking import find_audio, summary


def read_folder(folder: str | Path, option: str, remarks: list[str] | None = None) -> list[np.ndarray]:
    """All audio files under a folder, in order of their paths -> float32 [N] each, 24 kHz mono.

    Files are found, read and left out as by prepare_dataset.py; `remarks` gets what was left out or damaged.
    Identical audio counts once: in a dataset a clip is the target of one pair and the input of the next, and
    duplicates would be nearest neighbours of each other.

    Raises:
        UserError: no such folder, or no audio in it that can be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{option} {folder} is not a folder; give one that holds audio files")
    found, skipped = find_audio(folder)
    named = sorted(found.items(), key=lambda item: item[1])
    with ThreadPoolExecutor() as pool:
        read = list(pool.map(lambda item: _read(item[1]), named))
    wavs, damaged = [], []
    for (name, _), recording in zip(named, read, strict=True):
        if isinstance(recording, AudioError):
            skipped[name] = recording.reason
        else:
            wavs.append(recording.wav)
            damaged += [f"{option} {name}: {remark}" for remark in recording.remarks]
    if not wavs:
        why = f": {summary(skipped, names=3)}" if skipped else ""
        raise UserError(f"{option} {folder} holds no audio files (wav, flac, ogg, mp3, ...) that can be read{why}")
    if remarks is not None:
        problems = {name: reason for name, reason in skipped.items() if reason != "not audio" or name in found}
        if problems:
            remarks.append(f"{option} {folder}: left out: {summary(problems, names=3)}")
        remarks += damaged
    return list({hashlib.sha256(wav).digest(): wav for wav in wavs}.values())


def _read(path: Path) -> Recording | AudioError:
    try:
        return read_recording(path, SAMPLE_RATE)
    except AudioError as error:
        return error


def crops(wavs: list[np.ndarray], length: int, seed: int, most: int | None = None) -> np.ndarray:
    """Whole crops of `length` samples, side by side in each file -> float32 [B, length], in a seeded order.

    The first crop of every file comes before the second of any, so that `most` takes from as many files as it can.
    """
    rng = np.random.default_rng([seed, len(wavs)])
    places = [(k, i) for i, wav in enumerate(wavs) for k in rng.permutation(len(wav) // length)]
    by_file: dict[int, list[int]] = {}
    for k, i in places:
        by_file.setdefault(i, []).append(int(k))
    ranked = [(number, rng.random(), i, k) for i, ks in by_file.items() for number, k in enumerate(ks)]
    chosen = [wavs[i][k * length : (k + 1) * length] for _, _, i, k in sorted(ranked)[:most]]
    return np.stack(chosen) if chosen else np.zeros((0, length), np.float32)


def halves(wavs: list[np.ndarray], seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Two parts of about equal length without a file in common; a single file is cut in the middle."""
    if len(wavs) == 1:
        middle = len(wavs[0]) // 2
        return [wavs[0][:middle]], [wavs[0][middle:]]
    sides: tuple[list, list] = ([], [])
    for i in np.random.default_rng(seed).permutation(len(wavs)):
        sizes = [sum(map(len, side)) for side in sides]
        sides[sizes[0] > sizes[1]].append(wavs[i])
    return sides
