"""Sound in a run's log: wav files, spectrograms, TensorBoard."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from kinds.audio.files import write_wav
from kinds.audio.spectrograms import spectrogram_image
from monitoring.image_files import encoded
from monitoring.log import RunLog
from runtime import files


def write_wavs(log: RunLog, name: str, wavs: Iterable[np.ndarray], rate: int, step: int, stem: Path) -> None:
    """Clips [N] as `<stem>_<k>.wav` with a spectrogram `<stem>_<k>.png`, and in TensorBoard under `<name>/<k>`.

    NaN is written as silence. Raises OSError where the files cannot be written.
    """
    pictures = []
    for k, wav_N in enumerate(map(np.nan_to_num, wavs)):
        pictures.append((wav_N, spectrogram_image(wav_N, rate)))
        log.audio(f"{name}/{k}", wav_N, rate, step)
        log.image(f"{name}/{k}", pictures[-1][1], step)
    stem.parent.mkdir(exist_ok=True)
    for k, (wav_N, image) in enumerate(pictures):
        write_wav(f"{stem}_{k}.wav", wav_N, rate)
        files.write_bytes(Path(f"{stem}_{k}.png"), encoded(image))
