"""Clip-level descriptors of music: one row of named numbers for one clip of audio.

They are computed on the waveform, so that they do not depend on a codec, and they describe a whole clip, because what
distinguishes music from coloured noise (onsets, decays, held notes, chord changes) is not visible in a single frame.
All are standard descriptors of music information retrieval and of sound texture; none is fitted to a generator. They
do not depend on the loudness of a clip: it is first scaled to a mean power of one.

    group   what                                                            source
    env     mean and spread over time of the log spectrum in 20 mel bands   Davis & Mermelstein 1980; Aucouturier 2004
    mod     power of the envelopes' modulation at 0.5-16 Hz, 5 band groups  McDermott & Simoncelli 2011; Pampalk 2002
    tex     skewness of, and correlation between, the groups' envelopes     McDermott & Simoncelli 2011
    onset   level, spread, concentration, rate and periodicity of the flux  Dixon 2006; Lartillot 2008 (pulse clarity)
    chroma  concentration and change of chroma, its pitch-class transform   Fujishima 1999; Harte 2006; Bernardes 2016
    peak    flatness and crest in six octaves                               Peeters 2004; MPEG-7 (ISO/IEC 15938-4)
    harm    harmonicity; persistence of spectral fine structure             Boersma 1993; Ono 2008
    dyn     loudness dynamics: spread, range, skewness, rests, peak factor  EBU Tech 3342; Peeters 2004

Shapes: B clips, N samples, T frames, F frequency bins, M mel bands, G groups of bands, C pitch classes.
"""

from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import avg_pool1d, max_pool1d

from audio_codecs.filters import oshaughnessy_filters
from data.parallel import map_batches
from evaluation import metrics
from evaluation.scorer import Described
from kinds.audio.files import SAMPLE_RATE

MIN_SAMPLES = 2 * SAMPLE_RATE  # the slowest modulation band (0.5-1 Hz) needs two seconds

FRAME, HOP = 2048, 480  # 85 ms, 50 frames a second: envelopes, onsets, dynamics
LONG_FRAME, LONG_HOP = 4096, 2048  # 171 ms, 11.7 frames a second: pitch, 5.9 Hz a bin
FRAMES_PER_S, LONG_FRAMES_PER_S = SAMPLE_RATE / HOP, SAMPLE_RATE / LONG_HOP

BANDS, GROUPS = 20, 5
MOD_EDGES_HZ = (0.5, 1, 2, 4, 8, 16)
OCTAVE_EDGES_HZ = (188, 375, 750, 1500, 3000, 6000, 12000)
PERSISTENCE_EDGES_HZ = (200, 1000, 4000, 10000)
CHROMA_RANGE_HZ = (250, 5000)  # below, a semitone is narrower than the long frame resolves
PITCH_RANGE_HZ = (80, 1000)
FLOOR = 1e-6  # 60 dB below the clip's mean power: inaudible beside it
SILENT_RMS = 1e-5  # -100 dBFS: below, a clip is not scaled up any further


def clip_features(audio_BN: np.ndarray | torch.Tensor, batch: int = 8, device: str = "cpu") -> np.ndarray:
    """Descriptors of clips: audio [B, N] at 24 kHz (numpy or torch, any level) -> float64 [B, len(FEATURE_NAMES)].

    Clips need two seconds or more (MIN_SAMPLES) and finite samples; ValueError otherwise. Columns: FEATURE_NAMES.
    """
    if len(audio_BN.shape) != 2 or audio_BN.shape[1] < MIN_SAMPLES:
        raise ValueError(f"clips must be [B, N] with N >= {MIN_SAMPLES} samples (2 s at 24 kHz), got {audio_BN.shape}")
    if not len(audio_BN):
        return np.zeros((0, len(FEATURE_NAMES)))
    features_BF = map_batches(_rows, audio_BN, batch, device).astype(np.float64)
    if not np.isfinite(features_BF).all():
        raise ValueError("clips hold NaN or infinite samples")
    return features_BF


def describe(audio_BN: np.ndarray, device: str = "cpu") -> Described:
    """Audio [B, N] at 24 kHz -> the input of the scorer. ValueError as in `clip_features`."""
    features_NF = clip_features(audio_BN, device=device)
    return Described(features_NF, metrics.silent_clips(audio_BN), metrics.clipped_clips(audio_BN))


def _rows(audio_BN):
    return torch.cat([values for _, values in _described(audio_BN.float())], dim=1)


