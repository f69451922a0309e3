"""The last steps of varied demo music: room, tilt of the spectrum, fades, silence, level. N audio samples."""

import numpy as np
import scipy  # its parts are imported at their first use

from kinds.audio.preparing.demo_sounds import reverb

CEILING = 0.99
ANY_LEVEL_SHARE = 0.2
QUIETEST_DBFS, LOUDEST_RMS_DBFS, SOFTEST_RMS_DBFS = -50.0, -12.0, -20.0
_MOST_LIMITING = 2.5  # how far above the ceiling the limiter may be driven
_LOWEST_HZ = 10.0  # an offset is removed by a high-pass, so that silence stays silent
_EARLIER = 0.004  # seconds


def finish(wav: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Give a dry song its room, colour, shape and level: finite float [N] -> float32 [N], peak at most 0.99."""
    wav = scipy.signal.lfilter(*scipy.signal.butter(1, _LOWEST_HZ, "high", fs=sample_rate), wav.astype(np.float64))
    if len(wav) < sample_rate // 20:
        return _levelled(wav, sample_rate, rng)
    if rng.random() > 0.3:
        wav = reverb(wav, float(rng.uniform(0.3, 2.5)), float(rng.uniform(0.04, 0.4)), sample_rate, rng)
    if rng.random() < 0.3:
        wav = tilted(wav, float(rng.uniform(-4.0, 3.0)), sample_rate)
    return _levelled(_shaped(wav, sample_rate, rng), sample_rate, rng)


def tilted(wav: np.ndarray, decibels: float, sample_rate: int) -> np.ndarray:
    """Raise (or lower) the spectrum by `decibels` per octave, by at most 15 dB, around 1 kHz: [N] -> [N]."""
    frequencies = np.maximum(np.fft.rfftfreq(len(wav), 1.0 / sample_rate), 1.0)
    gain = np.clip(decibels * np.log2(frequencies / 1000.0), -15.0, 15.0)
    return np.fft.irfft(np.fft.rfft(wav) * 10.0 ** (gain / 20.0), len(wav))


def _shaped(wav: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """With a fade in, a fade out, a short silence, each in few songs."""
    seconds = len(wav) / sample_rate
    time = np.arange(len(wav)) / sample_rate
    if rng.random() < 0.12:
        wav = wav * np.minimum(1.0, time / rng.uniform(0.05, 0.3) / seconds)
    if rng.random() < 0.12:
        wav = wav * np.minimum(1.0, (seconds - time) / rng.uniform(0.05, 0.4) / seconds)
    if rng.random() < 0.1:
        start, length = rng.uniform(0.0, 0.9) * seconds, rng.uniform(0.1, 1.5)
        outside = np.maximum(start - time, time - start - length)
        wav = wav * np.clip(outside / rng.uniform(0.002, 0.1), 0.0, 1.0)
    return wav


def _levelled(wav: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """At a random level: a fifth of the songs by their peak, the others by their RMS, with limited peaks."""
    peak = float(np.abs(wav).max(initial=0.0))
    if peak < 1e-9:
        return np.zeros(len(wav), np.float32)
    if rng.random() < ANY_LEVEL_SHARE:
        gain = 10.0 ** (rng.uniform(QUIETEST_DBFS, 0.0) / 20.0) / peak
        return np.clip(wav * min(gain, CEILING / peak), -CEILING, CEILING).astype(np.float32)
    level = 10.0 ** (rng.uniform(SOFTEST_RMS_DBFS, LOUDEST_RMS_DBFS) / 20.0) / float(np.sqrt(np.mean(wav**2)))
    return limited(wav * min(level, _MOST_LIMITING * CEILING / peak), sample_rate).astype(np.float32)


def limited(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Peaks above the ceiling taken down by a gain that sets in a few milliseconds earlier: [N] -> [N]."""
    gain = np.minimum(1.0, CEILING / np.maximum(np.abs(wav), 1e-9))
    if len(wav) == 0 or gain.min() == 1.0:
        return wav
    size = 2 * int(_EARLIER * sample_rate) + 1
    smooth = scipy.ndimage.uniform_filter1d(scipy.ndimage.minimum_filter1d(gain, size), size)
    return np.clip(wav * smooth, -CEILING, CEILING)
