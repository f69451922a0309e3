"""The dataset folder: pairs of wav files in `train/` and `val/`, and `dataset.yaml`, which says how they were made.

    train/pair_0000_input.wav  train/pair_0000_target.wav  ...  val/...  dataset.yaml

A dataset made by hand needs no `dataset.yaml`. See dataset_pairs_wav/README.md for the format as users read it.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from errors import UserError
from kinds.audio import plain_yaml
from kinds.audio.errors import AudioError
from kinds.audio.files import SAMPLE_RATE, AudioInfo, probe
from runtime.files import write_text

MANIFEST_NAME = "dataset.yaml"
UNFINISHED_NAME = ".prepare"  # folder of prepare_dataset.py, removed when the dataset is complete
FORMAT = 1
MIN_TRAIN_PAIRS = 2
MIN_SECONDS = 0.1
_MAX_MANIFEST_BYTES = 1 << 30
_MAX_RATE, _MAX_SECONDS = 768_000, 3600.0
_ROLES = {"input": "input", "target": "target", "output": "target"}
PAIR_FILE = re.compile(r"(?P<name>.+)_(?P<role>input|target|output)\.(?:wav|flac)", re.IGNORECASE)
_MAKE_AGAIN = "make the dataset again with prepare_dataset.py, or remove the pair"
_MEND_MANIFEST = "make the dataset again with prepare_dataset.py, or remove this file if the dataset was made by hand"

Channels = Annotated[list[float], Field(max_length=4096)]
Count = Annotated[int, Field(ge=0, le=1 << 24)]
Text = Annotated[str, StringConstraints(max_length=1 << 16)]  # the longest path, with every byte escaped
Line = Annotated[str, StringConstraints(max_length=1 << 22)]  # of a day's recording with a pause every second


@dataclass(frozen=True)
class PairFiles:
    """One pair on disk; `name` is the part of the file names before `_input` and `_target`."""

    name: str
    input: Path
    target: Path


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class LatentSummary(_Strict):
    """Statistics of the training latents of one codec, per channel; for information only, the cache has its own."""

    identity: Text
    frames: Count
    max_abs_error: float
    mean: Channels
    std: Channels


class Manifest(_Strict):
    """The contents of dataset.yaml.

    `skipped` names the first files left out for every reason, `skipped_more` counts the others; `remarks` says which
    files were read otherwise than their headers say. `songs` holds one line per song and split: `train 12 0:9,11:3
    2c26b46b... theme.ogg` says that pair 12 of `train/` is (clip 0, clip 1) of the file theme.ogg and so on: nine pairs
    from its clip 0, then three from its clip 11, a clip being `duration` seconds, counted from the file's start.
    2c26b46b... is the digest of the file. (Lines and not mappings, because reading yaml is slow and every run reads
    this.)
    """

    format: Literal[1] = FORMAT
    made_by: Text = ""
    sample_rate: Annotated[int, Field(gt=0, le=_MAX_RATE)] = SAMPLE_RATE
    duration: Annotated[float, Field(gt=0, le=_MAX_SECONDS)] | Annotated[int, Field(gt=0, le=_MAX_SECONDS)]
    codec: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    options: dict[Text, str | int | float | bool | None] = Field(default_factory=dict)
    split_by: Literal["song", "time"] = "song"
    files_read: Count = 0
    hours: Annotated[float, Field(ge=0)] = 0.0
    pairs: dict[Literal["train", "val"], Count] = Field(default_factory=dict)
    songs: list[Line] = Field(default_factory=list)
    skipped: dict[Text, Text] = Field(default_factory=dict)
    skipped_more: dict[Text, Count] = Field(default_factory=dict)
    silent_clips: dict[Text, Count] = Field(default_factory=dict)
    remarks: dict[Text, Text] = Field(default_factory=dict)
    latents: LatentSummary | None = None

    @property
    def clip_samples(self) -> int:
        return round(self.duration * self.sample_rate)


@dataclass(frozen=True)
class SongOrigin:
    """One line of `Manifest.songs`: `runs` holds (first clip, pairs) of each stretch of clips in a row."""

    split: str
    first_pair: int
    runs: tuple[tuple[int, int], ...]
    digest: str
    file: str

    _PATTERN = re.compile(
        r"(train|val) (\d{1,8}) (\d{1,8}:\d{1,8}(?:,\d{1,8}:\d{1,8})*) ([0-9a-f]{8,64}) (.+)", re.DOTALL
    )

    def __str__(self) -> str:
        runs = ",".join(f"{clip}:{pairs}" for clip, pairs in self.runs)
        return f"{self.split} {self.first_pair} {runs} {self.digest} {self.file}"

    @classmethod
    def parse(cls, line: str) -> "SongOrigin":
        """Raises ValueError if the line is malformed or names a file outside the music folder."""
        match = cls._PATTERN.fullmatch(line)
        if not match:
            raise ValueError(f"not the origin of pairs: {line[:80]!r}")
        split, first, runs, digest, file = match.groups()
        if Path(file).is_absolute() or ".." in Path(file).parts or "\0" in file:
            raise ValueError(f"a path that leads out of the folder: {file[:80]!r}")
        stretches = [run.split(":") for run in runs.split(",")]
        return cls(split, int(first), tuple((int(clip), int(pairs)) for clip, pairs in stretches), digest, file)

    def pairs(self) -> list[tuple[int, int]]:
        """(pair number, clip number of its input) of every pair."""
        clips = [clip + i for clip, pairs in self.runs for i in range(pairs)]
        return [(self.first_pair + i, clip) for i, clip in enumerate(clips)]


def pair_paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Where the input and the target of a pair are written."""
    return folder / f"pair_{number:04d}_input.wav", folder / f"pair_{number:04d}_target.wav"


