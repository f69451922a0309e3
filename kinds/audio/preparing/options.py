"""Options of prepare_dataset.py."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from audio_codecs.options import CODECS
from kinds.audio.files import SAMPLE_RATE
from runtime.cores import available_cores

DURATION, DEMO_DURATION = 16.0, 4.0
LABEL_SOURCES = ("folder", "tags", "tempo")  # besides files


class Options(BaseModel):
    """Options of prepare_dataset.py; `duration` in seconds, None where the default depends on others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input_dir: Path | None = None
    output_dir: Path = Path("dataset_pairs_wav")
    duration: Annotated[float, Field(ge=0.5, le=600.0)] | None = None
    sample_rate: Annotated[int, Field(ge=8000, le=192_000)] = SAMPLE_RATE
    val_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    codec: str | None = None
    codec_weights: Path | None = None
    workers: Annotated[int, Field(ge=1, le=1024)] | None = None
    demo: Literal["songs", "varied"] | None = None
    demo_songs: Annotated[int, Field(ge=2, le=100_000)] = 26
    soundfont: Path | None = None
    labels: str | None = None
    overwrite: bool = False

    @field_validator("codec")
    @classmethod
    def _known(cls, codec: str | None) -> str | None:
        try:
            return codec if codec is None else CODECS.named(codec)[0].name
        except ValueError as error:
            raise ValueError(f"it must be {error}") from None

    @field_validator("labels")
    @classmethod
    def _places(cls, labels: str | None) -> str | None:
        places = _split(labels)
        if labels is not None and not all(places):
            raise ValueError(f"it must be one or more of {', '.join(LABEL_SOURCES)} and CSV files, joined by commas")
        if len(set(places)) < len(places):
            raise ValueError("each of them is given once")
        for place in places:
            if place not in LABEL_SOURCES and not Path(place).is_file():
                nearest = difflib.get_close_matches(place, LABEL_SOURCES, n=1)
                hint = f" (did you mean {nearest[0]}?)" if nearest else f" (and {', '.join(LABEL_SOURCES)} are known)"
                raise ValueError(f"there is no file {place}{hint}")
        return labels

    @property
    def label_places(self) -> tuple[str, ...]:
        """Where labels come from: of `LABEL_SOURCES`, or the path of a CSV file."""
        return _split(self.labels)

    @property
    def seconds(self) -> float:
        return self.duration or (DEMO_DURATION if self.demo else DURATION)

    @property
    def clip_samples(self) -> int:
        return round(self.seconds * self.sample_rate)

    @property
    def processes(self) -> int:
        return self.workers or available_cores()


def _split(labels: str | None) -> tuple[str, ...]:
    return () if labels is None else tuple(place.strip() for place in labels.split(","))
