"""The sets of clips that evaluate.py measures: folders of audio files, and generators."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from errors import UserError
from kinds.audio.clips import read_folder
from kinds.audio.files import SAMPLE_RATE
from kinds.audio.request import Request


@dataclass(frozen=True)
class Source:
    """Where an evaluated set comes from: a folder of audio files, or a checkpoint's generator with its codec."""

    name: str
    wavs: list[np.ndarray] | None = None
    generator: object = None
    codec: object = None
    wish: object = None


def open_sources(args: Any, remarks: list[str] | None = None) -> list[Source]:
    """The sets to evaluate, in the order given; `remarks` gets what was left out of folders.

    args: the options of evaluate.py.

    Raises UserError if a folder or a checkpoint cannot be read, or labels are asked for that no generator knows.
    """
    sources = [Source(Path(folder).name, wavs=read_folder(folder, "--generated", remarks)) for folder in args.generated]
    asked = Request(label=tuple(args.label), guidance=args.guidance)
    asked.check()
    if args.checkpoint:
        from kinds.audio.render import open_generators_codec
        from synthesis.loading import load_generator

        for path in args.checkpoint:
            loaded = load_generator(path, args.device, args.passes)
            codec = open_generators_codec(loaded, args.codec_weights, args.device, args.decoder)
            wish = (asked if loaded.conditioning.known_labels else Request()).wish(loaded)
            name = f"{Path(path).name} ({loaded.trained_to})"
            sources.append(Source(name, generator=loaded, codec=codec, wish=wish))
    if (args.label or args.guidance is not None) and not any(_knows_labels(source) for source in sources):
        raise UserError("--label and --guidance have no effect: no generator was trained with labels")
    names = [source.name for source in sources]
    if len(set(names)) == len(names):
        return sources
    return [replace(source, name=f"{i + 1} {source.name}") for i, source in enumerate(sources)]


def _knows_labels(source: Source) -> bool:
    return source.generator is not None and bool(source.generator.conditioning.known_labels)


def generated(source: Source, count: int, length: int, seed: int) -> np.ndarray:
    """Clips [B, N] of a generator as generate.py would write them: one that would clip is scaled down as a whole."""
    from kinds.audio.files import peak_scale
    from kinds.audio.render import generate_from_noise

    clips = generate_from_noise(source.generator, source.codec, count, length / SAMPLE_RATE, seed, wish=source.wish)
    return np.stack([clip[:length] * np.float32(peak_scale(clip)) for clip in clips])