def read_manifest(folder: Path) -> Manifest | None:
    """Read and check `dataset.yaml` in `folder`; None if there is none. Raises UserError for anything wrong."""
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise UserError(f"{path} is too large to be a dataset's description; {_MEND_MANIFEST}.")
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({_one_line(error)}); {_MEND_MANIFEST}.") from None
    try:
        # Odd tags make the loader raise more than YAMLError: KeyError for `!!bool x`, ValueError for a 13th month.
        manifest = Manifest.model_validate(plain_yaml.load(text))
        _check_origins(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(" ".join(str(part).split())[:40] for part in first["loc"]) or "the whole file"
        raise UserError(f"{path}, {place}: {_one_line(first['msg'])}; {_MEND_MANIFEST}.") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is not a dataset's description ({_one_line(error)}); {_MEND_MANIFEST}.") from None
    return manifest


def _check_origins(manifest: Manifest) -> None:
    """Raises ValueError if the lines of `songs` are malformed or do not add up to the counts."""
    counts = {"train": 0, "val": 0}
    for line in manifest.songs:
        origin = SongOrigin.parse(line)
        counts[origin.split] += sum(pairs for _, pairs in origin.runs)
    if manifest.songs and counts != {"train": 0, "val": 0} | manifest.pairs:
        raise ValueError(f"its songs add up to {counts}, not to {manifest.pairs}")


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `dataset.yaml` atomically; the same manifest gives the same bytes."""
    content = manifest.model_dump(exclude_none=True)
    latents = {"latents": content.pop("latents")} if "latents" in content else {}
    text = "# How this dataset was made; its README says what each line means.\n" + plain_yaml.dump(content)
    if latents:
        text += plain_yaml.dump(latents, default_flow_style=None)
    write_text(folder / MANIFEST_NAME, text)


def list_pairs(folder: Path) -> list[PairFiles]:
    """The pairs in a folder, sorted by name; other files are left alone, subfolders are not entered.

    Raises UserError: folder missing, no pairs, an input without target or the reverse, a role filled twice.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise UserError(f"The folder {folder} {reason}; make a dataset with prepare_dataset.py first.") from None
    found: dict[str, dict[str, Path]] = {}
    for file_name in names:
        match = PAIR_FILE.fullmatch(file_name)
        if match:
            roles, role = found.setdefault(match["name"], {}), _ROLES[match["role"].lower()]
            if role in roles:
                raise UserError(f"{folder}: {roles[role].name} and {file_name} are both the {role}; remove one.")
            roles[role] = folder / file_name
    if not found:
        raise UserError(
            f"{folder} holds no pairs (NAME_input.wav with NAME_target.wav); make them with prepare_dataset.py."
        )
    for name, roles in found.items():
        if len(roles) == 1:
            have, lack = ("input", "target") if "input" in roles else ("target", "input")
            raise UserError(f"{roles[have]} has no {name}_{lack}.wav beside it; {_MAKE_AGAIN}.")
    return [PairFiles(name, roles["input"], roles["target"]) for name, roles in found.items()]


def check_clip(path: Path, sample_rate: int, samples: int | None) -> int:
    """Check a clip by its header and return its length in samples; `samples` is the length that it must have, if known.

    Raises UserError: not audio, empty, 8-bit, another rate, too short, another length.
    """
    try:
        info: AudioInfo = probe(path)
    except AudioError as error:
        raise UserError(f"{path} cannot be used: {error.reason}; {_MAKE_AGAIN}.") from None
    if info.frames == 0:
        raise UserError(f"{path} cannot be used: empty; {_MAKE_AGAIN}.")
    if info.bits < 16:
        raise UserError(f"{path} has 8 bits per sample, at least 16 are needed; {_MAKE_AGAIN}.")
    if info.sample_rate != sample_rate:
        raise UserError(f"{path} has a sample rate of {info.sample_rate} Hz instead of {sample_rate}; {_MAKE_AGAIN}.")
    if samples is not None and info.frames != samples:
        raise UserError(
            f"{path} is {info.frames / sample_rate:.3f} s long where the others are {samples / sample_rate:.3f} s, "
            f"but all clips must have one length; {_MAKE_AGAIN}."
        )
    if info.frames < MIN_SECONDS * sample_rate:
        raise UserError(f"{path} is shorter than {MIN_SECONDS} s; {_MAKE_AGAIN}.")
    return info.frames


def check_counts(train: int, val: int, train_folder: Path, val_folder: Path) -> None:
    """Raises UserError for fewer than two training pairs (the discriminator compares pairs) or no validation pair."""
    if train < MIN_TRAIN_PAIRS:
        raise UserError(
            f"{train_folder} holds {train} pair, but training takes at least {MIN_TRAIN_PAIRS}; "
            "give prepare_dataset.py more music or a shorter --duration."
        )
    if val < 1:
        raise UserError(f"{val_folder} holds no pairs; {_MAKE_AGAIN}.")


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
