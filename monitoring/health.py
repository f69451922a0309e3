"""The doctor: reads a run's logged figures and says in words what state the game is in, and what to do about it.

`diagnose(lines, config)` is a pure function of lines as `metrics.jsonl` holds them and of thresholds (the options
`health_*`). A `Doctor` does the same line by line, for a run in progress; fed with the lines of a resumed run's file it
knows what it knew. Every line has one verdict on the game, and any number of findings about what is generated.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from config import RunConfig
from losses.adversarial import Objective, choose_objective
from monitoring.health_rules import FINDINGS, GAME
from monitoring.verdicts import Line, Past, Verdict

ABOVE_CHANCE = 0.65
SETTLED_LINES = 3


def diagnose(lines: Iterable[Line], config: RunConfig) -> list[Verdict]:
    """Verdicts after the last of the lines: one on the game, then findings. Empty without lines."""
    doctor, verdicts = Doctor(config), []
    for line in lines:
        verdicts = doctor.see(line)
    return verdicts


@dataclass
class Doctor:
    """Sees line after line; lines of one step are one.

    Attributes:
        verdicts: after the last line; the game's first.
    """

    config: RunConfig
    verdicts: list[Verdict] = field(default_factory=list)

    def __post_init__(self) -> None:
        c = self.config
        self._objective: Objective = choose_objective(c.gan_loss, c.label_smoothing)
        self._steps: deque[Line] = deque(maxlen=c.health_window)
        self._checks: deque[Line] = deque(maxlen=2)  # lines with validation figures
        self._began: Line | None = None  # the last check before noise, or the first of all
        self._learned = False
        self._stood = 0  # for how many lines the game has had its verdict
        self._told, self._found = "", set()

    def see(self, line: Line) -> list[Verdict]:
        """Takes in a line and returns the verdicts on the run as it stands."""
        again = bool(self._steps) and self._steps[-1]["step"] == line["step"]
        if again:
            self._steps[-1] = line = self._steps[-1] | line
        elif "loss/g_total" in line or "loss/d" in line:
            self._steps.append(line)
        if "val/current" in line:
            self._take_check(line)
        past = self._past()
        game = next(verdict for rule in GAME if (verdict := rule(past)) is not None)
        self._learned |= game.name not in ("pre-training", "warming up") and past.accuracy > ABOVE_CHANCE
        self._stood = self._stood + 1 if self.verdicts and self.verdicts[0].name == game.name else 1
        self.verdicts = [game, *(finding for find in FINDINGS if (finding := find(past)) is not None)]
        return self.verdicts

    def _take_check(self, line: Line) -> None:
        if self._checks and self._checks[-1]["step"] == line["step"]:
            self._checks.pop()
        self._checks.append(line)
        if self._began is None or line["alpha"] == 0:
            self._began = line

    def news(self) -> list[Verdict]:
        """Verdicts worth telling that have not been told: the game's once it has stood for a few lines (on the edge
        between two it would fill the screen), divergence and findings at once."""
        game, *findings = self.verdicts
        settled = self._stood >= SETTLED_LINES or not self._told or game.name == "divergence"
        fresh = [game] if game.name != self._told and settled else []
        self._told = game.name if fresh else self._told
        fresh += [finding for finding in findings if finding.name not in self._found]
        self._found = {finding.name for finding in findings}
        return fresh

    def has(self, name: str) -> bool:
        return any(verdict.name == name for verdict in self.verdicts)

    def _past(self) -> "Past":
        return Past(self.config, self._objective, list(self._steps), list(self._checks), self._began, self._learned)
