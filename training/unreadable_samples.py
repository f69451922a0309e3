"""Samples that cannot be read during training: they are reported and replaced; too many of them end the run."""

from dataclasses import dataclass, field

from errors import UserError
from runtime.distributed import Ranks, ReportedElsewhere

MOST = 16  # more samples than this end the run


@dataclass
class SkippedSamples:
    """Unreadable samples.

    Attributes:
        known: names known to all ranks; `news` (name -> why): those known to this rank only.
    """

    known: set[str] = field(default_factory=set)
    news: dict[str, str] = field(default_factory=dict)

    def take(self, bad: dict[str, str]) -> None:
        """Adds the unreadable samples of a batch (`data.stream.Batch.bad`)."""
        self.news |= {name: why for name, why in bad.items() if name not in self.known}

    def share(self, ranks: Ranks, lost: bool) -> list[str]:
        """Exchanges the news between ranks. Returns a sentence for each new sample.

        Args:
            lost: whether some rank found no replacement for an unreadable sample.

        Raises:
            UserError: there are more than the limit, or nothing could be read (on rank 0; ReportedElsewhere on others).
        """
        news = {name: why for reports in ranks.gather(self.news) for name, why in sorted(reports.items())}
        self.known |= news.keys()
        self.news = {}
        if lost or len(self.known) > MOST:
            first = next(iter(news.values()), "no clip can be read")
            bound = "no replacement could be read" if lost else f"at most {MOST} may be replaced"
            problem = f"{len(self.known)} clip(s) cannot be read and {bound}; {first}"
            raise UserError(problem) if ranks.is_main else ReportedElsewhere(problem)
        return [f"warning: skipped ({len(self.known)} of at most {MOST}): {why}" for why in news.values()]
