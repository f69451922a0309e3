"""Music from Python, in three lines:

>>> from noise2music import load
>>> music = load("pretrained/demo")
>>> music.generate(seconds=10, seed=1).save("clip.wav")
"""

from pathlib import Path

from kinds.audio.music import Clip, Music, device_of
from kinds.audio.request import Request
from synthesis.loading import load_generator

__all__ = ["Clip", "Music", "Request", "load"]


def load(
    checkpoint: str | Path,
    *,
    passes: int | None = None,
    codec_weights: str | None = None,
    decoder: str | None = None,
    device: str | None = None,
) -> Music:
    """A trained generator of audio; the options are those of generate.py.

    checkpoint: a checkpoint (.pt), an exported folder, a run's folder, or hf:user/name on the Hugging Face hub.

    Raises:
        errors.UserError: it cannot be read, its codec is not available, or it makes no audio.
    """
    loaded = load_generator(checkpoint, device_of(device), passes)
    return Music.open(loaded, codec_weights, decoder)
