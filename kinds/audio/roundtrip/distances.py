"""Distances between a clip and its round trip: log spectra at several resolutions, and a psychoacoustic rating.

Shapes: B clips, N samples, F frequency bins, T frames.
"""

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kinds.audio.files import SAMPLE_RATE
from runtime.cores import available_cores

RESOLUTIONS = (512, 1024, 2048, 4096)  # samples of a frame: 21 to 171 ms
FLOOR_DB = -80.0  # under the mean power of a clip's frames; what lies lower is not compared
ZIMTOHRLI_RATE = 48_000
ZIMTOHRLI_LEVEL = 0.1  # both signals are scaled by the gain that brings the original to this RMS (-20 dBFS)


def log_spectral_distances(a_BN: np.ndarray, b_BN: np.ndarray, size: int) -> np.ndarray:
    """Root mean square difference of the log power spectra of each clip in dB -> float64 [B].

    Frames of `size` samples under a Hann window, a quarter apart (Gray & Markel 1976, averaged over the clip's frames).
    """
    return np.array([_distance(a_N, b_N, size) for a_N, b_N in zip(a_BN, b_BN, strict=True)])


def zimtohrli_missing() -> str | None:
    """Why there is no Zimtohrli rating, and how to get one; None if there is."""
    if importlib.util.find_spec("zimtohrli"):
        return None
    return "the Zimtohrli rating needs the package zimtohrli: pip install zimtohrli"


def zimtohrli_ratings(original_BN: np.ndarray, decoded_BN: np.ndarray) -> np.ndarray:
    """Mean opinion score from 1 to 5 that Zimtohrli predicts for each decoded clip -> float64 [B]."""
    with ThreadPoolExecutor(available_cores()) as pool:
        return np.array(list(pool.map(_rating, original_BN, decoded_BN)))


def _distance(a_N, b_N, size):
    a_FT, b_FT = (_power(x_N, size) for x_N in (a_N, b_N))
    floor = max(a_FT.mean(), 1e-20) * 10 ** (FLOOR_DB / 10)
    difference_FT = 10 * np.log10((a_FT + floor) / (b_FT + floor))
    return np.sqrt(np.square(difference_FT).mean(0)).mean()


def _power(x_N, size):
    frames_TN = np.lib.stride_tricks.sliding_window_view(x_N, size)[:: size // 4]
    return np.square(np.abs(np.fft.rfft(frames_TN * np.hanning(size + 1)[:-1].astype(np.float32)))).T


def _rating(original_N, decoded_N):
    import soxr
    from zimtohrli import mos_from_signals

    gain = ZIMTOHRLI_LEVEL / max(float(np.sqrt(np.square(original_N, dtype=np.float64).mean())), 1e-5)
    pair = (soxr.resample(x_N.astype(np.float32) * np.float32(gain), SAMPLE_RATE, ZIMTOHRLI_RATE)
            for x_N in (original_N, decoded_N))  # fmt: skip
    return float(mos_from_signals(*(np.clip(x_N, -1, 1).astype(np.float32) for x_N in pair)))
