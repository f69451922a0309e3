"""What values of the two adversarial losses mean.

The bands are those of the discriminator's loss with the objective bce (the mean of its two terms, so a random guess
reads log 2 = 0.693); for other objectives they are in proportion to the loss of a random guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log
from statistics import fmean

SETTLED = (0.3, 0.7)  # where the loss of a healthy discriminator lies, in bce
STILL = 0.1  # a loss is constant if it changes by less than this share of its size


@dataclass(frozen=True)
class Band:
    """low, high: of the discriminator's loss in bce."""

    low: float
    high: float
    name: str
    meaning: str

    def within(self, baseline: float) -> tuple[float, float]:
        """The band for an objective whose random guess costs `baseline`."""
        return self.low * baseline / log(2), self.high * baseline / log(2)


BANDS = (
    Band(0.0, 0.1, "D wins", "the generator gets hardly any gradient; collapse only if diversity is low as well"),
    Band(0.1, 0.3, "D ahead", "usual early, and with R1 and R2 for objectives that compare pairs"),
    Band(0.3, 0.7, "healthy", "both networks learn; a random guess costs 0.69, which is equilibrium"),
    Band(0.7, 0.9, "D behind", "the discriminator does worse than a guess: the generator is ahead"),
    Band(0.9, 1.0, "D loses", "the generator gets gradients of little use: raise --disc_lr"),
    Band(1.0, inf, "D fails", "confident and wrong: divergence, or collapse if diversity is low as well"),
)


def band_of(loss: float, baseline: float) -> Band:
    """The band of a discriminator's loss."""
    scaled = loss / baseline * log(2)
    return next(band for band in reversed(BANDS) if scaled >= band.low or band is BANDS[0])


TRENDS = {
    "falling": "the generator gains on the discriminator",
    "rising": "the discriminator gains on the generator",
    "constant": "neither gains: settled if samples are good, stalled if they are not",
}


def trend(values: Sequence[float]) -> str | None:
    """A key of `TRENDS`, by the means of the first and the last third; None for fewer than six values."""
    third = len(values) // 3
    if third < 2:
        return None
    early, late = fmean(values[:third]), fmean(values[-third:])
    size = max(abs(early), abs(late), 1e-12)
    if abs(late - early) < STILL * size:
        return "constant"
    return "falling" if late < early else "rising"


def shares(losses: Sequence[float], baseline: float) -> dict[str, float]:
    """Share of the losses that lie in each band, by its name."""
    found = [band_of(loss, baseline).name for loss in losses]
    return {band.name: found.count(band.name) / max(1, len(found)) for band in BANDS}
