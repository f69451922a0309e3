"""What options there are, for tests: by type, by owner, with their limits."""

import pytest

from command_line import parse
from config import known_options
from errors import UserError

KNOWN = known_options()
FIELDS = {name: known.field for name, known in KNOWN.items()}
OWNED = {name for name, known in KNOWN.items() if known.owners}
FLOATS = [name for name, field in FIELDS.items() if field.annotation in (float, float | None)]
INTEGERS = [name for name, field in FIELDS.items() if field.annotation in (int, int | None)]
BOOLEANS = [name for name, field in FIELDS.items() if field.annotation is bool]


def owner_of(name: str) -> dict[str, object]:
    """What chooses a part which owns an option; nothing where it is a section's or a default part's."""
    chosen: dict[str, object] = {}
    if name in OWNED and name not in parse([]).flat():
        option, part = KNOWN[name].owners[0]
        chosen[option] = part.name
    if name.startswith("adaptive_alpha"):
        chosen |= {"pure_gan_mode": 0.01}
    return chosen


def words_of(values: dict[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def limits(name: str) -> dict[str, float]:
    """{"ge": .., "gt": .., "le": .., "lt": ..} of an option, those that it has."""
    found = {}
    for item in FIELDS[name].metadata:
        found |= {key: getattr(item, key) for key in ("ge", "gt", "le", "lt") if getattr(item, key, None) is not None}
    return found


def refused(*argv: str) -> str:
    """The sentence with which a command line is refused."""
    with pytest.raises(UserError) as caught:
        parse(list(argv))
    sentence = str(caught.value)
    assert sentence and "\n" not in sentence
    return sentence
