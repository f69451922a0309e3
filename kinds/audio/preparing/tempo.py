"""Estimates the tempo of a recording from the rhythm of its onsets.

Ellis (2007), "Beat tracking by dynamic programming", sections 3.1 and 3.2: the autocorrelation of an onset envelope,
weighted around usual tempos. Differences: a lag counts by the mean of its own correlation and those of two and four
beats, which finds the beat of demo songs more often, and is refined at its multiples, which fix it more precisely.
N audio samples, T frames, F frequency bins, L lags in frames.
"""

import numpy as np
import scipy  # its parts are imported at their first use

FRAME_RATE = 200  # frames a second, more or less: a frame is a whole number of samples
LOWEST, HIGHEST = 40.0, 240.0  # beats a minute
MIN_SECONDS, MAX_SECONDS = 4.0, 120.0
USUAL = 110.0  # beats a minute, in the middle of music's; an octave from there is a standard deviation
_WINDOW_SECONDS, _BANDS, _FLOOR_DB = 0.032, 40, 80.0
_WEAKEST = 0.13  # correlation below which there is no beat; that of noise of five seconds
_FLATTEST = 0.05  # dB by which onsets stand out at least
_SLACK = 2  # frames by which beats may be early or late
_MULTIPLES = (2, 4, 8, 16)


def estimate_tempo(wav: np.ndarray, sample_rate: int) -> float | None:
    """Beats a minute of a recording [N], 40 to 240; None where it has no beat or lasts less than four seconds.

    Estimates may be off by a factor of two or three halves, as those of listeners are.
    """
    wav = wav[: round(MAX_SECONDS * sample_rate)]
    if len(wav) < MIN_SECONDS * sample_rate:
        return None
    onsets_T = _onsets(wav, sample_rate)
    correlation_L = _autocorrelation(onsets_T)
    lag, fit = _beat(correlation_L)
    if fit < _WEAKEST or onsets_T.std() < _FLATTEST:
        return None
    frame_rate = sample_rate / (sample_rate // FRAME_RATE)
    return 60.0 * frame_rate / _refined(correlation_L, lag)


def _onsets(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """How much louder each frame is than the one before, summed over mel bands, without slow changes -> [T]."""
    hop, window = sample_rate // FRAME_RATE, round(_WINDOW_SECONDS * sample_rate)
    frames_TN = np.lib.stride_tricks.sliding_window_view(wav, window)[::hop]
    power_TF = np.concatenate(
        [
            np.abs(np.fft.rfft(frames_TN[start : start + 1024] * np.hanning(window), axis=1)) ** 2
            for start in range(0, len(frames_TN), 1024)
        ]
    )
    edges = np.searchsorted(np.fft.rfftfreq(window, 1.0 / sample_rate), _mel_edges(0.45 * sample_rate))
    starts = np.unique(edges)
    decibels = 10.0 * np.log10(np.add.reduceat(power_TF, starts[:-1], axis=1) + 1e-10)
    decibels = np.maximum(decibels, decibels.max() - _FLOOR_DB)
    rise_T = np.maximum(np.diff(decibels, axis=0), 0.0).mean(axis=1)
    high_pass = scipy.signal.butter(1, 0.4, "high", fs=FRAME_RATE)
    return scipy.ndimage.gaussian_filter1d(scipy.signal.lfilter(*high_pass, rise_T - rise_T.mean()), 0.01 * FRAME_RATE)


def _mel_edges(highest: float) -> np.ndarray:
    """Edges in Hz of bands of equal width on the mel scale."""
    return 700.0 * (10.0 ** (np.linspace(0.0, np.log10(1.0 + highest / 700.0), _BANDS + 1)) - 1.0)


def _autocorrelation(onsets_T: np.ndarray) -> np.ndarray:
    """Correlation of an envelope with itself, 1 at lag 0 -> [L]; zeros for a constant one."""
    size = scipy.fft.next_fast_len(2 * len(onsets_T))
    correlation_L = np.fft.irfft(np.abs(np.fft.rfft(onsets_T, size)) ** 2, size)[: len(onsets_T)]
    return correlation_L / correlation_L[0] if correlation_L[0] > 0.0 else np.zeros_like(correlation_L)


def _beat(correlation_L: np.ndarray) -> tuple[int, float]:
    """(lag of a beat, mean correlation there and at two and four beats)."""
    lags = np.arange(int(60.0 * FRAME_RATE / HIGHEST), int(60.0 * FRAME_RATE / LOWEST) + 1)
    padded_L = np.pad(scipy.ndimage.maximum_filter1d(correlation_L, 2 * _SLACK + 1), (0, max(0, 4 * lags[-1] + 1)))
    fit = (padded_L[lags] + padded_L[2 * lags] + padded_L[4 * lags]) / 3.0
    octaves = np.log2(lags / (60.0 * FRAME_RATE / USUAL))
    best = int((fit * np.exp(-0.5 * octaves**2)).argmax())
    return int(lags[best]), float(fit[best])


def _refined(correlation_L: np.ndarray, lag: int) -> float:
    """A lag in fractions of a frame: that of the peaks near its multiples, as long as there are any."""
    refined = _peak(correlation_L, lag, 2)
    for multiple in _MULTIPLES:
        near = round(multiple * refined)
        if near + 4 > len(correlation_L) // 2:
            break
        peak = _peak(correlation_L, near, 3)
        if correlation_L[round(peak)] < 0.5 * correlation_L[lag]:
            break
        refined = peak / multiple
    return refined


def _peak(correlation_L: np.ndarray, near: int, reach: int) -> float:
    """Where the parabola through the highest value near a lag and its neighbours has its top."""
    at = near - reach + int(correlation_L[near - reach : near + reach + 1].argmax())
    left, middle, right = correlation_L[at - 1 : at + 2]
    bend = left - 2.0 * middle + right
    return at + (float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0.0 else 0.0)
