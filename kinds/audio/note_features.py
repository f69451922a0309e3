"""Clip-level descriptors of the notes in a clip: one row of named numbers for one clip of audio.

They are computed from what a transcription network hears (`kinds.audio.notes`), so they tell held notes from tremolo
and chords from noise, where the descriptors of `kinds.audio.features` see a similar spectrum. They change little when
a clip is made louder or softer, and the pitch-class group does not depend on the key.

    group      what                                                            source
    notes      notes a second; length: mean, spread (s), share under 0.1 s     McKay et al. 2018 (jSymbolic 2)
    polyphony  notes at once: mean, spread; share of frames without notes      McKay et al. 2018
    pitch      register: mean, spread, 5-95 % range (semitones, MIDI numbers)  Tzanetakis 2002; McKay et al. 2018
    strength   posterior while notes sound: mean, spread                       Bittner et al. 2022
    onset      onsets a second; spread and concentration of their posterior    Bittner et al. 2022; Dixon 2006
    class      pitch-class profile: concentration, Fourier magnitudes, change  Harte 2006; Bernardes 2016

In noise the network hears a stray short note now and then, in some clips none. Statistics of so little are arbitrary,
and noise would look diverse. So averages over the notes' time are taken as if PRIOR_FRAMES (0.2 s) of a neutral note
were heard in addition: spread evenly over all pitches, at the threshold (additive smoothing). Music changes little by
it. The length of no notes is 0.

Shapes: B clips, N samples, T frames (86.1 a second), P pitches (88), C pitch classes, K notes, R sounding cells.
"""

import hashlib

import numpy as np

from evaluation import metrics
from evaluation.scorer import Described
from kinds.audio.notes import FRAMES_PER_S, LOWEST_MIDI, PITCHES, THRESHOLD, Notes, find_notes, map_posteriors

SHORT_S = 0.1
PRIOR_FRAMES = 17
CHANGE_LAGS_S = {"quarter_s": 0.25, "1s": 1.0}
RAW = ("notes_per_s", "length_mean", "polyphony_mean")  # shown as they are, beside the metrics
_known: dict[bytes, np.ndarray] = {}  # digest of a clip -> its row: training clips come back as rungs of the ladder


def note_features(audio_BN: np.ndarray) -> np.ndarray:
    """Descriptors of the notes of clips: audio [B, N] at 24 kHz -> float64 [B, len(FEATURE_NAMES)].

    A clip that this process described before is not described again.

    Raises:
        UserError: a package of the transcription network is missing.
        ValueError: clips hold NaN or infinite samples.
    """
    if not np.isfinite(audio_BN).all():
        raise ValueError("clips hold NaN or infinite samples")
    digests = [hashlib.sha256(np.ascontiguousarray(clip)).digest() for clip in audio_BN]
    new = {digest: clip for digest, clip in zip(digests, audio_BN, strict=True) if digest not in _known}
    _known.update(zip(new, map_posteriors(_row, list(new.values())), strict=True))
    return np.stack([_known[digest] for digest in digests]) if digests else np.zeros((0, len(FEATURE_NAMES)))


def describe_notes(audio_BN: np.ndarray, device: str = "cpu") -> Described:
    """Audio [B, N] at 24 kHz -> what the scorer needs of it. `device` is ignored: the network runs on the CPU."""
    return Described(note_features(audio_BN), metrics.silent_clips(audio_BN), metrics.clipped_clips(audio_BN))


def _row(note_TP, onset_TP):
    return np.array([value for values in _described(note_TP, onset_TP) for value in values.values()], np.float64)


def _described(note_TP, onset_TP):
    """All groups of one clip, in order: list of {name: value}."""
    notes = find_notes(note_TP)
    sounding_TP = np.where(mask_of(notes, len(note_TP)), note_TP, 0)
    return [
        _notes(notes, len(note_TP)),
        _polyphony(sounding_TP),
        _pitch(sounding_TP),
        _strength(sounding_TP),
        _onset(onset_TP),
        _class(sounding_TP),
    ]


def mask_of(notes: Notes, frames: int) -> np.ndarray:
    """Which pitch sounds in which frame -> bool [frames, P]."""
    change_TP = np.zeros((frames + 1, PITCHES), np.int8)
    change_TP[notes.start, notes.pitch] += 1
    change_TP[notes.end, notes.pitch] -= 1
    return change_TP.cumsum(0)[:-1] > 0


# -- groups --


def _notes(notes, frames):
    seconds_K = notes.seconds
    return {
        "notes_per_s": len(seconds_K) / frames * FRAMES_PER_S,
        "length_mean": seconds_K.mean() if len(seconds_K) else 0,
        "length_std": seconds_K.std() if len(seconds_K) else 0,
        "length_short": ((seconds_K < SHORT_S).sum() + 1) / (len(seconds_K) + 2),
    }


