"""The interface of every kind of data: from files to tensors and back.

A new kind is a class that follows `Kind`, its options (a `KindOptions`), and one line in `kinds/options.py`. Training
reads it through this protocol alone.

Legend: B samples, D channels, T positions of the last axis; samples may have more axes in between (masks and agents of
`models/` take [B, D, T] alone).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from data.pairs import Pairs
from kinds.options import DataOptions
from losses.options import RegressionOptions
from monitoring.log import RunLog
from monitoring.sample_words import CLIPS, SampleWords
from registry import Chosen
from synthesis.space import Space

DecodedLosses = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]


class Decoder(Protocol):
    """From tensors back to files such as wav, and to TensorBoard."""

    def losses(self, regression: RegressionOptions, measure: Callable[[Tensor, Tensor], Tensor]) -> DecodedLosses:
        """Losses on decoded data: called with samples (denormalised) of output, clean input and clean target, they
        return the weighted loss [B] and the single losses [B] by name. `measure` is the regression loss."""
        ...

    def write(self, log: RunLog, name: str, samples_BDT: Tensor, step: int, stem: Path) -> None:
        """Samples (denormalised) as files `<stem>_*`, pictures `.png` among them, one of which shows all, and into
        TensorBoard under `<name>/*`. Raises OSError where the files cannot be written."""
        ...

    def write_references(self, log: RunLog, pairs: Pairs, count: int, home: Path) -> None:
        """The first `count` real targets as `home/real_*`, and as the decoder plays them back as `home/round_trip_*`:
        no generated sample can be better."""
        ...


class Kind(Protocol):
    """One kind of data with the options of one run.

    Attributes:
        unit: what a sample's length is counted in ("s").
        identity: of the tensors that `open` gives; a checkpoint fits data of the same identity.
        rate: positions of the last axis to a unit of length; 1 where nothing lasts.
        about: what `Space.about` keeps for generation, plain types.

    A generator usually starts from samples with noise. A kind whose generator starts from something computed from a
    sample (its latents, a smaller copy) has three more attributes: `observe(x_BDT) -> (start, clean)`, which maps
    normalised samples to what the generator starts from and to what it should make, `source_channels` and
    `made_channels`, the channels of both; and `own_reals = True` if the discriminator should compare what is made with
    the very sample that it was made from, instead of another one.

    A kind says by `words` what its samples are called (`monitoring.sample_words`); without it they are clips of music.

    A kind whose features can be constant over its samples has `least_std`, the deviation below which they do not count
    fully. A kind may have measures of its own for validation: `measured`, their names, and
    `measures(made, clean, start) -> [B, K]`, one column for each name.
    """

    unit: str
    identity: str
    rate: float
    about: dict[str, Any]

    def open(self, data: DataOptions, build: bool) -> tuple[Pairs, Pairs]:
        """Training and validation pairs; missing files are made first, unless `build=False` (another process has made
        them). Raises UserError, one sentence, for anything that training could not use."""
        ...

    def features(self, x_BDT: Tensor) -> Tensor:
        """[B, F]: cheap statistics of normalised samples, by which their diversity is measured."""
        ...

    def open_decoder(self, space: Space, device: str) -> Decoder:
        """Raises UserError if it is not available, for example because weights are missing."""
        ...


def build_kind(choices: Mapping[str, Chosen]) -> Kind:
    """The kind that `--kind` selects, built from its own options and the parts that these select."""
    return choices["kind"].build(choices)


def words_of(kind: Kind) -> SampleWords:
    """What the kind calls its samples."""
    return getattr(kind, "words", CLIPS)
