"""The rulers of audio: descriptors of clips, and how sets of clips are measured by them beside one ladder.

A ruler is a map from clips to feature rows; the metrics are the same for all (`evaluation.scorer`).

    clips  spectrum, modulation, onsets, chroma (`kinds.audio.features`): timbre and texture
    notes  what a transcription network hears (`kinds.audio.note_features`): whether notes are held, and which

Shapes: B clips, N samples, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from errors import UserError


@dataclass(frozen=True)
class Ruler:
    """Descriptors of clips.

    Attributes:
        describe: (clips [B, N], device) -> `evaluation.scorer.Described`.
        feature_names: () -> the names of the features' columns.
        missing: () -> why it cannot be used, in one sentence, or None.
        raw: features whose means are shown as they are -> (heading, decimals).
        copies: whether the distance to the nearest training clip means something. For notes it does not: a clip in
            which no note is heard is near any other of that kind, noise near a faint recording.
        leaves_out: metrics that another ruler's table shows already.
    """

    describe: Callable[[np.ndarray, str], object]
    feature_names: Callable[[], tuple[str, ...]]
    missing: Callable[[], str | None] = lambda: None
    raw: dict[str, tuple[str, int]] = field(default_factory=dict)
    copies: bool = True
    leaves_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """By one ruler: {set: {metric: {"value", "low", "high"}}}, and the raw means of the reference in that form."""

    sets: dict[str, dict]
    reference: dict[str, dict]


def _describe_clips(audio_BN, device):
    from kinds.audio.features import describe

    return describe(audio_BN, device)


def _clip_names():
    from kinds.audio.features import FEATURE_NAMES

    return FEATURE_NAMES


def _describe_notes(audio_BN, device):
    from kinds.audio.note_features import describe_notes

    return describe_notes(audio_BN, device)


def _note_names():
    from kinds.audio.note_features import FEATURE_NAMES

    return FEATURE_NAMES


def _notes_missing():
    from kinds.audio.notes import missing

    return missing()


RULERS = {
    "clips": Ruler(_describe_clips, _clip_names),
    "notes": Ruler(
        _describe_notes,
        _note_names,
        _notes_missing,
        raw={"notes_per_s": ("notes/s", 1), "length_mean": ("length s", 2), "polyphony_mean": ("polyphony", 1)},
        copies=False,
        leaves_out=("silent", "clipped"),
    ),
}


def usable_rulers(names: str | None) -> tuple[list[str], list[str]]:
    """The rulers of a list like "clips,notes" (None: all) that can be used, in the order of RULERS.

    -> names, and a sentence for each that cannot be used.

    Raises:
        UserError: an unknown name, or none of them can be used.
    """
    given = [name.strip() for name in names.split(",")] if names is not None else list(RULERS)
    if unknown := [name for name in given if name not in RULERS]:
        raise UserError(f"there is no ruler {unknown[0]!r}; choose from {', '.join(RULERS)} (--rulers clips,notes)")
    reasons = {name: ruler.missing() for name, ruler in RULERS.items() if name in given}
    usable = [name for name, reason in reasons.items() if reason is None]
    remarks = [reason for reason in reasons.values() if reason]
    if not usable:
        raise UserError(remarks[0])
    return usable, remarks


class Measuring:
    """One ruler laid on sets of clips, against one reference.

    reference_BN: held-out real clips. train_BN: training clips, for the distance to the nearest one, or None.
    """

    def __init__(self, name: str, reference_BN: np.ndarray, train_BN: np.ndarray | None, device: str = "cpu"):
        from evaluation.scorer import Scorer

        self.ruler, self.device = RULERS[name], device
        reference = self.ruler.describe(reference_BN, device)
        train = self.ruler.describe(train_BN, device) if train_BN is not None and self.ruler.copies else None
        self.scorer = Scorer(reference.features_NF, train.features_NF if train else None)
        self.reference_means = self._means(reference.features_NF)

    def score(self, clips_BN: np.ndarray, rounds: int = 100, seed: int = 0) -> dict[str, dict[str, float]]:
        """Metrics and raw means of a set of clips -> {metric: {"value", "low", "high"}}."""
        described = self.ruler.describe(clips_BN, self.device)
        metrics = self.scorer.score(described, rounds, seed)
        kept = {name: entry for name, entry in metrics.items() if name not in self.ruler.leaves_out}
        return kept | self._means(described.features_NF)

    def _means(self, features_BF):
        """Means of the raw features, with 95 % intervals of a mean of that many clips."""
        means = {}
        for name in self.ruler.raw:
            column_B = features_BF[:, self.ruler.feature_names().index(name)]
            value, half = float(column_B.mean()), float(1.96 * column_B.std() / np.sqrt(len(column_B)))
            means[name] = {"value": value, "low": max(0.0, value - half), "high": value + half}
        return means


def measure(
    names: list[str],
    reference_BN: np.ndarray,
    train_BN: np.ndarray,
    evaluated: dict[str, np.ndarray],
    codec,
    *,
    copies: bool = True,
    rounds: int = 100,
    seed: int = 0,
    device: str = "cpu",
    say: Callable[[str], None] = lambda what: None,
    rungs: tuple[str, ...] | None = None,
) -> dict[str, Measured]:
    """Every evaluated set and every rung of the ladder by every ruler -> {ruler: Measured}.

    Rungs are made from the first training clips, as many as the reference has, and once for all rulers.

    codec: as `audio_codecs` opens them, on `device`. copies: whether distances to training clips are measured.
    rungs: those to make, `floor` and `gaussian` among them; by default all.
    """
    from evaluation.ladder import RUNGS
    from evaluation.table import add_gap_closed
    from kinds.audio.rungs import make_rung

    say("measuring real music")
    measuring = {name: Measuring(name, reference_BN, train_BN if copies else None, device) for name in names}
    made = {name: lambda clips=clips: clips for name, clips in evaluated.items()}
    start_BN = train_BN[: len(reference_BN)]
    for rung in rungs or RUNGS:
        made[rung] = lambda rung=rung: make_rung(rung, start_BN, codec, seed, device)
    measured = {name: Measured({}, measuring[name].reference_means) for name in names}
    for title, make in made.items():
        say(title)
        clips_BN = make()
        for name in names:
            measured[name].sets[title] = measuring[name].score(clips_BN, rounds, seed)
    for name in names:
        add_gap_closed(measured[name].sets)
    return measured
