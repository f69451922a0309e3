"""The part of prepare_dataset.py for pictures: files in, `train/`, `val/` and `dataset.yaml` out.

    python prepare_dataset.py --kind images --input_dir PICTURES --size 64
    python prepare_dataset.py --kind images --demo digits --size 16

A new dataset is made beside the old one and put in its place when it is complete.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field

from errors import UserError
from kinds.images import demos
from kinds.images.pairs import IMAGES, LABELS, NAMES
from kinds.images.reading import Found, Picture, read_source
from runtime.files import write_text

KIND = "images"
MANIFEST, UNFINISHED = "dataset.yaml", ".prepare"
USUAL_SIZE, DEMO_COUNT = 64, 2000
FLAT, CROP_TRIES = 25.0, 20  # crops whose pixels deviate less, such as sky, are drawn again
HELD_OUT_WIDTH = 5  # of crops: the last fifth of each picture is held out


class Options(BaseModel):
    """Options of prepare_dataset.py --kind images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_dir: Path | None = Field(None, description="folder of pictures (class = sub-folder), IDX file or .npy")
    output_dir: Path = Field(Path("dataset_images"), description="folder for the dataset (default: dataset_images)")
    demo: Literal["digits", "photos", "sprites", "one_sprite"] | None = Field(
        None, description="instead of files: digits or photos of scikit-learn, drawn sprites, or one sprite repeated"
    )
    size: Annotated[int, Field(ge=4, le=1024)] | None = Field(
        None,
        description="rows and columns: the shorter side is resized, the rest cut off (default: as they are, or 64)",
    )
    crops: Annotated[int, Field(ge=0, le=10**6)] = Field(
        0, description="cut this many pieces of --size in all from the pictures instead of resizing them (default: 0)"
    )
    colour: Literal["grey", "rgb"] | None = Field(None, description="default: grey if all pictures are grey")
    count: Annotated[int, Field(ge=2, le=10**6)] = Field(DEMO_COUNT, description="number of drawn sprites")
    shapes: str = Field(",".join(demos.SHAPES), description="shapes of drawn sprites (default: all)")
    val_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(0.1, description="share held out (default: 0.1)")
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(42, description="of split, crops and sprites (default: 42)")
    overwrite: bool = Field(False, description="replace an existing dataset that was made with other options")

    @property
    def cuts(self) -> int:
        """Number of crops."""
        return self.crops or (DEMO_COUNT if self.demo == "photos" else 0)


def run(options: Options) -> list[str]:
    """Makes the dataset -> what to print. Raises UserError."""
    wanted = _shape(options)
    there = _existing(options, wanted)
    if there is not None:
        return ["The dataset is complete already.", *_lines(there)]
    found = _find(options)
    if not found.pictures:
        raise UserError(f"Nothing in {options.input_dir} can be used: {skipped_words(found.skipped)}.")
    channels = _channels(options, found.pictures)
    size = _size(options, found.pictures)
    notes: Counter = Counter(found.converted)
    if options.cuts:
        splits = _crops(found, options, size)
    else:
        splits = _split(found.pictures, options)
    classes = sorted({p.label for split in splits.values() for p in split if p.label is not None}, key=_natural)
    if len(classes) == 1:
        notes["all pictures are of one class: there are no labels"] = len(found.pictures)
        classes = []
    manifest = {
        "made_by": "prepare_dataset.py",
        "kind": KIND,
        "options": wanted,
        "channels": channels,
        "size": size,
        "classes": classes,
        "images": {name: len(split) for name, split in splits.items()},
        "skipped": dict(sorted(found.skipped.items())),
        "converted": {},
    }
    _write(options, manifest, splits, classes, notes)
    return _lines(manifest)


def _shape(options: Options) -> dict[str, Any]:
    """Everything that determines the contents of the dataset."""
    shape = options.model_dump(mode="json", exclude={"output_dir", "overwrite"})
    return {name: value for name, value in shape.items() if value is not None}


def _find(options: Options) -> Found:
    if (options.demo is None) == (options.input_dir is None):
        raise UserError("Give either a folder of pictures with --input_dir, or --demo digits, photos or sprites.")
    if options.input_dir is not None:
        return read_source(options.input_dir)
    return Found(_demo(options))