def _described(audio_BN):
    """All groups of one batch, in order: list of (names, values [B, len(names)])."""
    rms_B1 = audio_BN.square().mean(1, keepdim=True).sqrt().clamp_min(SILENT_RMS)
    x_BN = audio_BN / rms_B1
    power_BFT = _power(x_BN, FRAME, HOP)
    level_BMT = _decibels(mel_filters(BANDS, FRAME, x_BN.device) @ power_BFT)
    group_BGT = level_BMT.unflatten(1, (GROUPS, BANDS // GROUPS)).mean(2)
    long_BFT = _power(x_BN, LONG_FRAME, LONG_HOP)
    return [
        *_envelope(level_BMT),
        *_modulation(group_BGT),
        *_texture(group_BGT),
        *_onsets(level_BMT),
        *_chroma(long_BFT),
        *_peakiness(long_BFT),
        *_harmonicity(long_BFT),
        *_dynamics(x_BN),
    ]


# -- groups --


def _envelope(level_BMT):
    """Mean (dB) of the bands, and standard deviation over time (dB)."""
    return [
        (_numbered("env_mean", BANDS), level_BMT.mean(2)),
        (_numbered("env_std", BANDS), level_BMT.std(2)),
    ]


def _modulation(group_BGT):
    """Power (dB) of the dB-envelopes' spectrum in five bands of modulation rate, for each group of mel bands."""
    window_T = torch.hann_window(group_BGT.shape[2], device=group_BGT.device)
    centred_BGT = group_BGT - group_BGT.mean(2, keepdim=True)
    power_BGR = torch.fft.rfft(centred_BGT * window_T).abs().square() / window_T.square().sum() / group_BGT.shape[2]
    rate_R = torch.fft.rfftfreq(group_BGT.shape[2], 1 / FRAMES_PER_S)
    bands = [power_BGR[:, :, band].sum(2) for band in _bands(rate_R, MOD_EDGES_HZ)]
    names = [f"mod_group{g}_{low:g}-{high:g}hz" for low, high in _pairs(MOD_EDGES_HZ) for g in range(GROUPS)]
    return [(names, 10 * torch.log10(torch.cat(bands, dim=1) + 0.01))]  # ignores ripple of 0.1 dB


def _texture(group_BGT):
    """Skewness of each group's envelope (decays are skewed, noise is not) and correlation of neighbouring groups."""
    centred_BGT = group_BGT - group_BGT.mean(2, keepdim=True)
    var_BG = centred_BGT.square().mean(2) + 0.25  # half a dB: a constant envelope has no shape
    skew_BG = centred_BGT.pow(3).mean(2) / var_BG.pow(1.5)
    product_BG = (centred_BGT[:, 1:] * centred_BGT[:, :-1]).mean(2)
    corr_BG = product_BG / (var_BG[:, 1:] * var_BG[:, :-1]).sqrt()
    return [(_numbered("tex_skew", GROUPS), skew_BG), (_numbered("tex_corr", GROUPS - 1), corr_BG)]


def _onsets(level_BMT):
    """Statistics of the half-wave rectified rise of the bands over 40 ms (dB), and its peaks a second."""
    flux_BT = (level_BMT[:, :, 2:] - level_BMT[:, :, :-2]).clamp_min(0).mean(1)
    mean_B1, std_B1 = flux_BT.mean(1, keepdim=True), flux_BT.std(1, keepdim=True)
    top = max(1, flux_BT.shape[1] // 10)
    share_B1 = flux_BT.topk(top).values.sum(1, keepdim=True) / (flux_BT.sum(1, keepdim=True) + 0.1)
    local_BT = max_pool1d(flux_BT[:, None], 7, 1, 3)[:, 0]
    peak_BT = (flux_BT == local_BT) & (flux_BT > mean_B1 + std_B1) & (flux_BT > 1)
    rate_B1 = peak_BT.sum(1, keepdim=True) / (flux_BT.shape[1] / FRAMES_PER_S)
    values = [(mean_B1 + 0.1).log(), std_B1 / (mean_B1 + 0.1), share_B1, rate_B1, _pulse_clarity(flux_BT)]
    return [(["onset_mean", "onset_spread", "onset_top_share", "onset_rate", "onset_pulse"], torch.cat(values, 1))]


def _pulse_clarity(flux_BT):
    """Highest autocorrelation of the flux between 0.2 and 1 s (300 to 60 beats a minute) -> [B, 1] in -1..1."""
    centred_BT = flux_BT - flux_BT.mean(1, keepdim=True)
    frames = flux_BT.shape[1]
    corr_BT = torch.fft.irfft(torch.fft.rfft(centred_BT, 2 * frames).abs().square())[:, :frames]
    overlap_T = 1 - torch.arange(frames, device=flux_BT.device) / frames
    corr_BT = corr_BT / (corr_BT[:, :1] + 0.01 * frames) / overlap_T
    return corr_BT[:, int(0.2 * FRAMES_PER_S) : int(FRAMES_PER_S)].amax(1, keepdim=True)


def _chroma(long_BFT):
    """Chroma of frames and of the clip: concentration (1 - entropy / log 12), change, pitch-class Fourier magnitudes.

    The magnitudes |sum_c chroma_c exp(-2 pi i j c / 12)|, j = 1..6, do not depend on the key: 5 is diatonicity,
    4 minor thirds, 3 major thirds (Harte et al. 2006; Bernardes et al. 2016).
    """
    energy_BCT = chroma_filters(long_BFT.device) @ long_BFT
    weight_BT = energy_BCT.sum(1).sqrt() + 1e-9
    chroma_BCT = energy_BCT / (energy_BCT.sum(1, keepdim=True) + 1e-9)
    frame_BT = _concentration(chroma_BCT)
    mean_B = (frame_BT * weight_BT).sum(1) / weight_BT.sum(1)
    clip_BC = (chroma_BCT * weight_BT[:, None]).sum(2) / weight_BT.sum(1, keepdim=True)
    clip_BC = clip_BC / (clip_BC.sum(1, keepdim=True) + 1e-9)
    short_BT, long_BT = (_change(chroma_BCT, round(lag * LONG_FRAMES_PER_S)) for lag in (0.25, 1.0))
    moves = [mean_B, frame_BT.std(1), _concentration(clip_BC), short_BT.mean(1), short_BT.std(1), long_BT.mean(1)]
    names = ["frame", "frame_std", "clip", "change_quarter_s", "change_quarter_s_std", "change_1s"]
    return [
        ([f"chroma_{name}" for name in names], torch.stack(moves, dim=1)),
        ([f"chroma_dft{j}" for j in range(1, 7)], torch.fft.rfft(clip_BC, dim=1)[:, 1:].abs()),
    ]


def _peakiness(long_BFT):
    """Flatness (geometric over arithmetic mean, dB <= 0) and crest (largest over mean, dB >= 0) in six octaves."""
    hz_F = torch.fft.rfftfreq(LONG_FRAME, 1 / SAMPLE_RATE)
    flats, crests = [], []
    for band in _bands(hz_F, OCTAVE_EDGES_HZ):
        band_BFT = long_BFT[:, band] + FLOOR / (band.stop - band.start)
        mean_BT = band_BFT.mean(1)
        flats.append(10 * (band_BFT.log10().mean(1) - mean_BT.log10()))
        crests.append(10 * (band_BFT.amax(1) / mean_BT).log10())
    flat_BOT, crest_BOT = torch.stack(flats, 1), torch.stack(crests, 1)
    octaves = len(OCTAVE_EDGES_HZ) - 1
    return [
        (_numbered("peak_flat", octaves), flat_BOT.mean(2)),
        (_numbered("peak_flat_std", octaves), flat_BOT.std(2)),
        (_numbered("peak_crest", octaves), crest_BOT.mean(2)),
    ]


def _harmonicity(long_BFT):
    """Largest normalised autocorrelation at pitch periods (mean, std), and persistence of spectral lines.

    Persistence: correlation of the log spectrum's fine structure (what is left after a running mean over 15 bins) of
    frames 171 ms apart, which share no sample: near 0 in noise, near 1 in held notes.
    """
    acf_BLT = torch.fft.irfft(long_BFT, dim=1)
    window_L = torch.fft.irfft(torch.fft.rfft(torch.hann_window(LONG_FRAME), 2 * LONG_FRAME).abs().square())
    taper_L = (window_L / window_L[0]).to(long_BFT.device)
    low, high = (round(SAMPLE_RATE / hz) for hz in reversed(PITCH_RANGE_HZ))
    ratio_BLT = acf_BLT[:, low:high] / (acf_BLT[:, :1] + FLOOR) / taper_L[low:high, None]
    best_BT = ratio_BLT.amax(1).clamp(0, 1)
    log_BFT = 10 * (long_BFT + FLOOR / LONG_FRAME).log10()
    fine_BFT = log_BFT[:, 7:-7] - _running_mean(log_BFT, 15)
    lag = LONG_FRAME // LONG_HOP
    hz_F = torch.fft.rfftfreq(LONG_FRAME, 1 / SAMPLE_RATE)[7:-7]
    stay = [_correlation(fine_BFT[:, m, lag:], fine_BFT[:, m, :-lag]) for m in _bands(hz_F, PERSISTENCE_EDGES_HZ)]
    names = ["harm_mean", "harm_std", *_numbered("harm_persistence", len(stay))]
    return [(names, torch.stack([best_BT.mean(1), best_BT.std(1), *stay], dim=1))]


def _dynamics(x_BN):
    """Frame levels (dB against the clip's): spread, 5-95 % range, skewness, share of rests; the peak factor (dB)."""
    power_BT = avg_pool1d(x_BN.square()[:, None], FRAME, HOP)[:, 0]
    level_BT = _decibels(power_BT)
    centred_BT = level_BT - level_BT.mean(1, keepdim=True)
    std_B = centred_BT.square().mean(1).sqrt()
    low_B, high_B = torch.quantile(level_BT, torch.tensor([0.05, 0.95], device=x_BN.device), dim=1)
    skew_B = centred_BT.pow(3).mean(1) / (std_B.square() + 0.25).pow(1.5)
    rest_B = (level_BT < -20).float().mean(1)
    peak_B = 20 * (x_BN.abs().amax(1) + 1e-3).log10()
    names = ["dyn_std", "dyn_range", "dyn_skew", "dyn_rests", "dyn_peak_factor"]
    return [(names, torch.stack([std_B, high_B - low_B, skew_B, rest_B, peak_B], dim=1))]


# -- parts --


def _power(x_BN, size, hop):
    """Power spectrogram [B, F, T], one-sided, scaled so that a frame's bins sum to the mean power under its window."""
    window = torch.hann_window(size, device=x_BN.device)
    spectrum = torch.stft(x_BN, size, hop, window=window, center=False, return_complex=True)
    power_BFT = spectrum.real.square() + spectrum.imag.square()
    power_BFT[:, 1:-1] *= 2
    return power_BFT / (size * window.square().sum())


def _decibels(power):
    return 10 * (power + FLOOR).log10()


def _concentration(share):
    """1 - entropy / log(12) over dimension 1: 0 for an even chroma, 1 for a single pitch class."""
    return 1 + (share * (share + 1e-9).log()).sum(1) / np.log(12)


def _change(chroma_BCT, lag):
    """Cosine distance of frames `lag` apart -> [B, T - lag] in 0..1."""
    unit_BCT = chroma_BCT / (chroma_BCT.norm(dim=1, keepdim=True) + 1e-9)
    return 1 - (unit_BCT[:, :, lag:] * unit_BCT[:, :, :-lag]).sum(1)


def _correlation(a_BFT, b_BFT):
    product_B = (a_BFT * b_BFT).mean((1, 2))
    return product_B / (a_BFT.square().mean((1, 2)) * b_BFT.square().mean((1, 2)) + 1e-6).sqrt()


def _bands(axis, edges):
    """Slices of a rising axis: the half-open intervals between neighbouring edges."""
    cuts = torch.searchsorted(axis, torch.tensor(edges, dtype=axis.dtype)).tolist()
    return [slice(low, high) for low, high in _pairs(cuts)]


def _running_mean(x_BFT, width):
    """Mean over `width` neighbouring bins -> [B, F - width + 1, T]; centred first, so that float32 sums stay small."""
    mean_B1T = x_BFT.mean(1, keepdim=True)
    total_BFT = torch.nn.functional.pad((x_BFT - mean_B1T).cumsum(1), (0, 0, 1, 0))
    return mean_B1T + (total_BFT[:, width:] - total_BFT[:, :-width]) / width


def _pairs(edges):
    return list(zip(edges[:-1], edges[1:], strict=True))


def _numbered(name, count):
    return [f"{name}{i}" for i in range(count)]


@lru_cache(maxsize=8)
def mel_filters(bands=BANDS, n_fft=FRAME, device="cpu"):
    """Triangular filters on the mel scale, 40 Hz to 12 kHz, peak one -> [bands, F]."""
    return oshaughnessy_filters(SAMPLE_RATE, n_fft, bands, 40, SAMPLE_RATE / 2).float().to(device)


@lru_cache(maxsize=8)
def chroma_filters(device="cpu"):
    """Weight of each long-frame bin in each pitch class (C = 0), a Gaussian of 0.3 semitones -> [12, F]."""
    hz = np.fft.rfftfreq(LONG_FRAME, 1 / SAMPLE_RATE)
    pitch = 12 * np.log2(np.maximum(hz, 1) / 440) + 9
    away = (pitch - np.arange(12)[:, None] + 6) % 12 - 6
    inside = (hz >= CHROMA_RANGE_HZ[0]) & (hz < CHROMA_RANGE_HZ[1])
    return torch.from_numpy(np.exp(-0.5 * (away / 0.3) ** 2) * inside).float().to(device)


FEATURE_NAMES = tuple(name for names, _ in _described(torch.zeros(1, MIN_SAMPLES)) for name in names)
