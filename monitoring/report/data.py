"""Reads a run's folder for the report: options, facts, metrics by epoch, samples. Any of them may be missing."""

import json
import os
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from config import default_values
from earlier_versions import current_options
from errors import UserError
from losses.options import OBJECTIVES
from monitoring.advice import advise
from monitoring.log import read_metrics
from monitoring.sample_words import SampleWords, recorded_words

HEARD_SECONDS = 10.0
GRID = -1  # the number of a picture of all samples
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Clip:
    """One sample: a picture and a sound (empty where there is none: a picture, or a grid of all samples), as data URLs.
    `title` says what it is, `epoch` when it was made (0: real), `caption` what it was asked for."""

    title: str
    epoch: int
    number: int
    picture: str
    sound: str
    caption: str = ""


@dataclass
class RunData:
    """The data of a run.

    Attributes:
        options: from `config.yaml`, with defaults for the others.
        about: from `about.json`: facts about data, networks and devices.
        lines: from `metrics.jsonl`.
    """

    name: str
    folder: Path
    options: dict[str, Any]
    about: dict[str, Any]
    lines: list[dict[str, Any]]
    finished: bool
    segments: "list[Segment]" = field(init=False)

    def __post_init__(self) -> None:
        self.segments = health_segments(self)

    @property
    def per_epoch(self) -> float:
        """Samples per epoch: as recorded, else inferred from the last validation."""
        if "train_pairs" in self.about:
            return float(self.about["train_pairs"])
        ends = [line for line in self.lines if "val/current" in line and line.get("epoch")]
        return ends[-1]["samples_seen"] / ends[-1]["epoch"] if ends else 1.0

    def at(self, line: dict[str, Any]) -> float:
        """Epochs completed at a line, as a decimal number."""
        return line.get("samples_seen", 0) / self.per_epoch

    @property
    def end(self) -> float:
        return self.at(self.lines[-1]) if self.lines else 0.0

    def series(self, name: str) -> Points:
        """(epochs, value) of every line in which the metric is finite."""
        found = [(self.at(line), line[name]) for line in self.lines if isinstance(line.get(name), int | float)]
        return [(x, float(y)) for x, y in found if isfinite(y)]

    def last(self, name: str) -> float | None:
        series = self.series(name)
        return series[-1][1] if series else None

    @property
    def words(self) -> SampleWords:
        return recorded_words(self.about)

    def advice(self, verdict: str) -> str:
        """What to do about a verdict, with values for this run."""
        return advise(verdict, self.options, self.words)

    @cached_property
    def objective(self):
        """The run's `losses.adversarial.Objective`."""
        part = OBJECTIVES[self.options["gan_loss"]]
        own = {name: self.options[name] for name in part.options.model_fields if name in self.options}
        return part.load()(part.options(**own))

    @property
    def baseline(self) -> float | None:
        """The discriminator's loss for a random guess; None for a critic, whose loss is a gap."""
        return self.objective.baseline or None

    @property
    def compares_pairs(self) -> bool:
        return self.objective.compares_pairs


@dataclass(frozen=True)
class Segment:
    """A verdict that held from one epoch to another, with its evidence at the end. is_state: it is on the state of the
    networks, not a finding about what is generated."""

    verdict: str
    start: float
    end: float
    evidence: str
    is_state: bool


def health_segments(run: RunData) -> list[Segment]:
    """Stretches of equal verdicts, in the order in which they began; the first name of a line is the state's."""
    open_: dict[str, Segment] = {}
    done: list[Segment] = []
    for line in run.lines:
        health, now = line.get("health"), run.at(line)
        if not isinstance(health, dict):
            continue
        for name in [name for name in open_ if name not in health]:
            done.append(_until(open_.pop(name), now))
        for k, (name, evidence) in enumerate(health.items()):
            started = open_[name].start if name in open_ else now
            open_[name] = Segment(name, started, now, evidence, k == 0)
    return sorted([*done, *open_.values()], key=lambda segment: (segment.start, not segment.is_state))


def _until(segment: Segment, end: float) -> Segment:
    return Segment(segment.verdict, segment.start, end, segment.evidence, segment.is_state)