def _polyphony(sounding_TP):
    voices_T = (sounding_TP > 0).sum(1)
    return {
        "polyphony_mean": voices_T.mean(),
        "polyphony_std": voices_T.std(),
        "polyphony_silence": (voices_T == 0).mean(),
    }


def _pitch(sounding_TP):
    """Register over all notes' time."""
    share_P = _smoothed((sounding_TP > 0).sum(0))
    midi_P = np.arange(PITCHES) + LOWEST_MIDI
    mean = share_P @ midi_P
    low, high = np.searchsorted(share_P.cumsum(), [0.05, 0.95])
    return {"pitch_mean": mean, "pitch_std": np.sqrt(share_P @ (midi_P - mean) ** 2), "pitch_range": high - low}


def _strength(sounding_TP):
    """Posterior while notes sound: how sure the network is of them."""
    posterior_R = sounding_TP[sounding_TP > 0]
    return {
        "strength_mean": _mean(posterior_R, THRESHOLD),
        "strength_std": np.sqrt(_mean((posterior_R - _mean(posterior_R, THRESHOLD)) ** 2, 0)),
    }


def _onset(onset_TP):
    """Peaks of the onset posterior over time, and how uneven its sum over all pitches is."""
    inner_TP = onset_TP[1:-1]
    peak_TP = (inner_TP > THRESHOLD) & (inner_TP >= onset_TP[:-2]) & (inner_TP > onset_TP[2:])
    sum_T = onset_TP.sum(1)
    top = np.sort(sum_T)[-max(1, len(sum_T) // 10) :]
    return {
        "onset_rate": peak_TP.sum() / len(onset_TP) * FRAMES_PER_S,
        "onset_spread": sum_T.std() / (sum_T.mean() + 1e-3),
        "onset_top_share": top.sum() / (sum_T.sum() + 1e-3),
    }


def _class(sounding_TP):
    """Pitch-class profile of frames and of the clip: concentration, change, Fourier magnitudes.

    Concentration is 1 - entropy / log 12: 0 for an even profile, 1 for a single pitch class. The magnitudes
    |sum_c profile_c exp(-2 pi i j c / 12)|, j = 1..6, do not depend on the key: 5 is diatonicity, 4 minor thirds, 3
    major thirds. Change is the cosine distance of frames some time apart, over the pairs in which both have notes.
    """
    class_P = (np.arange(PITCHES) + LOWEST_MIDI) % 12
    profile_TC = sounding_TP @ np.eye(12)[class_P]
    some_T = profile_TC.sum(1) > 0
    clip_C = np.bincount(class_P, _smoothed(sounding_TP.sum(0)), minlength=12)
    features = {
        "class_frame": _mean(_concentration(profile_TC[some_T]), 0),
        "class_clip": _concentration(clip_C[None])[0],
    }
    for name, lag_s in CHANGE_LAGS_S.items():
        change = _change(profile_TC, some_T, round(lag_s * FRAMES_PER_S))
        features[f"class_change_{name}"] = _mean(change, 0)
        features[f"class_change_{name}_std"] = np.sqrt(_mean((change - _mean(change, 0)) ** 2, 0))
    magnitudes = np.abs(np.fft.rfft(clip_C))[1:]
    return features | {f"class_dft{j}": magnitude for j, magnitude in enumerate(magnitudes, 1)}


# -- parts --


def _mean(values, prior):
    """Mean of values of single frames, and of PRIOR_FRAMES more of the value `prior`."""
    return (values.sum() + PRIOR_FRAMES * prior) / (len(values) + PRIOR_FRAMES)


def _smoothed(frames_P):
    """Shares of the pitches in all notes' time, and in PRIOR_FRAMES more that are spread evenly -> [P], sum 1."""
    return (frames_P + PRIOR_FRAMES / PITCHES) / (frames_P.sum() + PRIOR_FRAMES)


def _concentration(profile_TC):
    share_TC = profile_TC / np.maximum(profile_TC.sum(1, keepdims=True), 1e-9)
    return 1 + (share_TC * np.log(share_TC + 1e-9)).sum(1) / np.log(12)


def _change(profile_TC, some_T, lag):
    """Cosine distance of frames `lag` apart, where both have notes -> [pairs] in 0..1."""
    unit_TC = profile_TC / (np.linalg.norm(profile_TC, axis=1, keepdims=True) + 1e-9)
    both_T = some_T[lag:] & some_T[: max(0, len(some_T) - lag)]
    return 1 - (unit_TC[lag:] * unit_TC[: max(0, len(unit_TC) - lag)]).sum(1)[both_T]


_EMPTY = np.zeros((2, PITCHES), np.float32)
FEATURE_NAMES = tuple(name for group in _described(_EMPTY, _EMPTY) for name in group)
