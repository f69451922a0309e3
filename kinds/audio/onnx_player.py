"""Plays a generator that was exported to ONNX: the same clips as with torch, from numpy and onnxruntime alone.

    music = OnnxMusic("my_model")
    wav = music.generate(seconds=10, seed=1)  # float32 [N], 24 kHz

This file needs no other file of noise2music: `export.py --onnx` copies it beside generator.onnx (the network),
decoder.onnx (latents to audio, or to magnitudes and the share of noise in them), masks.onnx (where the generator was
trained with masks) and onnx.json (everything else). What a graph of ONNX holds badly is here: noise from a seed,
sampling steps, windows, phases, the inverse Fourier transform. Each function follows the one of the same name that the
package has in torch; tests compare them.

D latent channels, T frames, F frequency bins, N samples of audio.
"""

import json
import math
from pathlib import Path

import numpy as np

INPUT_NOISE, TARGET_NOISE, MASK, SCALES, OFFSET = 1, 2, 6, 16, 18  # what random numbers are for
N_FFT, HOP, BINS = 2048, 320, 1025
MARGIN, HOPS_PER_WINDOW = (N_FFT - HOP) // 2, -(-N_FFT // HOP)
WINDOW = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)).astype(np.float32)
PIECE, NOISE_BLOCK = 1500, 1500  # frames decoded at once; of noise made at once
ROUNDS, MOMENTUM = 3, 0.99  # of fast Griffin-Lim
OVERLAP, FADE = 64, 4  # frames, of pieces of audio
FEWEST = 7  # frames that a decoder to audio takes; fewer are padded with zeros, as in torch