def _demo(options: Options) -> list[Picture]:
    shapes = tuple(options.shapes.split(","))
    if unknown := [shape for shape in shapes if shape not in demos.SHAPES]:
        raise UserError(f"There is no shape {unknown[0]!r}; choose from {','.join(demos.SHAPES)} for --shapes.")
    size = options.size or 32
    makers = {
        "digits": demos.digits,
        "photos": demos.photographs,
        "sprites": lambda: demos.sprites(options.count, size, options.seed, shapes),
        "one_sprite": lambda: demos.sprites(1, size, options.seed, shapes) * options.count,
    }
    return makers[options.demo]()


def _channels(options: Options, pictures: list[Picture]) -> int:
    grey = all(picture.pixels.shape[2] == 1 for picture in pictures)
    return {"grey": 1, "rgb": 3, None: 1 if grey else 3}[options.colour]


def _size(options: Options, pictures: list[Picture]) -> int:
    """Rows and columns of the prepared pictures."""
    shapes = {picture.pixels.shape[:2] for picture in pictures}
    if options.size is None and len(shapes) == 1 and not options.cuts and len(set(*shapes)) == 1:
        return shapes.pop()[0]
    return options.size or USUAL_SIZE


def _split(pictures: list[Picture], options: Options) -> dict[str, list[Picture]]:
    """Held out are those that their files say, else a share of each class (at least one picture in all)."""
    if any(picture.split == "val" for picture in pictures) and any(picture.split == "train" for picture in pictures):
        return {split: [p for p in pictures if p.split == split] for split in ("train", "val")}
    if len(pictures) < 2:
        raise UserError("There is only one picture that can be used, and one is held out: add more, or give --crops.")
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(pictures))
    by_class = sorted(order, key=lambda k: pictures[k].label or "")  # stable: random within a class
    count = min(len(pictures) - 1, max(1, round(options.val_fraction * len(pictures))))
    held_out = {int(by_class[int((k + 0.5) * len(pictures) / count)]) for k in range(count)}
    return {
        "train": [p for k, p in enumerate(pictures) if k not in held_out],
        "val": [p for k, p in enumerate(pictures) if k in held_out],
    }


def _crops(found: Found, options: Options, size: int) -> dict[str, list[Picture]]:
    """Pieces of the pictures, unscaled; those to be held out come from the last fifth of each picture's width (at
    least one piece wide), which training pieces do not touch."""
    usable = []
    for picture in found.pictures:
        rows, columns = picture.pixels.shape[:2]
        if rows < size or columns < 2 * size:
            found.skipped[picture.name] = f"too small for crops ({columns} x {rows}, they need {2 * size} x {size})"
        else:
            usable.append(picture)
    if not usable:
        raise UserError(f"Nothing can be used: {skipped_words(found.skipped)}.")
    rng = np.random.default_rng(options.seed)
    held_out = max(1, round(options.val_fraction * options.cuts))
    made: dict[str, list[Picture]] = {}
    for split, count in (("train", max(1, options.cuts - held_out)), ("val", held_out)):
        made[split] = [_crop(usable[k % len(usable)], k, split, size, rng) for k in range(count)]
    return made


