"""Further instruments for varied demo music: plucked, struck (FM), bowed and blown tones, wind, percussion.

A tone is made of the frequency at each of its samples, so that it can bend: `hertz` float [N], of which the first
`held` samples are held and the rest is the release. Tones are float32 [N], peak near 1.
"""

from collections.abc import Callable

import numpy as np
import scipy  # its parts are imported at their first use

from kinds.audio.preparing.demo_sounds import BASSES, CHORDS, LEADS, PADS, high_pass, note
from kinds.audio.preparing.varied_lines import CURVE_RATE, Line

_TAU = 2.0 * np.pi
RELEASE = 0.25  # seconds that a tone may go on after its end
_TOP = 0.45  # of the sample rate: the highest partial

Voice = Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray]
MAKERS: dict[str, tuple[Callable[[np.random.Generator], Voice], int, int]] = {}  # name -> (maker, low, high)


def instrument(low: int, high: int):
    """Registers a maker of voices under its name, with the compass of its pitches."""

    def register(maker: Callable[[np.random.Generator], Voice]):
        MAKERS[maker.__name__] = (maker, low, high)
        return maker

    return register


@instrument(33, 90)
def demo(rng: np.random.Generator) -> Voice:
    """An instrument of the demo songs."""
    bank = {**LEADS, **CHORDS, **PADS, **BASSES}
    timbre = bank[str(rng.choice(list(bank)))]

    def voice(hertz, held, rate, rng):
        sound = note(timbre, float(hertz[0]), held / rate, rate, rng)[: len(hertz)]
        return _faded(np.pad(sound, (0, len(hertz) - len(sound))), rate)

    return voice


@instrument(31, 93)
def plucked(rng: np.random.Generator) -> Voice:
    """A string after Karplus and Strong: noise in a loop of one period that loses its highs."""
    ring, soft, place = rng.uniform(0.4, 6.0), rng.uniform(0.0, 0.9), rng.uniform(0.08, 0.5)
    loss, damp = rng.uniform(0.05, 0.5), rng.uniform(0.02, 0.12)

    def voice(hertz, held, rate, rng):
        period = rate / float(hertz[0])
        absorbed = min(loss, 12.0 / float(hertz[0]) * (period / _TAU) ** 2)  # so that high tones ring for a moment
        whole = int(period - absorbed) - 1
        burst = np.zeros(len(hertz))
        length = min(len(burst), int(period))
        burst[:length] = scipy.signal.lfilter([1.0 - soft], [1.0, -soft], rng.uniform(-1.0, 1.0, length))
        burst = burst - np.roll(burst, max(1, int(place * period)))
        taps = np.convolve([1.0 - absorbed, absorbed], _delay(period - absorbed - whole))
        loop = np.zeros(whole + 5)
        loop[0] = 1.0
        loop[whole:] -= taps * 10.0 ** (-3.0 * period / rate / ring)
        sound = scipy.signal.lfilter([1.0], loop, burst)
        sound *= _released(len(sound), held, rate, damp)
        return _faded(_unit(sound), rate)

    return voice


def _delay(samples: float) -> np.ndarray:
    """Lagrange's interpolator: a filter of four taps that delays by 1 to 2 samples and hardly damps."""
    return np.array([np.prod([(samples - j) / (i - j) for j in range(4) if j != i]) for i in range(4)])


@instrument(33, 96)
def struck(rng: np.random.Generator) -> Voice:
    """Frequency modulation with a falling index: bells, electric pianos, brass, clangs."""
    ratio = float(rng.choice([0.5, 1.0, 1.0, 2.0, 3.0, 4.0, 1.414, 2.76, 3.5, 5.19]))
    index, fall = rng.uniform(0.3, 6.0), np.exp(rng.uniform(np.log(0.05), np.log(3.0)))
    decay = np.inf if rng.random() < 0.4 else rng.uniform(0.2, 4.0)
    attack = rng.uniform(0.001, 0.02) if np.isfinite(decay) else rng.uniform(0.005, 0.15)

    def voice(hertz, held, rate, rng):
        time = np.arange(len(hertz)) / rate
        top = float(hertz.max())
        bound = max(0.0, (_TOP * rate - top) / max(1.0, ratio * top) - 1.0)  # Carson's rule
        phase = _TAU * np.cumsum(hertz) / rate
        depth = min(index, bound) * (0.25 + 0.75 * np.exp(-time / fall))
        sound = np.sin(phase + depth * np.sin(ratio * phase))
        sound *= np.minimum(1.0, time / attack) * np.exp(-time / decay)
        return _faded(sound * _released(len(sound), held, rate, 0.08), rate)

    return voice


