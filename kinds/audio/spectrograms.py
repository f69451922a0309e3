"""Spectrograms as images."""

from pathlib import Path

import numpy as np

FLOOR_DB = -80.0


def spectrogram_db(wav_N: np.ndarray, sample_rate: int, rows: int = 128) -> np.ndarray:
    """Values of a log-frequency spectrogram `[rows, frames]` in dB below the maximum, low frequencies first.

    From 40 Hz to the Nyquist frequency on a logarithmic axis; a row shows the largest FFT bin within it.
    """
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    size, hop = 2048, 320
    wav_N = np.pad(wav_N, (0, max(0, size - len(wav_N))))
    transform = ShortTimeFFT(hann(size), hop, sample_rate, mfft=size)
    power_FT = np.abs(transform.stft(wav_N)) ** 2
    edges = np.geomspace(40, sample_rate / 2, rows + 1) / sample_rate * size
    starts = np.minimum(edges[:-1].astype(int), len(power_FT) - 1)
    stops = np.maximum(np.minimum(edges[1:].astype(int), len(power_FT)), starts + 1)
    banded = np.stack([power_FT[a:b].max(axis=0) for a, b in zip(starts, stops, strict=True)])
    decibels = 10 * np.log10(banded + 1e-10)
    return np.maximum(decibels - decibels.max(), FLOOR_DB)


def spectrogram_image(wav_N: np.ndarray, sample_rate: int) -> np.ndarray:
    """An RGB image `[H, W, 3]` of bytes, low frequencies at the bottom."""
    from matplotlib import colormaps

    shade = 1 - spectrogram_db(wav_N, sample_rate)[::-1] / FLOOR_DB
    return (colormaps["magma"](shade.repeat(2, axis=0))[:, :, :3] * 255).astype(np.uint8)


def save_spectrogram(wav_N: np.ndarray, sample_rate: int, path: Path, title: str = "") -> None:
    """Writes a PNG with axes in seconds and Hz."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    values = spectrogram_db(wav_N, sample_rate)
    frequencies = np.geomspace(40, sample_rate / 2, len(values) + 1)
    times = np.linspace(0, len(wav_N) / sample_rate, values.shape[1] + 1)
    mesh = axes.pcolormesh(times, frequencies, values, cmap="magma", vmin=FLOOR_DB, vmax=0, rasterized=True)
    axes.set(yscale="log", xlabel="seconds", ylabel="Hz", title=title)
    figure.colorbar(mesh, label="dB")
    figure.savefig(path, dpi=110, format="png")


def save_grid(rows: dict[str, list[np.ndarray]], sample_rate: int, path: Path) -> None:
    """Writes a PNG of spectrograms: a titled row for each set of clips `[N]`, a column for each clip."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(map(len, rows.values()))
    figure = Figure(figsize=(3 * columns, 1.9 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (title, clips) in zip(grid, rows.items(), strict=True):
        axes_row[0].set_ylabel(title, fontsize=9)
        for axes in axes_row:
            axes.set_xticks([])
            axes.set_yticks([])
        for axes, clip in zip(axes_row, clips, strict=False):
            axes.imshow(spectrogram_image(clip, sample_rate), aspect="auto", interpolation="nearest")
    figure.savefig(path, dpi=100)