def load_run(folder: Path) -> RunData:
    """Reads a run's folder, finished, in progress or broken.

    Raises:
        UserError: it is not the folder of a run.
    """
    import yaml

    if not (folder / "metrics.jsonl").is_file():
        raise UserError(f"{folder} holds no metrics.jsonl: give the folder of a run (its --checkpoint_dir)")
    options = default_values()
    with suppress(OSError, yaml.YAMLError, TypeError, AttributeError):  # without it: a report of the metrics alone
        options |= options_of(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {}, options)
    if options["gan_loss"] not in OBJECTIVES:
        raise UserError(f"{folder / 'config.yaml'} names an unknown gan_loss: {options['gan_loss']}")
    try:
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        about = {}
    lines = [line for line in read_metrics(folder / "metrics.jsonl") if isinstance(line, dict) and "step" in line]
    finished = (folder / "generator.safetensors").exists()
    return RunData(folder.name or str(folder), folder, options, about, lines, finished)


def options_of(written: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The options in a `config.yaml` of this version or an earlier one."""
    values, _ = current_options(written)
    if isinstance(values.get("health"), dict):
        values["health"] = defaults["health"] | values["health"]
    return values


def load_clips(folder: Path, most_epochs: int = 6) -> list[Clip]:
    """The run's samples: real clips, their round trip, and of at most `most_epochs` epochs spread over the run."""
    home = folder / "samples"
    by_epoch: dict[int, list[Path]] = {}
    for path in sorted(home.glob("epoch_*_*.png")):
        number = path.stem.split("_")[1]
        if number.isdigit():
            by_epoch.setdefault(int(number), []).append(path)
    wanted = [(f"epoch {epoch}", epoch, by_epoch[epoch]) for epoch in spread(sorted(by_epoch), most_epochs)]
    for stem, title in (("round_trip", "real, through the codec"), ("real", "real")):
        wanted.insert(0, (title, 0, sorted(home.glob(f"{stem}_*.png"))))
    made = [_clip(title, epoch, path) for title, epoch, paths in wanted for path in paths]
    return [clip for clip in [*made, *_by_label(home)] if clip is not None]


def _by_label(home: Path) -> "list[Clip | None]":
    """One clip for each label that was asked for, of the last epoch with samples."""
    try:
        asked = json.loads((home / "labels.json").read_text(encoding="utf-8"))
        epoch, labels = int(asked["epoch"]), list(map(str, asked["labels"]))
    except (OSError, ValueError, KeyError, TypeError):
        return []
    title = f"one for each label, epoch {epoch}"
    return [_clip(title, epoch, home / f"label_{k}_0.png", label) for k, label in enumerate(labels)]


def spread(items: list, most: int) -> list:
    """At most `most` of the items, evenly, the first and last among them; only the last if `most` is 1."""
    if len(items) <= most or most == 1:
        return items[-most:]
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _clip(title: str, epoch: int, path: Path, caption: str = "") -> Clip | None:
    import numpy as np
    import soundfile
    from PIL import Image

    from monitoring.image_files import encoded

    wav, sound = path.with_suffix(".wav"), ""
    try:
        with Image.open(path) as image:
            picture = encoded(np.asarray(image.convert("RGB")), "jpeg")
        if wav.exists():
            wav_N, rate = soundfile.read(os.fsencode(wav), dtype="float32", frames=-1)
            sound = _sound(wav_N[: int(HEARD_SECONDS * rate)], rate)
    except (OSError, soundfile.SoundFileError):
        return None  # a sample of which only half is there
    last = path.stem.rsplit("_", 1)[1]
    number = int(last) if last.isdigit() else GRID
    return Clip(title, epoch, number, _data_url("image/jpeg", picture), sound, caption)


def _sound(wav_N, rate: int) -> str:
    """MP3 where the sound library can, which every browser plays, else wav."""
    import soundfile

    kind, mime = ("MP3", "audio/mpeg") if "MP3" in soundfile.available_formats() else ("WAV", "audio/wav")
    buffer = BytesIO()
    soundfile.write(buffer, wav_N, rate, format=kind)
    return _data_url(mime, buffer.getvalue())


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{b64encode(data).decode()}"
