"""Labels as users write them (`genre=jazz`) and as networks take them: one number each.

A vocabulary describes the labels of a dataset, in order and in plain types: `{"values": [...]}` for one of several
values, which stands for its index, `{"mean": ..., "std": ...}` for a number.
"""

import difflib
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from errors import UserError

Vocabulary = Mapping[str, Mapping[str, Any]]
Rows = Mapping[str, Sequence[float | None]]  # labels of some samples by name, None where missing

LARGEST = 1e30  # numbers beyond would overflow in float32
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_FEW = 8  # names that a message lists


def clean(text: str) -> str:
    """A label's name or value in the one form in which it is stored and compared: letters composed (NFC), blanks and
    control characters as single spaces, none at the ends."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()  # nothing to do for nearly all; tables hold a million of them
    text = text.encode("utf-8", "replace").decode()
    return _BLANK.sub(" ", unicodedata.normalize("NFC", text)).strip()


def number(text: str) -> float | None:
    """The number in a clean text, within +-1e30; None if it is none ("nan", "1,5" and "1_000" are none)."""
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if abs(value) <= LARGEST else None


def parse_labels(given: Sequence[str], vocabulary: Vocabulary) -> dict[str, float]:
    """What a user asks for -> label by name: the index of a value, or the number itself.

    Args:
        given: "name=value" each; a value may contain "=".
        vocabulary: of the dataset that the generator learned from; empty if that had no labels.

    Raises:
        UserError: one sentence, with the nearest known name or value: for an unknown label or value, for a number that
            is none, for a label given twice, and for a generator that knows no labels.

    >>> known = {"genre": {"values": ["folk", "jazz"]}, "tempo": {"mean": 118.2, "std": 21.5}}
    >>> parse_labels(["genre=jazz", "tempo=120"], known)
    {'genre': 1.0, 'tempo': 120.0}
    """
    labels: dict[str, float] = {}
    for item in given:
        name, equals, value = item.partition("=")
        name, value = clean(name), clean(value)
        if not vocabulary:
            raise UserError(f"The label {clean(item)!r} has no effect: this generator was trained without labels.")
        if not equals:
            raise UserError(f"The label {clean(item)!r} needs a value, such as {_example(name, vocabulary)}.")
        if name not in vocabulary:
            raise UserError(f"There is no label {name!r}; {_nearest(name, vocabulary)}")
        if name in labels:
            raise UserError(f"The label {name} is given twice; give it once.")
        labels[name] = _label(name, value, vocabulary[name])
    return labels


def label_rows(labels: Iterable[Mapping[str, float]], vocabulary: Vocabulary) -> dict[str, list[float | None]]:
    """The labels of some samples by name (`Rows`), in plain types."""
    columns: dict[str, list[float | None]] = {name: [] for name in vocabulary}
    for one in labels:
        for name, column in columns.items():
            value = float(one.get(name, math.nan))
            column.append(None if math.isnan(value) else value)
    return columns


def drawn_labels(asked: Mapping[str, float], rows: Rows, vocabulary: Vocabulary, number: int) -> dict[str, float]:
    """What is asked for, and else the labels of one of those samples that agree with all values asked for (numbers may
    differ). Where none agrees, the others stay open.

    number: which of them, modulo how many there are.

    >>> known = {"genre": {"values": ["folk", "jazz"]}, "tempo": {"mean": 118.2, "std": 21.5}}
    >>> drawn_labels({"genre": 1.0}, {"genre": [0.0, 1.0, 1.0], "tempo": [90.0, 120.0, None]}, known, 2)
    {'genre': 1.0, 'tempo': 120.0}
    """
    fixed = {name: value for name, value in asked.items() if "values" in vocabulary[name]}
    count = min((len(column) for column in rows.values()), default=0)
    agreeing = [k for k in range(count) if all(rows[name][k] == value for name, value in fixed.items() if name in rows)]
    if not agreeing:
        return dict(asked)
    chosen = agreeing[number % len(agreeing)]
    drawn = {name: column[chosen] for name, column in rows.items()}
    return {name: value for name, value in drawn.items() if value is not None} | dict(asked)


def _label(name: str, text: str, known: Mapping[str, Any]) -> float:
    if "values" not in known:
        value = number(text)
        if value is None:
            raise UserError(f"The label {name} takes a number, not {text!r}; {name}={known['mean']:.4g} is usual.")
        return value
    if text not in known["values"]:
        raise UserError(f"The label {name} has no value {text!r}; {_nearest(text, known['values'])}")
    return float(known["values"].index(text))


def _nearest(text: str, known: Iterable[str]) -> str:
    """The end of a sentence: the known name nearest to a text, and all of them if they are few."""
    names = list(known)
    folded = [name.casefold() for name in names]
    best = difflib.get_close_matches(text.casefold(), folded, n=1, cutoff=0.0)[0]
    nearest = names[folded.index(best)]
    listed = f" (known: {', '.join(names)})" if 1 < len(names) <= _FEW else ""
    return f"did you mean {nearest!r}?{listed}"


def _example(text: str, vocabulary: Vocabulary) -> str:
    """A label as it is written: the one whose name or value the text is, or the first."""
    for name, known in vocabulary.items():
        if text in known.get("values", ()):
            return f"{name}={text}"
    name = text if text in vocabulary else next(iter(vocabulary))
    known = vocabulary[name]
    return f"{name}={known['values'][0]}" if "values" in known else f"{name}={known['mean']:.4g}"
