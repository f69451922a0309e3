"""The rungs of the ladder of audio: clips that are music in part, and noise of several kinds; see `evaluation.ladder`.

Shapes: B clips, N samples, D latent channels, T frames, G grains, W samples of a grain.
"""

from collections.abc import Callable

import numpy as np

from data.parallel import map_batches
from evaluation.ladder import RUNGS

GRAIN = 2048  # 85 ms: long enough to hold a note's harmonics apart


def make_rung(name: str, clips_BN: np.ndarray, codec, seed: int = 0, device: str = "cpu") -> np.ndarray:
    """One rung of the ladder from clips float32 [B, N] -> float32 [B, N]. KeyError for a name not in RUNGS.

    codec: as `audio_codecs` opens them, on `device`. The same seed gives the same rung on one machine.
    """

    def through_codec(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        latents_BDT = change(encode_clips(codec, clips_BN, device=device))
        return decode_clips(codec, latents_BDT, clips_BN.shape[1], device=device)

    rng = np.random.default_rng([seed, RUNGS.index(name)]) if name in RUNGS else None
    makers: dict[str, Callable[[], np.ndarray]] = {
        "floor": lambda: clips_BN,
        "round_trip": lambda: through_codec(lambda latents_BDT: latents_BDT),
        "time_shuffled": lambda: shuffle_grains(clips_BN, rng),
        "phase_randomised": lambda: randomise_phases(clips_BN, rng),
        "gaussian": lambda: through_codec(lambda latents_BDT: gaussian_latents(latents_BDT, rng)),
        "one_clip": lambda: np.repeat(clips_BN[rng.integers(len(clips_BN))][None], len(clips_BN), axis=0),
        "white_noise": lambda: white_noise(clips_BN, rng),
    }
    return makers[name]()


def shuffle_grains(clips_BN: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut each clip in half-overlapping grains of 85 ms, add them up again in random order -> [B, N].

    The window is the root of a Hann window: unrelated grains add in power, so this keeps the level constant.
    """
    count, samples = clips_BN.shape
    half = GRAIN // 2
    grains = -(-samples // half) + 1
    padded_BN = np.pad(clips_BN, ((0, 0), (half, (grains + 1) * half - samples - half)), mode="reflect")
    window_W = np.sqrt(np.hanning(GRAIN + 1)[:-1]).astype(np.float32)
    grains_BGW = np.lib.stride_tricks.sliding_window_view(padded_BN, GRAIN, axis=1)[:, ::half] * window_W
    order_BG = rng.permuted(np.tile(np.arange(grains_BGW.shape[1]), (count, 1)), axis=1)
    grains_BGW = np.take_along_axis(grains_BGW, order_BG[:, :, None], axis=1)
    out_BGH = np.zeros((count, grains_BGW.shape[1] + 1, half), np.float32)
    out_BGH[:, :-1] += grains_BGW[:, :, :half]
    out_BGH[:, 1:] += grains_BGW[:, :, half:]
    return out_BGH.reshape(count, -1)[:, half : half + samples]


def randomise_phases(clips_BN: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give every frequency of the whole clip a random phase (Theiler et al. 1992): same spectrum, no events."""
    spectrum_BF = np.fft.rfft(clips_BN)
    turn_BF = np.exp(2j * np.pi * rng.random(spectrum_BF.shape))
    turn_BF[:, 0] = 1
    if clips_BN.shape[1] % 2 == 0:
        turn_BF[:, -1] = 1
    return np.fft.irfft(spectrum_BF * turn_BF, n=clips_BN.shape[1]).astype(np.float32)


def white_noise(clips_BN: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian white noise at the RMS of each clip -> [B, N]."""
    rms_B1 = np.sqrt(np.square(clips_BN, dtype=np.float64).mean(1, keepdims=True))
    return (rng.standard_normal(clips_BN.shape, dtype=np.float32) * rms_B1).astype(np.float32)


def gaussian_latents(latents_BDT: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames drawn independently from a Gaussian with the mean and covariance [D, D] of all frames -> [B, D, T]."""
    clips, channels, frames = latents_BDT.shape
    rows_RD = latents_BDT.transpose(0, 2, 1).reshape(-1, channels).astype(np.float64)
    variance_D, axes_DD = np.linalg.eigh(np.cov(rows_RD, rowvar=False))
    root_DD = axes_DD * np.sqrt(np.maximum(variance_D, 0))
    drawn_RD = rows_RD.mean(0) + rng.standard_normal(rows_RD.shape) @ root_DD.T
    return drawn_RD.reshape(clips, frames, channels).transpose(0, 2, 1).astype(np.float32)


def encode_clips(codec, clips_BN: np.ndarray, batch: int = 2, device: str = "cpu") -> np.ndarray:
    """Audio [B, N] -> latents float32 [B, D, T]."""
    return map_batches(lambda clips: codec.encode(clips[:, None]), clips_BN, batch, device)


def decode_clips(codec, latents_BDT: np.ndarray, samples: int, batch: int = 2, device: str = "cpu") -> np.ndarray:
    """Latents [B, D, T] -> audio float32 [B, samples], trimmed. On a CPU small batches stay in its cache."""
    return map_batches(lambda latents: codec.decode(latents)[:, 0, :samples], latents_BDT, batch, device)
