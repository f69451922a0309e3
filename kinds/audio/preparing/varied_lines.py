"""What the voices of varied demo music play: tones, bends and swells of free polyphony, patterns of drums.

Time is in seconds, pitches are MIDI numbers, velocities lie in 0..1. A curve holds `CURVE_RATE` values a second.
"""

from dataclasses import dataclass

import numpy as np

CURVE_RATE = 100
SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "pentatonic": (0, 2, 4, 7, 9),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tones": (0, 2, 4, 6, 8, 10),
    "fifths": (0, 7),
    "chromatic": tuple(range(12)),
}
MAX_BEND = 12.0  # semitones
SHORTEST, LONGEST = 0.09, 8.0  # seconds from one tone to the next
_CORE_DRUMS = (36, 38, 42)  # kick, snare, closed hat
_MORE_DRUMS = (35, 37, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 50, 51, 53, 54, 56, 57, 60, 61, 62, 63, 64, 69, 70, 76)


@dataclass(frozen=True)
class Tone:
    """One tone: `start` and `seconds` in seconds, `pitch` as a MIDI number (of drums: which drum), `velocity` 0..1."""

    start: float
    seconds: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Line:
    """What one voice plays.

    `bend` is added to all its pitches, in semitones within `MAX_BEND`; `swell` is a gain in 0..1. Both are curves over
    the whole song, float32 [ceil(seconds * CURVE_RATE) + 1], or None.
    """

    tones: tuple[Tone, ...]
    bend: np.ndarray | None = None
    swell: np.ndarray | None = None


@dataclass(frozen=True)
class Frame:
    """What the voices of a song share: pitch classes, and the seconds of a beat (None: everyone in free time)."""

    classes: frozenset[int]
    beat: float | None


def choose_frame(rng: np.random.Generator) -> Frame:
    """A random scale on a random root, chromatic in a sixth of the songs; free time in a third of them."""
    names = list(SCALES)
    scale = SCALES["chromatic"] if rng.random() < 0.16 else SCALES[names[rng.integers(len(names) - 1)]]
    root = int(rng.integers(12))
    beat = None if rng.random() < 0.33 else float(60.0 / rng.uniform(50.0, 170.0))
    return Frame(frozenset((root + step) % 12 for step in scale), beat)


def write_line(rng: np.random.Generator, seconds: float, frame: Frame, low: int, high: int) -> Line:
    """A voice within the pitches `low`..`high`: its pace, articulation, chords, dynamics and bends are random."""
    starts, spacing = _starts(rng, seconds, frame.beat)
    ladder = _ladder(rng, frame, low, high)
    chord = int(rng.choice([1, 1, 1, 1, 1, 2, 3, 4]))
    steps = _walk(rng, len(starts), len(ladder))
    hold = float(rng.choice([rng.uniform(0.95, 1.1), rng.uniform(0.2, 0.8), rng.uniform(1.5, 3.0)], p=[0.5, 0.3, 0.2]))
    if chord == 1 and hold > 1.1:
        hold = 1.0 if rng.random() < 0.5 else hold
    base, spread = rng.uniform(0.25, 1.0), rng.uniform(0.0, 0.2)
    tones = []
    for i, start in enumerate(starts):
        length = max(0.04, hold * float(spacing[i]))
        for j in range(chord):
            velocity = float(np.clip(base + spread * rng.standard_normal(), 0.08, 1.0))
            tones.append(Tone(float(start), length, ladder[(int(steps[i]) + 2 * j) % len(ladder)], velocity))
    return Line(tuple(tones), _bend(rng, seconds, tones, single=chord == 1), _swell(rng, seconds))


