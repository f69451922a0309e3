"""Instruments of the demo music: functions of pitch, length and a few timbre parameters -> float32 [N].

All pitched sounds are sums of partials: `exp(i phase - damping)` raised to the power k by repeated multiplication costs
one complex product per partial and sample. There is no aliasing, and a low-pass is a weight per partial.
N samples, k partial number from 1, f fundamental in Hz.
"""

from dataclasses import dataclass

import numpy as np

_TAU = 2.0 * np.pi


@dataclass(frozen=True)
class Timbre:
    """How an instrument sounds.

    Attributes:
        shape: "saw" (1/k), "square" (1/k, odd k), "triangle" (1/k^2, odd k), "sine" (first partial, few others).
        brightness: low-pass corner as a multiple of the fundamental (12 dB per octave).
        attack: seconds to full level.
        decay: seconds for the first partial to fall by 1/e while the note is held; inf for sustained sounds.
        damping: how much faster high partials decay: the decay time of partial k is decay / (1 + damping * (k - 1)).
        release: seconds for 1/e after the note's end.
        detune: spread in cents of the voices; 0 is a single voice.
        vibrato: depth in cents, setting in after a fifth of a second.
        breath: level of band-passed noise mixed in.
        stretch: inharmonicity B of stiff strings and bars, f_k = k f sqrt(1 + B k^2).
    """

    shape: str = "saw"
    brightness: float = 6.0
    attack: float = 0.01
    decay: float = np.inf
    damping: float = 0.0
    release: float = 0.05
    detune: float = 0.0
    vibrato: float = 0.0
    breath: float = 0.0
    stretch: float = 0.0


LEADS = {
    "flute": Timbre("triangle", 5.0, 0.06, release=0.08, vibrato=14.0, breath=0.012),
    "saw lead": Timbre("saw", 5.0, 0.015, 2.5, 0.15, 0.08, detune=9.0, vibrato=10.0),
    "square lead": Timbre("square", 6.0, 0.01, 1.5, 0.1, 0.06, vibrato=12.0),
    "bell": Timbre("sine", 9.0, 0.002, 0.9, 0.9, 0.5, stretch=0.012),
    "music box": Timbre("triangle", 8.0, 0.002, 0.55, 1.2, 0.3, stretch=0.004),
    "strings": Timbre("saw", 4.0, 0.09, release=0.15, detune=11.0, vibrato=12.0),
}
CHORDS = {
    "piano": Timbre("saw", 5.0, 0.003, 1.1, 0.35, 0.12, detune=2.0, stretch=0.0004),
    "guitar": Timbre("saw", 7.0, 0.002, 0.7, 0.55, 0.10, stretch=0.0001),
    "electric piano": Timbre("sine", 6.0, 0.004, 1.4, 0.8, 0.12),
    "organ": Timbre("square", 3.5, 0.012, release=0.04, detune=3.0),
    "pluck": Timbre("saw", 9.0, 0.002, 0.35, 0.8, 0.08, detune=6.0),
    "marimba": Timbre("sine", 8.0, 0.002, 0.35, 1.8, 0.15, stretch=0.02),
}
PADS = {
    "warm pad": Timbre("saw", 3.0, 0.35, release=0.4, detune=14.0),
    "string pad": Timbre("saw", 6.0, 0.22, release=0.3, detune=18.0, vibrato=6.0),
    "choir": Timbre("triangle", 5.0, 0.3, release=0.35, detune=16.0, vibrato=10.0, breath=0.004),
}
BASSES = {
    "finger bass": Timbre("saw", 4.0, 0.006, 0.9, 0.5, 0.05),
    "synth bass": Timbre("saw", 8.0, 0.004, 0.6, 0.3, 0.04, detune=5.0),
    "sub bass": Timbre("triangle", 3.0, 0.01, 2.0, 0.2, 0.06),
    "square bass": Timbre("square", 6.0, 0.005, 0.7, 0.3, 0.04),
}


