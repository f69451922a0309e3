"""Sound in a run's log: wav files, spectrograms, TensorBoard."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kinds.audio.files import write_wav
from kinds.audio.spectrograms import spectrogram_image
from monitoring.image_files import encoded, tiled
from monitoring.log import RunLog
from runtime import files

PLAYED = 2  # clips with a file of their own; all are in the grid


def write_wavs(log: RunLog, name: str, wavs: Iterable[np.ndarray], rate: int, step: int, stem: Path) -> None:
    """The first clips [N] as `<stem>_<k>.wav` with a spectrogram `<stem>_<k>.png`, and in TensorBoard under
    `<name>/<k>`; of several clips the spectrograms of all as `<stem>_grid.png` and `<name>/grid`.

    NaN is written as silence. Raises OSError where the files cannot be written.
    """
    clips = [np.nan_to_num(wav_N) for wav_N in wavs]
    pictures = [spectrogram_image(wav_N, rate) for wav_N in clips]
    named = {str(k): picture for k, picture in enumerate(pictures[:PLAYED])}
    if len(clips) > 1:
        shortest = min(picture.shape[1] for picture in pictures)
        named["grid"] = tiled(np.stack([picture[:, :shortest] for picture in pictures]))
    for k, wav_N in enumerate(clips[:PLAYED]):
        log.audio(f"{name}/{k}", wav_N, rate, step)
    for what, picture in named.items():
        log.image(f"{name}/{what}", picture, step)
    stem.parent.mkdir(exist_ok=True)
    for k, wav_N in enumerate(clips[:PLAYED]):
        write_wav(f"{stem}_{k}.wav", wav_N, rate)
    for what, picture in named.items():
        files.write_bytes(Path(f"{stem}_{what}.png"), encoded(picture))