@instrument(36, 96)
def bowed(rng: np.random.Generator) -> Voice:
    """Falling partials through a few resonances, with a slow attack, vibrato and the noise of the bow."""
    slope, attack = rng.uniform(0.8, 1.6), rng.uniform(0.03, 0.3)
    peaks = np.exp(rng.uniform(np.log(250.0), np.log(4500.0), int(rng.integers(1, 5))))
    noise, depth = rng.uniform(0.0, 0.03), rng.uniform(0.0, 0.006)
    return _sustained(slope, 1.0, peaks, attack, noise, depth, float(rng.uniform(4.0, 7.0)))


@instrument(48, 98)
def blown(rng: np.random.Generator) -> Voice:
    """Few, often odd partials with breath: flutes, clarinets, pan pipes, organ pipes."""
    slope, even = rng.uniform(1.2, 3.0), rng.choice([1.0, 0.5, 0.1])
    peaks = np.exp(rng.uniform(np.log(500.0), np.log(3000.0), int(rng.integers(0, 2))))
    noise, depth = rng.uniform(0.005, 0.12), rng.uniform(0.0, 0.005)
    return _sustained(slope, float(even), peaks, rng.uniform(0.01, 0.12), noise, depth, float(rng.uniform(4.0, 6.5)))


def _sustained(
    slope: float, even: float, peaks: np.ndarray, attack: float, noise: float, depth: float, beat: float
) -> Voice:
    """A held tone: partial k at k^-slope (even ones times `even`), lifted at `peaks` Hz, with noise and vibrato."""

    def voice(hertz, held, rate, rng):
        time = np.arange(len(hertz)) / rate
        wave = np.clip((time - 0.15) / 0.3, 0.0, 1.0) * np.sin(_TAU * (beat * time + rng.random()))
        base = np.exp(1j * (_TAU * np.cumsum(hertz * (1.0 + depth * wave)) / rate)).astype(np.complex64)
        power, sound = np.ones_like(base), np.zeros(len(hertz), np.float32)
        for k in range(1, min(48, max(1, int(_TOP * rate / (1.02 * float(hertz.max()))))) + 1):
            power *= base
            lift = 1.0 + 2.5 * np.sum(np.exp(-0.5 * (np.log2(k * float(hertz[0]) / peaks) / 0.35) ** 2))
            sound += np.float32(k**-slope * lift * (even if k % 2 == 0 else 1.0)) * power.imag
        sound = _unit(sound) + noise * band_noise(len(hertz), 2.0 * float(hertz[0]), 1.2, rate, rng)
        return _faded(_unit(sound * np.minimum(1.0, time / attack) * _released(len(sound), held, rate, 0.07)), rate)

    return voice


def _released(count: int, held: int, rate: int, seconds: float) -> np.ndarray:
    """1 while held, then falling by 1/e in `seconds`."""
    return np.exp(-np.maximum(0.0, np.arange(count) - held) / (seconds * rate))


