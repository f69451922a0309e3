"""Sounds whose notes are known."""

import numpy as np

SAMPLE_RATE = 24_000


def note(midi, seconds, start=0.0, total=4.0, level=0.1):
    """One softly decaying tone of five partials -> float64 [total * 24000]."""
    time_N = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    hz = 440 * 2 ** ((midi - 69) / 12)
    wav_N = sum(0.4**k * np.sin(2 * np.pi * hz * (k + 1) * time_N) for k in range(5))
    wav_N *= np.exp(-0.6 * time_N) * np.clip(np.minimum(time_N / 0.01, (seconds - time_N) / 0.03), 0, 1)
    clip_N = np.zeros(int(total * SAMPLE_RATE))
    at = int(start * SAMPLE_RATE)
    clip_N[at : at + len(wav_N)] = level * wav_N
    return clip_N


def chord(seconds=3.0, start=0.5):
    return sum(note(midi, seconds, start) for midi in CHORD)


def scale():
    return sum(note(midi, 0.45, 0.2 + 0.45 * k) for k, midi in enumerate(SCALE))


# Of chords with fifths, the network also hears a tone that would complete their harmonic series.
CHORD = (55, 59, 62, 65)
SCALE = (60, 62, 64, 65, 67, 69, 71, 72)
