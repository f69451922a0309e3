"""Pictures from files: image files by Pillow, IDX (the files of MNIST and Fashion-MNIST), numpy arrays.

Legend: N pictures, H rows, W columns, C channels (1 or 3).
"""

import gzip
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
IDX_PICTURES, IDX_LABELS = 0x00000803, 0x00000801  # magic numbers: bytes of three axes, bytes of one
LEAST_SIDE = 4
_PICTURES, _LABELS = "images", "labels"  # in the names of files of the MNIST family


@dataclass
class Picture:
    """A picture uint8 [H, W, C], its class by name (None: without), and the split that its file belongs to, if any."""

    name: str
    pixels: np.ndarray
    label: str | None = None
    split: str | None = None


@dataclass
class Found:
    """What was read: pictures, names of files that were left out -> why, conversions -> how many."""

    pictures: list[Picture] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    converted: Counter = field(default_factory=Counter)


def read_source(source: Path) -> Found:
    """All pictures in a folder (class = sub-folder), an IDX file or a `.npy` file.

    Raises:
        UserError: it is not there, or an IDX or .npy file is not what it says.
    """
    if not source.exists():
        raise UserError(f"{source} does not exist; check --input_dir.")
    if source.is_file():
        return _read_arrays([source])
    arrays = sorted(path for path in source.iterdir() if path.is_file() and (_is_idx(path) or path.suffix == ".npy"))
    arrays = [path for path in arrays if not _is_labels(path)]
    return _read_arrays(arrays) if arrays else _read_folder(source)


def _read_folder(source: Path) -> Found:
    found = Found()
    for path in sorted(path for path in source.rglob("*") if path.is_file() and not path.name.startswith(".")):
        name = path.relative_to(source).as_posix()
        if path.suffix.lower() not in SUFFIXES:
            found.skipped[name] = "not a picture"
            continue
        parts = path.relative_to(source).parts
        try:
            pixels = read_picture(path, found.converted)
        except ValueError as error:
            found.skipped[name] = str(error)
            continue
        found.pictures.append(Picture(name, pixels, parts[0] if len(parts) > 1 else None))
    return found


def read_picture(path: Path, converted: Counter | None = None) -> np.ndarray:
    """An image file as uint8 [H, W, 1] (grey) or [H, W, 3]; the first frame of several. What had to be converted is
    counted in `converted`. Raises ValueError, a reason of a few words, if it cannot be read."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    converted = Counter() if converted is None else converted
    try:
        with Image.open(path) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except UnidentifiedImageError:
        raise ValueError("not a picture that can be read") from None
    except Image.DecompressionBombError:
        raise ValueError("too large") from None
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error) as error:
        raise ValueError(f"damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from None
    if min(image.size) < LEAST_SIDE:
        raise ValueError(f"too small ({image.width} x {image.height})")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        converted["more than 8 bits per channel: reduced to 8"] += 1
        return _to_bytes(np.asarray(image))[..., None]
    if "A" in image.getbands() or "transparency" in image.info:
        converted["transparent: laid on black"] += 1
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert("RGB")
    elif image.mode not in ("L", "RGB"):
        converted[f"{image.mode}: converted to RGB"] += 1
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Values of more than 8 bits -> uint8: 16 bits by their full range, floats from [0, 1] or [0, 255]."""
    values = np.nan_to_num(values.astype(np.float64))
    top = 1.0 if values.max(initial=0) <= 1.0 else 255.0 if values.max() <= 255.0 else 65535.0
    return np.clip(np.round(values * (255.0 / top)), 0, 255).astype(np.uint8)


# --- arrays --------------------------------------------------------------------------------------------------------


def _is_idx(path: Path) -> bool:
    return "ubyte" in path.name


def _is_labels(path: Path) -> bool:
    return _LABELS in path.name


def _labels_beside(path: Path) -> Path | None:
    """The labels of a file of pictures: `train-labels-idx1-ubyte.gz` of `train-images-idx3-ubyte.gz`, `labels.npy`."""
    stem = path.name.split(_PICTURES)[0] if _PICTURES in path.name else None
    candidates = [] if stem is None else sorted(path.parent.glob(f"{stem}labels*"))
    return candidates[0] if candidates else None


def _read_arrays(paths: list[Path]) -> Found:
    """Pictures of IDX and .npy files; files named t10k, test or val are held out."""
    found = Found()
    for path in paths:
        pictures_NHWC = _read_pictures(path, found.converted)
        beside = _labels_beside(path)
        labels = [None] * len(pictures_NHWC) if beside is None else [str(int(k)) for k in _read_labels(beside)]
        if len(labels) != len(pictures_NHWC):
            raise UserError(
                f"{path} holds {len(pictures_NHWC)} pictures and {beside} {len(labels)} labels; they must be as many."
            )
        split = "val" if path.name.startswith(("t10k", "test", "val")) else "train"
        for k, (pixels, label) in enumerate(zip(pictures_NHWC, labels, strict=True)):
            found.pictures.append(Picture(f"{path.name}:{k}", pixels, label, split if len(paths) > 1 else None))
    return found


def _read_pictures(path: Path, converted: Counter) -> np.ndarray:
    """uint8 [N, H, W, C] of an IDX or .npy file. Raises UserError."""
    if _is_idx(path):
        return _read_idx(path, IDX_PICTURES)[..., None]
    if path.suffix != ".npy":
        raise UserError(f"{path} is neither a folder, nor an IDX file, nor .npy; check --input_dir.")
    try:
        values = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}); check --input_dir.") from None
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or values.shape[3] not in (1, 3) or not len(values) or min(values.shape[1:3]) < LEAST_SIDE:
        raise UserError(f"{path} has the shape {values.shape}; pictures are [N, H, W] or [N, H, W, 3].")
    if values.dtype != np.uint8:
        converted[f"{values.dtype}: converted to bytes"] += len(values)
        values = _to_bytes(values)
    return values


def _read_labels(path: Path) -> np.ndarray:
    if _is_idx(path):
        return _read_idx(path, IDX_LABELS)
    try:
        return np.load(path).reshape(-1)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read ({str(error).splitlines()[0]}); check --input_dir.") from None


def _read_idx(path: Path, magic: int) -> np.ndarray:
    """The array of an IDX file of bytes (LeCun et al. 1998), compressed by gzip or not. Raises UserError."""
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}); get it again.") from None
    if len(data) < 8 or int.from_bytes(data[:4], "big") != magic:
        raise UserError(f"{path} is no IDX file of the expected type; check --input_dir.")
    axes = data[3]
    shape = tuple(int.from_bytes(data[4 + 4 * k : 8 + 4 * k], "big") for k in range(axes))
    body = len(data) - 4 - 4 * axes
    if body != int(np.prod(shape)):
        raise UserError(f"{path} announces {' x '.join(map(str, shape))} bytes but holds {body}; get it again.")
    if not shape[0]:
        raise UserError(f"{path} holds no pictures; check --input_dir.")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