def _starts(rng: np.random.Generator, seconds: float, beat: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Start of every tone and the seconds to the next one, from very sparse to fast, with or without rests."""
    unit = float(np.exp(rng.uniform(np.log(SHORTEST), np.log(min(LONGEST, max(SHORTEST * 2.0, 0.6 * seconds))))))
    if beat is not None:
        unit = max(SHORTEST, beat * 2.0 ** round(np.log2(unit / beat)))
    count = int(seconds / unit) + 2
    if beat is not None:
        spacing = unit * rng.choice([1.0, 1.0, 1.0, 2.0, 0.5, 1.5] if rng.random() < 0.6 else [1.0], count)
    else:
        spacing = unit * np.exp(rng.uniform(0.05, 0.6) * rng.standard_normal(count))
    spacing = np.maximum(spacing, SHORTEST / 2.0)
    first = 0.0 if rng.random() < 0.5 else float(rng.uniform(0.0, min(unit, 0.4 * seconds)))
    starts = first + np.concatenate([[0.0], np.cumsum(spacing)[:-1]])
    rest = 0.0 if rng.random() < 0.6 else rng.uniform(0.1, 0.6)
    heard = (starts < seconds) & ((rng.random(count) >= rest) | (np.arange(count) == 0))
    return starts[heard], spacing[heard]


def _ladder(rng: np.random.Generator, frame: Frame, low: int, high: int) -> list[int]:
    """The pitches of a voice in rising order: those of the frame in a random part of its compass."""
    centre, span = rng.uniform(low, high), rng.uniform(4.0, 16.0)
    near = [pitch for pitch in range(low, high + 1) if abs(pitch - centre) <= span]
    return [pitch for pitch in near if pitch % 12 in frame.classes] or near


def _walk(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Rungs of the ladder, int [count]: a repeated figure, or a random walk reflected at both ends."""
    if rng.random() < 0.25:
        figure = rng.integers(size, size=int(rng.integers(2, 9)))
        return np.resize(figure, count)
    leaps = np.rint(rng.uniform(0.6, 4.0) * rng.standard_normal(count)).astype(int)
    walk = np.abs((int(rng.integers(size)) + np.cumsum(leaps)) % max(1, 2 * size - 2))
    return np.minimum(walk, 2 * size - 2 - walk) if size > 1 else np.zeros(count, int)


def _bend(rng: np.random.Generator, seconds: float, tones: list[Tone], single: bool) -> np.ndarray | None:
    """Vibrato, scoops into tones, glides from the tone before (single voices only), drift, or none of them."""
    manner = str(rng.choice(["none", "vibrato", "scoop", "glide", "drift"], p=[0.55, 0.2, 0.1, 0.1, 0.05]))
    if manner == "none" or not tones:
        return None
    time = curve_times(seconds)
    starts = np.unique([tone.start for tone in tones])
    latest = np.maximum(0, np.searchsorted(starts, time, side="right") - 1)
    age = np.maximum(0.0, time - starts[latest])
    if manner == "vibrato":
        onset = np.clip((age - rng.uniform(0.0, 0.4)) / 0.3, 0.0, 1.0)
        wave = np.sin(2.0 * np.pi * (rng.uniform(3.5, 7.5) * time + rng.random()))
        bend = rng.uniform(0.08, 0.8) * onset * wave
    elif manner == "scoop":
        sizes = rng.uniform(-3.0, 2.0, len(starts)) * (rng.random(len(starts)) < 0.6)
        bend = sizes[latest] * np.exp(-age / rng.uniform(0.03, 0.3))
    elif manner == "glide" and single:
        pitches = np.array([tone.pitch for tone in sorted(tones, key=lambda tone: tone.start)][: len(starts)], float)
        back = np.concatenate([[0.0], -np.diff(pitches)]) if len(pitches) == len(starts) else np.zeros(len(starts))
        bend = back[latest] * np.exp(-age / rng.uniform(0.03, 0.15))
    else:
        bend = rng.uniform(0.1, 0.6) * np.sin(2.0 * np.pi * (rng.uniform(0.1, 1.0) * time + rng.random()))
    return np.clip(bend, -MAX_BEND, MAX_BEND).astype(np.float32)


def _swell(rng: np.random.Generator, seconds: float) -> np.ndarray | None:
    """Slow waves of loudness, in a quarter of the voices."""
    if rng.random() >= 0.25:
        return None
    wave = 0.5 + 0.5 * np.cos(2.0 * np.pi * (curve_times(seconds) / rng.uniform(1.0, 9.0) + rng.random()))
    return (1.0 - rng.uniform(0.3, 0.95) * wave).astype(np.float32)


def curve_times(seconds: float) -> np.ndarray:
    """The time in seconds of every value of a curve, float64 [ceil(seconds * CURVE_RATE) + 1]."""
    return np.arange(int(np.ceil(seconds * CURVE_RATE)) + 1) / CURVE_RATE


def write_drums(rng: np.random.Generator, seconds: float) -> Line:
    """A pattern of 16 or 12 steps on two to seven drums, with variations; pitches are General MIDI drum keys."""
    steps, step = int(rng.choice([16, 12])), float(15.0 / rng.uniform(60.0, 180.0))
    swing = float(rng.choice([0.0, 0.0, 0.2, 0.33]))
    drums = [*_CORE_DRUMS[: rng.integers(0, 4)], *rng.choice(_MORE_DRUMS, int(rng.integers(2, 5)), replace=False)]
    pattern = rng.random((len(drums), steps)) < rng.uniform(0.05, 0.5, (len(drums), 1))
    pattern[0, 0] = True
    accents, change = rng.uniform(0.3, 1.0, (len(drums), steps)), float(rng.uniform(0.0, 0.15))
    tones = []
    for i in range(int(seconds / step) + 1):
        start = (i + swing * (i % 2)) * step
        for row, drum in enumerate(drums):
            if start < seconds and bool(pattern[row, i % steps]) != bool(rng.random() < change):
                velocity = float(np.clip(accents[row, i % steps] * rng.uniform(0.8, 1.1), 0.08, 1.0))
                tones.append(Tone(start, 0.15, int(drum), velocity))
    return Line(tuple(tones))