def note(timbre: Timbre, frequency: float, seconds: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """One note of `seconds` plus its release -> float32 [N], peak near 1."""
    count = int((seconds + 3.0 * timbre.release) * sample_rate)
    time = np.arange(count, dtype=np.float32) / sample_rate
    cents = (-timbre.detune, 0.0, timbre.detune) if timbre.detune >= 4.0 else (timbre.detune,)
    sound = np.zeros(count, np.float32)
    for offset in cents:
        sound += _voice(timbre, frequency * 2.0 ** (offset / 1200.0), time, sample_rate, rng.uniform(0.0, _TAU))
    if timbre.breath:
        sound += timbre.breath * len(cents) * _breath(count, rng)
    envelope = np.minimum(1.0, time / timbre.attack)
    envelope *= np.exp(-np.maximum(0.0, time - seconds) / timbre.release)
    envelope[-min(count, 64) :] *= np.linspace(1.0, 0.0, min(count, 64), dtype=np.float32)
    sound *= envelope
    return sound / max(1e-6, float(np.abs(sound).max()))


def _voice(timbre: Timbre, frequency: float, time: np.ndarray, sample_rate: int, phase: float) -> np.ndarray:
    """Sum of the partials below 0.45 of the rate -> float32 [N]."""
    phases = _TAU * frequency * time.astype(np.float64) + phase
    if timbre.vibrato:
        depth = timbre.vibrato / 1200.0 * np.log(2.0) * frequency / 5.3
        phases += depth * np.minimum(1.0, np.maximum(0.0, time - 0.2) * 4.0) * (1.0 - np.cos(_TAU * 5.3 * time))
    damped = np.zeros_like(time)
    if np.isfinite(timbre.decay):
        damped = time * np.float32(timbre.damping / timbre.decay)
    base = (np.exp(1j * np.remainder(phases, _TAU)) * np.exp(-damped)).astype(np.complex64)
    power, out = np.ones_like(base), np.zeros_like(time)
    limit = min(40, int(4.0 * timbre.brightness) + 1, max(1, int(0.45 * sample_rate / frequency)))
    for k in range(1, limit + 1):
        power *= base
        weight = np.float32(_partial_weight(timbre.shape, k) / (1.0 + (k / timbre.brightness) ** 2))
        stretched = k * frequency * np.sqrt(1.0 + timbre.stretch * k * k)
        if weight < 1e-4 or stretched > 0.47 * sample_rate:
            continue
        if timbre.stretch:
            out += weight * np.exp(-k * damped) * np.sin(np.float32(_TAU) * np.remainder(stretched * time, 1.0))
        else:
            out += weight * power.imag
    if np.isfinite(timbre.decay):
        out *= np.exp(damped - time / np.float32(timbre.decay))
    return out


def _breath(count: int, rng: np.random.Generator) -> np.ndarray:
    """Noise between about 0.5 and 4 kHz at 24 kHz, float32 [count]."""
    noise = np.cumsum(rng.standard_normal(count + 24, dtype=np.float32), dtype=np.float64)
    smooth = noise[4:] - noise[:-4]
    return (smooth[12:-8] - smooth[:-20])[:count].astype(np.float32)


def _partial_weight(shape: str, k: int) -> float:
    if shape == "sine":
        return (1.0, 0.12, 0.25, 0.06, 0.08)[k - 1] if k <= 5 else 0.0
    if shape == "saw":
        return 1.0 / k
    odd = k % 2
    if shape == "square":
        return odd / k
    return odd / k**2 if k > 1 else 1.0


def drum_kit(name: str, sample_rate: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One-shots of a kit ("acoustic", "electronic", "soft") -> kick, snare, hat, open, shaker: float32 [N], peak 1."""
    electronic, soft = name == "electronic", name == "soft"
    kit = {
        "kick": _kick(
            sample_rate, 170.0 if electronic else 110.0, 46.0 if electronic else 52.0, 0.22 if soft else 0.16
        ),
        "snare": _snare(sample_rate, 0.06 if soft else 0.11, 1800.0 if electronic else 1100.0, rng),
        "hat": _noise_hit(sample_rate, 0.12, 0.022, rng),
        "open": _noise_hit(sample_rate, 0.5, 0.13, rng),
        "shaker": _noise_hit(sample_rate, 0.15, 0.035, rng, attack=0.02),
    }
    return {part: (hit / np.abs(hit).max()).astype(np.float32) for part, hit in kit.items()}


def _kick(sample_rate: int, start_hz: float, end_hz: float, decay: float) -> np.ndarray:
    time = np.arange(int(0.5 * sample_rate)) / sample_rate
    sweep = end_hz * time + (start_hz - end_hz) * 0.03 * (1.0 - np.exp(-time / 0.03))
    return np.sin(_TAU * sweep) * np.exp(-time / decay) + 0.25 * np.exp(-time / 0.002) * np.cos(_TAU * 1500.0 * time)


def _snare(sample_rate: int, decay: float, corner_hz: float, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(int(0.4 * sample_rate)) / sample_rate
    rattle = high_pass(rng.standard_normal(len(time)), corner_hz, sample_rate) * np.exp(-time / decay)
    body = np.sin(_TAU * 185.0 * time) * np.exp(-time / 0.06) + 0.6 * np.sin(_TAU * 330.0 * time) * np.exp(-time / 0.03)
    return 0.5 * rattle + 0.9 * body


def _noise_hit(
    sample_rate: int, seconds: float, decay: float, rng: np.random.Generator, attack: float = 0.0005
) -> np.ndarray:
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    hiss = high_pass(rng.standard_normal(len(time)), 6000.0, sample_rate)
    return hiss * np.minimum(1.0, time / attack) * np.exp(-time / decay)


def high_pass(wav: np.ndarray, corner_hz: float, sample_rate: int) -> np.ndarray:
    """Zero-phase second-order high-pass in the frequency domain, [N] -> [N]."""
    spectrum = np.fft.rfft(wav)
    ratio = (np.fft.rfftfreq(len(wav), 1.0 / sample_rate) / corner_hz) ** 2
    return np.fft.irfft(spectrum * (ratio / (1.0 + ratio)), len(wav))


def reverb(wav: np.ndarray, seconds: float, mix: float, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Add reverberation: convolution with noise that decays by 60 dB in `seconds`, highs first; [N] -> [N]."""
    count = int(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    noise = rng.standard_normal(count)
    dark = np.cumsum(noise - noise.mean())
    dark -= np.linspace(dark[0], dark[-1], count)
    tail = noise * np.exp(-12.0 * time / seconds) + 0.3 * high_pass(dark, 250.0, sample_rate) * np.exp(
        -6.9 * time / seconds
    )
    tail *= np.minimum(1.0, time / 0.012)
    tail /= np.sqrt(np.sum(tail**2))
    size = 1 << int(np.ceil(np.log2(len(wav) + count)))
    wet = np.fft.irfft(np.fft.rfft(wav, size) * np.fft.rfft(tail, size), size)[: len(wav)]
    return wav + mix * wet
