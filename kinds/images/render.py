"""The part of generate.py for pictures: PNG files and a grid, from noise.

Legend: B pictures, C channels, H rows, W columns.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from errors import UserError
from kinds.images.decoder import grid_of
from kinds.images.pairs import to_pictures, to_sample
from kinds.images.preparing import fitted
from kinds.images.reading import read_picture
from monitoring.image_files import encoded
from runtime.files import write_bytes
from synthesis.draws import Draw
from synthesis.generation import NOTHING, Wish, generate
from synthesis.loading import LoadedGenerator

AT_ONCE = 64


def check(loaded: LoadedGenerator) -> None:
    """Raises UserError if the generator enlarges pictures, so that it makes none from noise."""
    if loaded.config.chosen("kind").options.observed is not None:
        raise UserError(
            f"the generator of {loaded.trained_to} enlarges images: generate.py does that with --input_image"
        )


def write_enlarged(loaded: LoadedGenerator, path: Path, folder: Path) -> str:
    """`<stem>_x<factor>.png` of a picture in `folder` -> what to print.

    Raises:
        UserError: the picture cannot be read, the file cannot be written, or the generator does not enlarge pictures.
    """
    factor = loaded.config.chosen("kind").options.upscale
    if factor == 1:
        raise UserError(f"the generator of {loaded.trained_to} makes images from noise: leave --input_image out")
    try:
        pixels_HWC = read_picture(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--input_image {path} cannot be read: {error}") from None
    channels = loaded.space.shape[0]
    small = to_sample(fitted(pixels_HWC, None, channels))
    with torch.no_grad():
        small_BCHW = torch.from_numpy(small)[None].to(loaded.device)
        made = loaded.network(small_BCHW, small_BCHW).output_BDT
    target = folder / f"{path.stem}_x{factor}.png"
    try:
        write_bytes(target, encoded(to_pictures(_on_host(made))[0]))
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; choose another --output_dir") from None
    _, rows, columns = small.shape
    return f"{target}, {factor * columns} x {factor * rows}, made by the generator at {loaded.trained_to}"


def pictures_from_noise(
    loaded: LoadedGenerator, draws: Sequence[Draw], temperature: float = 1.0, wish: Wish = NOTHING
) -> np.ndarray:
    """A picture uint8 [H, W, 3] for each draw; it depends on its draw alone. UserError if the generator gives NaN."""
    made = []
    for first in range(0, len(draws), AT_ONCE):
        some = draws[first : first + AT_ONCE]
        sources = loaded.sources.from_noise(loaded.space, some, loaded.space.shape, loaded.device, temperature)
        made.append(to_pictures(_on_host(generate(loaded, *sources, wish=wish, draws=some))))
    return np.concatenate(made)


def _on_host(x_BCHW: Tensor) -> np.ndarray:
    return x_BCHW.float().cpu().numpy()


def write_generated(
    loaded: LoadedGenerator,
    draws: Sequence[Draw],
    folder: Path,
    name: str,
    temperature: float,
    progress: Callable[[int, int], None],
    wish: Wish = NOTHING,
) -> str:
    """`<name>_0000.png` ... and `<name>_grid.png` in `folder` -> what to print. Raises UserError."""
    pictures = pictures_from_noise(loaded, draws, temperature, wish)
    try:
        for k, picture in enumerate(pictures):
            write_bytes(folder / f"{name}_{k:04d}.png", encoded(picture))
            progress(k + 1, len(pictures))
        write_bytes(folder / f"{name}_grid.png", encoded(grid_of(pictures)))
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; choose another --output_dir") from None
    return f"{len(pictures)} images and a grid in {folder}, made by the generator at {loaded.trained_to}"
