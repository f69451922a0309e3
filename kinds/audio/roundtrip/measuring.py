"""The round trip of clips through one codec: its speed, its distances and its place on the ladder of each ruler.

Shapes: B clips, N samples, D latent channels, T latent frames.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from errors import UserError
from kinds.audio.clips import crops, read_folder
from kinds.audio.files import SAMPLE_RATE, read_recording
from kinds.audio.walking import is_audio

FEWEST = 16  # clips of each half
SHOWN = ("gap_closed", "frechet", "coverage", "density", "diversity")  # and the raw means of a ruler
RUNGS = ("floor", "gaussian")  # beside the round trip itself


def read_recordings(paths: list[str], remarks: list[str] | None = None) -> list[np.ndarray]:
    """Audio files, and all that lie in folders -> float32 [N] each, 24 kHz mono; `remarks` as by `read_folder`.

    Raises:
        UserError: a path does not exist or holds no audio, or a file is broken.
    """
    wavs = []
    for path in map(Path, paths):
        if path.is_dir():
            wavs += read_folder(path, "MUSIC", remarks)
        elif not path.is_file():
            raise UserError(f"{path} does not exist; give audio files or folders that hold them")
        elif not is_audio(path):
            raise UserError(f"{path} is not an audio file (wav, flac, ogg, mp3, ...)")
        else:
            recording = read_recording(path)
            wavs.append(recording.wav)
            if remarks is not None:
                remarks += [f"{path}: {remark}" for remark in recording.remarks]
    return wavs


def two_halves(wavs: list[np.ndarray], seconds: float, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clips to encode and clips to compare them with: different moments of the same recordings -> [B, N] twice.

    So both have the same kinds of music, and what differs is the codec's doing. Silent clips are left out.

    Raises:
        UserError: fewer than FEWEST clips in each half.
    """
    from evaluation.metrics import silent_clips

    clips_BN = crops(wavs, round(seconds * SAMPLE_RATE), seed, 4 * count)
    clips_BN = clips_BN[~silent_clips(clips_BN)][: 2 * count]
    half = len(clips_BN) // 2
    if half < FEWEST:
        raise UserError(
            f"too little music: {len(clips_BN)} audible clips of {seconds:g} s; at least {2 * FEWEST} are needed, "
            "so give more recordings or a shorter --duration"
        )
    return clips_BN[0 : 2 * half : 2], clips_BN[1 : 2 * half : 2]


def round_trip(codec, clips_BN: np.ndarray, device: str) -> tuple[np.ndarray, dict[str, float]]:
    """Clips through the codec -> decoded float32 [B, N], and its size and speed on this machine."""
    from kinds.audio.rungs import decode_clips, encode_clips

    samples = clips_BN.shape[1]
    decode_clips(codec, encode_clips(codec, clips_BN[:2], device=device), samples, device=device)  # warm-up
    started = time.perf_counter()
    latents_BDT = encode_clips(codec, clips_BN, device=device)
    encoded = time.perf_counter()
    decoded_BN = decode_clips(codec, latents_BDT, samples, device=device)
    seconds = clips_BN.size / SAMPLE_RATE
    return decoded_BN, {
        "latents_per_s": codec.frame_rate * codec.channels,
        "encode_x_real_time": seconds / (encoded - started),
        "decode_x_real_time": seconds / (time.perf_counter() - encoded),
    }


def measure_codec(
    codec,
    clips_BN: np.ndarray,
    reference_BN: np.ndarray,
    rulers: list[str],
    *,
    rate: bool = True,
    rounds: int = 100,
    seed: int = 0,
    device: str = "cpu",
    say: Callable[[str], None] = lambda what: None,
) -> dict:
    """All figures of one codec, plain numbers and dicts as in the JSON of `python -m kinds.audio.roundtrip`.

    -> {"latents_per_s", "encode_x_real_time", "decode_x_real_time",
        "distances": {name: {"value", "low", "high"}},
        "rulers": {ruler: {"real" | "round_trip": {metric: {"value", "low", "high"}}}}}
    rate: whether Zimtohrli's rating is among the distances.
    """
    from kinds.audio.roundtrip import distances
    from kinds.audio.rulers import measure

    say(f"{codec.identity}: encoding and decoding")
    decoded_BN, figures = round_trip(codec, clips_BN, device)
    say(f"{codec.identity}: distances")
    columns = {
        f"log_spectral_{size}_db": distances.log_spectral_distances(clips_BN, decoded_BN, size)
        for size in distances.RESOLUTIONS
    }
    if rate:
        columns["zimtohrli_mos"] = distances.zimtohrli_ratings(clips_BN, decoded_BN)
    sets = {"round_trip": decoded_BN}
    measured = measure(
        rulers, reference_BN, clips_BN, sets, codec,
        copies=False, rounds=rounds, seed=seed, device=device, say=say, rungs=RUNGS,
    )  # fmt: skip
    placed = {
        name: {title: _shown(one.sets[rung]) for title, rung in (("real", "floor"), ("round_trip", "round_trip"))}
        for name, one in measured.items()
    }
    return figures | {"distances": {name: _interval(column_B) for name, column_B in columns.items()}, "rulers": placed}


def _shown(values):
    return {name: entry for name, entry in values.items() if name in SHOWN or name not in _scorer_metrics()}


def _scorer_metrics():
    from evaluation.table import HEADINGS

    return HEADINGS


def _interval(column_B):
    """Mean over clips with the 95 % interval of a mean."""
    value, half = float(column_B.mean()), float(1.96 * column_B.std() / np.sqrt(len(column_B)))
    return {"value": value, "low": value - half, "high": value + half}