class OnnxMusic:
    """An exported folder. labels: {name: {"values": [...]} or {"mean", "std"}}, what it can be asked for."""

    def __init__(self, folder: str | Path) -> None:
        import onnxruntime

        self.about = json.loads((Path(folder) / "onnx.json").read_text(encoding="utf-8"))
        self.labels, self.sample_rate = self.about["labels"], 24_000
        self._generator, self._decoder, self._masks = (
            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) if path.is_file() else None
            for path in (Path(folder) / f"{name}.onnx" for name in ("generator", "decoder", "masks"))
        )

    def generate(self, seconds=10.0, seed=0, number=0, label=None, guidance=None, temperature=1.0, passes=None):
        """Clip `number` of a seed, float32 [N]. label: {"genre": "jazz", "tempo": 120}; labels that are not given are
        those of a training clip, with label="none" they are left open. guidance: as in generate.py unless given."""
        if guidance is None:
            guidance = self.about.get("guidance", (1.5, 2.0))[(passes or self.about["passes"]) > 1]
        length = max(1, round(seconds * self.sample_rate))
        sources = self.sources(seed, number, -(-length // HOP), temperature)
        asked = self._asked(seed, number, label or {})
        latents_DT = sample(lambda *args: self._one_step(asked, guidance, *args), *sources, self.about, passes)
        mean_D, std_D = (np.array(self.about[name], np.float32)[:, None] for name in ("mean", "std"))
        return self.decode(latents_DT * std_D + mean_D)[:length]

    def sources(self, seed: int, number: int, frames: int, temperature: float = 1.0) -> list[np.ndarray]:
        """Input and target of noise alone, [D, T] each."""
        scales = self.about["noise_scales"]
        row = scales[mix_seed(seed, SCALES, number) % len(scales)]
        shape = (len(self.about["mean"]), frames)
        noise = [source_noise(self.about, seed, purpose, number, shape) for purpose in (INPUT_NOISE, TARGET_NOISE)]
        sources = [np.float32(temperature * scale) * one for scale, one in zip(row, noise, strict=True)]
        if self._masks is None:
            return sources
        numbers = uniform(mix_seed(seed, MASK, number), self.about["mask_numbers"])
        given = {"input": sources[0][None], "target": sources[1][None], "uniform": numbers[None]}
        return [masked[0] for masked in _run(self._masks, given)]

    def decode(self, latents_DT: np.ndarray) -> np.ndarray:
        """Audio [T * 320] of latents."""
        return self._from_magnitudes(latents_DT) if "reach" in self.about else self._from_audio(latents_DT)

    def _from_audio(self, latents_DT: np.ndarray) -> np.ndarray:
        """By a decoder that gives audio, in pieces that are joined."""

        def make(start: int, stop: int) -> np.ndarray:
            missing = max(0, FEWEST - (stop - start))
            piece_DT = np.pad(latents_DT[:, start:stop], ((0, 0), (0, missing)))
            return _run(self._decoder, {"latents": piece_DT[None]})[0][0, :, : (stop - start) * HOP]

        return join_windows(make, latents_DT.shape[1], PIECE, OVERLAP, fade=FADE, rate=HOP)[0]

    def _from_magnitudes(self, latents_DT: np.ndarray) -> np.ndarray:
        """By a decoder that gives magnitudes, in pieces with context and with phases that go on from piece to piece."""
        low, high, reach = (self.about[name] for name in ("lowest_latent", "highest_latent", "reach"))
        latents_DT = latents_DT.clip(low, high)
        frames, angle_F, pieces, after = latents_DT.shape[1], None, [], (ROUNDS + 1) * HOPS_PER_WINDOW
        for start in range(0, frames, PIECE):
            stop = min(frames, start + PIECE)
            left, right = max(0, start - after), min(frames, stop + after)
            first, last = max(0, left - reach), min(frames, right + reach)
            both = _run(self._decoder, {"latents": latents_DT[None, :, first:last]})
            magnitude_TF, share_TF = (x[0, left - first : right - first] for x in both)
            next_piece = max(0, stop - after) - left or None
            phase_TF, angle_F = tracked_phases(magnitude_TF, angle_F, next_piece)
            factor_TF = np.sqrt(1 - share_TF) * phase_TF + np.sqrt(share_TF) * noise_spectrum(left, right)
            magnitude_TF = magnitude_TF * np.abs(factor_TF)
            phase_TF = griffin_lim(magnitude_TF, unit(factor_TF))
            wav_N = inverse_stft(magnitude_TF * phase_TF)[MARGIN:-MARGIN]
            pieces.append(wav_N[(start - left) * HOP : (stop - left) * HOP])
        return np.concatenate(pieces)

    def _asked(self, seed: int, number: int, label) -> np.ndarray:
        """Label values [1, L], NaN for those that are left open."""
        if label == "none":
            return np.full((1, len(self.labels)), np.nan, np.float32)
        unknown = set(label) - set(self.labels)
        if unknown:
            raise ValueError(f"no label {sorted(unknown)[0]!r}: it knows {', '.join(self.labels) or 'none'}")
        asked = {name: self.labels[name]["values"].index(x) if isinstance(x, str) else x for name, x in label.items()}
        asked = drawn_labels(asked, self.about["label_rows"], self.labels, mix_seed(seed, SCALES, number))
        return np.array([[asked.get(name, math.nan) for name in self.labels]], np.float32)

    def _one_step(self, asked, guidance, input_DT, target_DT, alpha) -> np.ndarray:
        """One call of the generator for each window of the training length, joined."""
        window = self.about["window"]
        overlap, patch = max(1, window // 4), self.about["patch_frames"]

        def make(start: int, stop: int) -> np.ndarray:
            sources = {"input": input_DT[None, :, start:stop], "target": target_DT[None, :, start:stop]}
            made = self._call(sources, alpha, asked)
            if guidance == 1 or np.isnan(asked).all():
                return made
            free = self._call(sources, alpha, np.full_like(asked, np.nan))
            return free + np.float32(guidance) * (made - free)

        return join_windows(make, input_DT.shape[1], window, overlap, patch)

    def _call(self, sources, alpha, asked) -> np.ndarray:
        return _run(self._generator, sources | {"alpha": np.array([alpha], np.float32), "labels": asked})[0][0]


def _run(graph, given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a graph, which has no input for what does not matter to it."""
    takes = {one.name for one in graph.get_inputs()}
    return graph.run(None, {name: value for name, value in given.items() if name in takes})


def drawn_labels(asked: dict, rows: dict, labels: dict, number: int) -> dict:
    """What is asked for, and else the labels of one of those training clips that agree with all values asked for."""
    fixed = {name: value for name, value in asked.items() if "values" in labels[name]}
    count = min((len(column) for column in rows.values()), default=0)
    agreeing = [k for k in range(count) if all(rows[name][k] == value for name, value in fixed.items() if name in rows)]
    if not agreeing:
        return asked
    drawn = {name: column[agreeing[number % len(agreeing)]] for name, column in rows.items()}
    return {name: value for name, value in drawn.items() if value is not None} | asked


# --- random numbers ------------------------------------------------------------------------------------------------


def mix_seed(*parts: int) -> int:
    """Hashes integers to a 63-bit seed (splitmix64's finaliser)."""
    mask, state = (1 << 64) - 1, 0x9E3779B97F4A7C15
    for part in parts:
        state = (state ^ (int(part) & mask)) * 0xBF58476D1CE4E5B9 & mask
        state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
        state ^= state >> 31
    return state >> 1


def normal(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers as torch's generator makes them on a CPU: the Mersenne twister, then Box & Muller 1958
    on blocks of 16 numbers."""
    count = math.prod(shape)
    assert count >= 16, "torch has another method for fewer than 16 numbers"
    missing = count % 16
    numbers = uniform(seed, count + (16 if missing else 0))
    out = _box_muller(numbers[: count - missing])
    if missing:  # the last 16 numbers are made anew
        out = np.concatenate([out, np.empty(missing, np.float32)])
        out[-16:] = _box_muller(numbers[count:])
    return out.reshape(shape)


def uniform(seed: int, count: int) -> np.ndarray:
    """Uniform numbers in [0, 1) as torch's generator makes them on a CPU."""
    bits = np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 2**32, count, np.uint32)  # noqa: NPY002
    return (bits & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24)


def _box_muller(uniform: np.ndarray) -> np.ndarray:
    first, second = uniform.reshape(-1, 2, 8).swapaxes(0, 1)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), np.float32(2 * math.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def source_noise(about: dict, seed: int, purpose: int, number: int, shape: tuple[int, int]) -> np.ndarray:
    """Noise [D, T]: white, or partly constant over a clip, or partly slowly varying."""
    noise_DT, share, frames = normal(mix_seed(seed, purpose, number), shape), about["offset"], about["offset_frames"]
    if share == 0:
        return noise_DT
    key = mix_seed(mix_seed(seed, OFFSET), purpose, number)
    lasting_DX = slow_noise(normal(key, shape), frames) if frames else normal(key, (shape[0], 1))
    return np.float32((1 - share * share) ** 0.5) * noise_DT + np.float32(share) * lasting_DX


def slow_noise(white_DT: np.ndarray, frames: float) -> np.ndarray:
    """Noise whose frames t apart have the correlation exp(-t / frames)."""
    r, reach = math.exp(-1 / frames), 1
    x_DT = np.concatenate([white_DT[:, :1], np.float32((1 - r * r) ** 0.5) * white_DT[:, 1:]], axis=1)
    while reach < x_DT.shape[1]:
        later = x_DT[:, reach:] + np.float32(r**reach) * x_DT[:, :-reach]
        x_DT, reach = np.concatenate([x_DT[:, :reach], later], axis=1), 2 * reach
    return x_DT


# --- sampling steps and windows ------------------------------------------------------------------------------------


def sample(make, input_DT: np.ndarray, target_DT: np.ndarray, about: dict, passes: int | None = None) -> np.ndarray:
    """A normalised sample [D, T] by calls of make(input, target, alpha) at decreasing noise levels alpha."""
    steps = passes or about["passes"]
    if steps == 1:
        return make(input_DT, target_DT, 1.0)
    limits = [np.array(about[name], np.float32)[:, None] for name in ("lowest", "highest") if about[name]]
    within = (lambda x: x.clip(*limits)) if limits else (lambda x: x)
    levels = [1 - (k / steps) ** 2 for k in range(steps)]
    sources = [input_DT, target_DT]
    earlier = made = within(make(*sources, 1.0))
    for before, level, lower in zip([None, *levels], levels, levels[1:], strict=False):
        reach = 1.0 if before is None else (mean_alpha(level, lower) - before) / (level - before)
        ahead = within(earlier + np.float32(reach) * (made - earlier))
        sources = [(1 - lower) * ahead + (lower / level) * (x - (1 - level) * ahead) for x in sources]
        sources = [x.astype(np.float32) for x in sources]
        earlier, made = made, within(make(*sources, lower))
    return made


def mean_alpha(alpha: float, lower: float) -> float:
    """The mean noise level of a step from alpha to `lower`."""
    return (math.log(alpha) - math.log(lower)) / ((1 - lower) / lower - (1 - alpha) / alpha)


def join_windows(make, frames: int, window: int, overlap: int, step: int = 1, fade: int | None = None, rate: int = 1):
    """[D, frames * rate] of make(start, stop) -> [D, (stop - start) * rate], in windows that are joined by cross-fades
    of `fade` frames (None: of the whole overlap)."""
    if frames <= window or window == 1:
        return make(0, frames)
    count, last = math.ceil((frames - overlap) / max(step, window - overlap)), (frames - window) // step
    starts = sorted({round(last * k / max(1, count - 1)) * step for k in range(count)})
    stops = [start + window for start in starts[:-1]] + [frames]
    piece = make(0, stops[0])
    whole = np.empty((len(piece), frames * rate), np.float32)
    whole[:, : stops[0] * rate] = piece
    for start, stop, ended in zip(starts[1:], stops[1:], stops, strict=False):
        before, piece = piece, make(start, stop)
        length = min(fade or overlap, ended - start)
        first = (start + ended - length) // 2
        left, right = first * rate, (first + length) * rate
        mean_D1 = np.concatenate([before, piece], axis=1).mean(1, keepdims=True)
        fresh = piece[:, left - start * rate :]
        whole[:, left:right] = cross_fade(whole[:, left:right], fresh[:, : right - left], mean_D1)
        whole[:, right : stop * rate] = fresh[:, right - left :]
    return whole


def cross_fade(old_DT: np.ndarray, new_DT: np.ndarray, mean_D1: np.ndarray) -> np.ndarray:
    """A cross-fade that keeps the level, whatever the correlation of both signals is."""
    angle_T = (np.arange(old_DT.shape[1], dtype=np.float32) + 0.5) * np.float32(math.pi / 2 / old_DT.shape[1])
    old_DT, new_DT = old_DT - mean_D1, new_DT - mean_D1
    power = np.square(old_DT).sum() * np.square(new_DT).sum()
    r = float(np.clip((old_DT * new_DT).sum() / max(math.sqrt(power), 1e-12), 0, 1))
    gain_T = 1 / np.sqrt(1 + 2 * np.cos(angle_T) * np.sin(angle_T) * np.float32(r))
    return mean_D1 + gain_T * (np.cos(angle_T) * old_DT + np.sin(angle_T) * new_DT)


# --- from magnitudes to audio --------------------------------------------------------------------------------------


def stft(wav_N: np.ndarray) -> np.ndarray:
    """Spectrum [T, F] of a padded signal."""
    frames = np.lib.stride_tricks.sliding_window_view(wav_N, N_FFT)[::HOP]
    return np.fft.rfft(frames * WINDOW).astype(np.complex64)


def inverse_stft(spectrum_TF: np.ndarray) -> np.ndarray:
    """The padded signal: windowed overlap-add over the windows' energy."""
    wav_N = overlap_add(np.fft.irfft(spectrum_TF, n=N_FFT).astype(np.float32) * WINDOW)
    energy_N = overlap_add(np.broadcast_to(WINDOW**2, (len(spectrum_TF), N_FFT)))
    return wav_N / energy_N.clip(1e-6)


def overlap_add(frames_TW: np.ndarray) -> np.ndarray:
    """The sum of windows, each one hop after the previous one."""
    frames = len(frames_TW)
    rows = np.pad(frames_TW, ((0, 0), (0, HOPS_PER_WINDOW * HOP - N_FFT))).reshape(frames, HOPS_PER_WINDOW, HOP)
    total = np.zeros((frames + HOPS_PER_WINDOW - 1, HOP), np.float32)
    for k in range(HOPS_PER_WINDOW):
        total[k : k + frames] += rows[:, k]
    return total.reshape(-1)[: (frames - 1) * HOP + N_FFT]


def unit(x: np.ndarray) -> np.ndarray:
    """Complex numbers of absolute value 1; 0 stays 0."""
    size = np.abs(x)
    return np.where(size > 0, x / np.where(size > 0, size, 1), 0).astype(np.complex64)


def griffin_lim(magnitude_TF: np.ndarray, phase_TF: np.ndarray) -> np.ndarray:
    """Phases with which the magnitudes are nearly those of a signal (Perraudin et al. 2013)."""
    previous_TF = np.zeros_like(phase_TF)
    for _ in range(ROUNDS):
        consistent_TF = stft(inverse_stft(magnitude_TF * phase_TF))
        phase_TF = unit(consistent_TF - np.float32(MOMENTUM / (1 + MOMENTUM)) * previous_TF)
        previous_TF = consistent_TF
    return phase_TF


def tracked_phases(magnitude_TF: np.ndarray, angle_F: np.ndarray | None, next_piece: int | None):
    """Phases of partials that go on from frame to frame (Beauregard et al. 2015) -> unit complex numbers [T, F], and
    the angles of the frame before the next piece, which begins at frame `next_piece`."""
    peak_TF, advance_TF = nearest_peaks(magnitude_TF)
    angle_F, angle_TF = np.zeros(BINS, np.float32) if angle_F is None else angle_F, np.empty_like(magnitude_TF)
    for t, (peak_F, advance_F) in enumerate(zip(peak_TF, advance_TF, strict=True)):
        angle_F = angle_TF[t] = angle_F[peak_F] + advance_F
    later = None if next_piece is None else angle_TF[next_piece - 1] % np.float32(2 * math.pi)
    return np.exp(1j * angle_TF.astype(np.float64)).astype(np.complex64), later


def nearest_peaks(magnitude_TF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The peak that each bin belongs to, and what is added to its phase to give the bin's: [T, F] twice."""
    low, middle, high = magnitude_TF[:, :-2], magnitude_TF[:, 1:-1], magnitude_TF[:, 2:]
    ends = ((0, 0), (1, 1))
    offset_TF = np.pad((2 * (high - low) / (low + 2 * middle + high).clip(1e-20)).clip(-0.5, 0.5), ends)
    is_peak_TF, k_F = np.pad((middle > low) & (middle >= high), ends), np.arange(BINS)
    below_TF = np.maximum.accumulate(np.where(is_peak_TF, k_F, -BINS), axis=1)
    above_TF = np.minimum.accumulate(np.where(is_peak_TF, k_F, 2 * BINS)[:, ::-1], axis=1)[:, ::-1]
    peak_TF = np.where(k_F - below_TF <= above_TF - k_F, below_TF, above_TF).clip(0, BINS - 1)
    half_turns_TF = ((k_F - peak_TF) & 1).astype(np.float32)
    offset_TF = np.take_along_axis(offset_TF, peak_TF, axis=1)
    hops_TF = (peak_TF + offset_TF) * np.float32(HOP / N_FFT) + np.float32(0.5) * half_turns_TF
    return peak_TF, (2 * math.pi * (hops_TF - np.floor(hops_TF))).astype(np.float32)


def noise_spectrum(start: int, stop: int) -> np.ndarray:
    """Spectrum [stop - start, F] of white noise of mean power 1, a function of the frames' numbers alone."""
    first, last = start // NOISE_BLOCK, -(-stop // NOISE_BLOCK)
    wav_N = np.concatenate([normal(number, (NOISE_BLOCK * HOP,)) for number in range(first, last)])
    wav_N = wav_N[(start - first * NOISE_BLOCK) * HOP : (stop - first * NOISE_BLOCK) * HOP]
    wav_N = np.pad(wav_N, (0, max(0, MARGIN + HOP - len(wav_N))))
    spectrum_TF = stft(np.pad(wav_N, MARGIN, mode="reflect"))[: stop - start]
    return spectrum_TF / np.sqrt(np.square(WINDOW).sum())