def _crop(picture: Picture, number: int, split: str, size: int, rng: np.random.Generator) -> Picture:
    rows, columns = picture.pixels.shape[:2]
    border = min(columns - columns // HELD_OUT_WIDTH, columns - size)
    first, last = (0, border - size) if split == "train" else (border, columns - size)
    for _ in range(CROP_TRIES):
        top, left = int(rng.integers(rows - size + 1)), int(rng.integers(first, last + 1))
        pixels = picture.pixels[top : top + size, left : left + size]
        if pixels.std() >= FLAT:
            break
    return Picture(f"{picture.name}:{number}", pixels, picture.label)


def fitted(pixels_HWC: np.ndarray, size: int | None, channels: int) -> np.ndarray:
    """A picture as the dataset holds it, uint8 [size, size, channels]: shorter side resized, centre cut out. Without
    `size` only its channels are converted."""
    from PIL import Image

    image = Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC)
    image = image.convert("L" if channels == 1 else "RGB")
    if size is not None and image.size != (size, size):
        scale = size / min(image.size)
        image = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BICUBIC)
        left, top = ((side - size) // 2 for side in image.size)
        image = image.crop((left, top, left + size, top + size))
    pixels = np.asarray(image)
    return pixels[..., None] if channels == 1 else pixels


def _write(options: Options, manifest: dict, splits: dict, classes: list[str], notes: Counter) -> None:
    """All files, beside their places, then moved there. Raises UserError if they cannot be written."""
    output, size, channels = options.output_dir, manifest["size"], manifest["channels"]
    staging = output / UNFINISHED
    try:
        shutil.rmtree(staging, ignore_errors=True)
        for split, pictures in splits.items():
            (staging / split).mkdir(parents=True)
            shape = (len(pictures), size, size, channels)
            stored = np.lib.format.open_memmap(staging / split / IMAGES, "w+", np.uint8, shape)
            for row, picture in zip(stored, pictures, strict=True):
                row[:] = fitted(picture.pixels, size, channels)
                for note in _changes(picture, size, channels):
                    notes[note] += 1
            stored.flush()
            numbers = [classes.index(p.label) if p.label in classes else -1 for p in pictures]
            np.save(staging / split / LABELS, np.array(numbers, np.int64))
            write_text(staging / split / NAMES, "".join(f"{picture.name}\n" for picture in pictures))
        manifest["converted"] = dict(sorted(notes.items()))
        (output / MANIFEST).unlink(missing_ok=True)  # from here on the dataset is unfinished
        for split in splits:
            shutil.rmtree(output / split, ignore_errors=True)
            (staging / split).rename(output / split)
        write_text(output / MANIFEST, yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True))
        staging.rmdir()
    except OSError as error:
        raise UserError(
            f"{output} cannot be written ({error.strerror or error}); choose another --output_dir."
        ) from None


def _changes(picture: Picture, size: int, channels: int) -> list[str]:
    rows, columns, own = picture.pixels.shape
    notes = ["enlarged"] if min(rows, columns) < size else ["reduced"] if min(rows, columns) > size else []
    notes += ["cut to a square"] if rows != columns else []
    return notes + (["colours made grey"] if own > channels else ["grey in a set of colours"] if own < channels else [])


def _existing(options: Options, wanted: dict[str, Any]) -> dict | None:
    """The description of the requested dataset if it is there. Raises UserError if the folder holds something else."""
    output = options.output_dir
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is not a folder; choose another --output_dir.")
    if options.overwrite or not output.exists():
        return None
    remedy = "add --overwrite to replace it, or choose another --output_dir"
    try:
        manifest = yaml.safe_load((output / MANIFEST).read_text(encoding="utf-8"))
        there = manifest["options"] if manifest["kind"] == KIND else None
    except FileNotFoundError:
        if any((output / split).exists() for split in ("train", "val")):
            raise UserError(f"{output} holds something that prepare_dataset.py did not make; {remedy}.") from None
        return None
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        there = None
    if there is None:
        raise UserError(f"{output} holds another kind of dataset; {remedy}.")
    other = sorted(key for key in there.keys() | wanted.keys() if there.get(key) != wanted.get(key))
    if other:
        listed = ", ".join(f"{key} {there.get(key)} instead of {wanted.get(key)}" for key in other)
        raise UserError(f"{output} holds a dataset made with other options ({listed}); {remedy}.")
    return manifest


def _lines(manifest: dict[str, Any]) -> list[str]:
    size, colours, counts = manifest["size"], {1: "grey", 3: "RGB"}[manifest["channels"]], manifest["images"]
    labels = f"{len(manifest['classes'])} classes" if manifest["classes"] else "without classes"
    lines = [f"{counts['train']} training and {counts['val']} validation images, {size} x {size}, {colours}, {labels}."]
    lines += [f"{number} {note}." for note, number in manifest["converted"].items()]
    if manifest["skipped"]:
        lines.append(f"Skipped {len(manifest['skipped'])} files: {skipped_words(manifest['skipped'])}.")
    return lines


def skipped_words(skipped: dict[str, str], names: int = 5) -> str:
    """Names and reasons of the first files that were left out, and how many more there are."""
    shown = [f"{name}: {reason}" for name, reason in list(skipped.items())[:names]]
    more = f" and {len(skipped) - names} more" if len(skipped) > names else ""
    return "; ".join(shown) + more if shown else "there are no pictures"


def _natural(name: str) -> tuple:
    """Numbers in the order of their values."""
    return (0, int(name), "") if name.isdigit() else (1, 0, name)
