"""Clips that turn out unreadable while training: named, replaced, and too many of them are the end of the run."""

from dataclasses import dataclass, field

from errors import UserError
from runtime.distributed import Ranks, ToldElsewhere


@dataclass
class BadClips:
    """What this rank has met, and what all ranks know.

    Args:
        limit: more clips than this end the run.

    Attributes:
        known: names that all ranks know; `news` (name -> why) is what this rank alone knows.
    """

    limit: int
    known: set[str] = field(default_factory=set)
    news: dict[str, str] = field(default_factory=dict)

    def take(self, bad: dict[str, str]) -> None:
        """Enters what a batch says of unreadable clips (`data.stream.Batch.bad`)."""
        self.news |= {name: why for name, why in bad.items() if name not in self.known}

    def share(self, ranks: Ranks, lost: bool) -> list[str]:
        """All ranks learn of the news together. Returns a sentence for each new clip.

        Args:
            lost: whether some rank found nothing that could take a bad clip's place.

        Raises:
            UserError: there are more than the limit, or nothing could be read (ToldElsewhere on ranks other than 0).
        """
        news = {name: why for reports in ranks.gather(self.news) for name, why in sorted(reports.items())}
        self.known |= news.keys()
        self.news = {}
        if lost or len(self.known) > self.limit:
            first = next(iter(news.values()), "no clip can be read")
            bound = "no other clip could take its place" if lost else f"--max_bad_clips is {self.limit}"
            problem = f"{len(self.known)} clip(s) cannot be read and {bound}; {first}"
            raise UserError(problem) if ranks.is_main else ToldElsewhere(problem)
        return [f"warning: skipped ({len(self.known)} of at most {self.limit}): {why}" for why in news.values()]
