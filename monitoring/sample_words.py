"""What a kind of data calls its samples, so that a run's messages name them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SampleWords:
    """one: a sample ("clip"); many: several of them; data: what they are made of, and the name of the curriculum's
    phase without noise ("music")."""

    one: str = "clip"
    many: str = "clips"
    data: str = "music"

    @property
    def of_data(self) -> str:
        """The possessive of `data`."""
        return f"{self.data}'" if self.data.endswith("s") else f"{self.data}'s"

    def phase(self, phase: str) -> str:
        """The name of a phase as users see it; in logs it is "music" for every kind."""
        return self.data if phase == "music" else phase


CLIPS = SampleWords()


def recorded_words(about: Mapping[str, Any]) -> SampleWords:
    """The words in a run's `about.json`; runs of earlier versions have none there."""
    return SampleWords(**about["words"]) if "words" in about else CLIPS
