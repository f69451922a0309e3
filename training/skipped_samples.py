"""Samples that turn out unreadable while training: named, replaced, and too many of them are the end of the run."""

from dataclasses import dataclass, field

from errors import UserError
from runtime.distributed import Ranks, ReportedElsewhere

MOST = 16  # more samples than this end the run


@dataclass
class SkippedSamples:
    """What this rank has met, and what all ranks know.

    Attributes:
        known: names that all ranks know; `news` (name -> why) is what this rank alone knows.
    """

    known: set[str] = field(default_factory=set)
    news: dict[str, str] = field(default_factory=dict)

    def take(self, bad: dict[str, str]) -> None:
        """Enters what a batch says of unreadable samples (`data.stream.Batch.bad`)."""
        self.news |= {name: why for name, why in bad.items() if name not in self.known}

    def share(self, ranks: Ranks, lost: bool) -> list[str]:
        """All ranks learn of the news together. Returns a sentence for each new sample.

        Args:
            lost: whether some rank found nothing that could take a bad sample's place.

        Raises:
            UserError: there are more than the limit, or nothing could be read (on rank 0; ReportedElsewhere on others).
        """
        news = {name: why for reports in ranks.gather(self.news) for name, why in sorted(reports.items())}
        self.known |= news.keys()
        self.news = {}
        if lost or len(self.known) > MOST:
            first = next(iter(news.values()), "no clip can be read")
            bound = "no other clip could take its place" if lost else f"at most {MOST} may be replaced"
            problem = f"{len(self.known)} clip(s) cannot be read and {bound}; {first}"
            raise UserError(problem) if ranks.is_main else ReportedElsewhere(problem)
        return [f"warning: skipped ({len(self.known)} of at most {MOST}): {why}" for why in news.values()]