def _faded(sound: np.ndarray, rate: int) -> np.ndarray:
    """The last 10 ms faded out, float32."""
    tail = min(len(sound), rate // 100)
    sound = sound.astype(np.float32)
    sound[len(sound) - tail :] *= np.linspace(1.0, 0.0, tail, dtype=np.float32)
    return sound


def _unit(sound: np.ndarray) -> np.ndarray:
    return sound / max(1e-9, float(np.abs(sound).max()))


def band_noise(count: int, centre_hz: float, octaves: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Noise around a frequency, a Gaussian of `octaves` wide on both sides -> float [count], peak 1."""
    spectrum = np.fft.rfft(rng.standard_normal(max(2, count)))
    distance = np.log2(np.maximum(np.fft.rfftfreq(max(2, count), 1.0 / rate), 1.0) / centre_hz)
    return _unit(np.fft.irfft(spectrum * np.exp(-0.5 * (distance / octaves) ** 2), max(2, count))[:count])


def play_line(line: Line, voice: Voice, seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play a line with one of the instruments here -> float32 [round(seconds * rate)], peak 1 unless silent."""
    count = round(seconds * rate)
    track = np.zeros(count, np.float32)
    for tone in line.tones:
        start, held = round(tone.start * rate), max(1, round(tone.seconds * rate))
        if start >= count:
            continue
        length = min(held, count) + int(RELEASE * rate)
        hertz = np.full(length, 440.0 * 2.0 ** ((tone.pitch - 69) / 12.0))
        if line.bend is not None:
            hertz *= 2.0 ** (_at_samples(line.bend, start, length, rate) / 12.0)
        sound = voice(hertz, held, rate, rng)[: count - start]
        track[start : start + len(sound)] += np.float32(tone.velocity) * sound
    if line.swell is not None:
        track *= _at_samples(line.swell, 0, count, rate).astype(np.float32)
    return _unit(track)


def _at_samples(curve: np.ndarray, start: int, count: int, rate: int) -> np.ndarray:
    """A curve at `count` samples from `start`, float64 [count]."""
    times = np.arange(len(curve)) / CURVE_RATE
    return np.interp((start + np.arange(count)) / rate, times, curve)


def wind(seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Noise that swells and whose pitch wanders -> float32 [round(seconds * rate)], peak 1."""
    count, size = round(seconds * rate), 2048
    frames = count // (size // 2) + 3
    window = np.hanning(size + 1)[:size]
    spectra = np.fft.rfft(rng.standard_normal((frames, size)) * window, axis=1)
    times = np.arange(frames) * size / 2 / rate
    wander = np.sin(_TAU * (times / rng.uniform(2.0, 10.0) + rng.random()))
    centre = np.exp(rng.uniform(np.log(300.0), np.log(5000.0))) * 2.0 ** (rng.uniform(0.2, 1.5) * wander)
    distance = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / rate), 10.0)[None] / centre[:, None])
    gust = 0.5 + 0.5 * np.sin(_TAU * (times / rng.uniform(1.5, 8.0) + rng.random()))
    spectra *= np.exp(-0.5 * (distance / rng.uniform(0.15, 1.5)) ** 2) * gust[:, None] ** rng.uniform(0.5, 3.0)
    pieces = np.fft.irfft(spectra, size, axis=1) * window
    track = np.zeros((frames + 1) * size // 2)
    for i, piece in enumerate(pieces):
        track[i * size // 2 : i * size // 2 + size] += piece
    return _unit(track[size // 2 : size // 2 + count]).astype(np.float32)


def play_drums(line: Line, seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Play a line of drums, each with a random sound of its own -> float32 [round(seconds * rate)], peak 1."""
    count = round(seconds * rate)
    track = np.zeros(count, np.float32)
    sounds = {pitch: _stroke(pitch, rate, rng) for pitch in sorted({tone.pitch for tone in line.tones})}
    for tone in line.tones:
        start = min(count, round(tone.start * rate))
        sound = sounds[tone.pitch][: count - start]
        track[start : start + len(sound)] += np.float32(tone.velocity) * sound
    return _unit(track)


def _stroke(key: int, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A drum: low keys are membranes, high ones wood, metal or noise -> float32 [N], peak 1."""
    kind = "membrane" if key < 38 else str(rng.choice(["membrane", "bar", "metal", "noise"]))
    lowest = {"membrane": 45.0, "bar": 300.0, "metal": 400.0, "noise": 800.0}[kind]
    base = lowest * 2.0 ** rng.uniform(0.0, 2.3)
    decay = np.exp(rng.uniform(np.log(0.02), np.log({"membrane": 0.3, "bar": 0.15, "metal": 1.0, "noise": 0.4}[kind])))
    time = np.arange(int(min(2.0, 6.0 * decay + 0.02) * rate)) / rate
    ratios = {"membrane": (1.0, 1.59, 2.14, 2.3), "bar": (1.0, 2.76, 5.4), "metal": tuple(rng.uniform(1.0, 9.0, 9))}
    sound = np.zeros(len(time))
    for i, ratio in enumerate(ratios.get(kind, ())):
        drop = 1.0 + (0.8 * np.exp(-time / 0.03) if kind == "membrane" else 0.0)
        if base * ratio * 1.8 < _TOP * rate:
            phase = _TAU * (base * ratio * np.cumsum(drop * np.ones_like(time)) / rate + rng.random())
            sound += np.sin(phase) * np.exp(-time * (1.0 + 0.5 * i) / decay) / (1.0 + 0.5 * i)
    noise = {"membrane": 0.2, "bar": 0.05, "metal": 0.2, "noise": 1.0}[kind] * rng.uniform(0.2, 1.0)
    sound += noise * high_pass(rng.standard_normal(len(time)), base, rate) * np.exp(-time / (0.7 * decay))
    return _faded(_unit(sound * np.minimum(1.0, time / 0.001)), rate)
