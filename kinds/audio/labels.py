"""Labels of pairs: `labels.csv` beside the folders of pairs -> one number for each label of each pair.

A label whose every training value is a number is a number; any other is one of several values, and stands for its index
among them. What is missing, or known in validation only, is NaN. P pairs, L labels.
"""

import hashlib
import json
import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from errors import UserError
from kinds.audio.label_table import LabelTable, read_table
from synthesis.labels import Vocabulary, number

LABELS_NAME, PAIR_COLUMN = "labels.csv", "pair"
STD_FLOOR = 1e-6


class PairLabels:
    """The labels of the pairs of one split. Pairs of one song share a row, so that reading one is a copy.

    Attributes:
        vocabulary: what the numbers mean, see `synthesis.labels`; empty without labels.
        digest: equal for equal labels of equal meaning; "" without labels.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]], count: int, vocabulary: Vocabulary):
        """texts: of each label, P of them (`count`), "" for a missing one."""
        self._columns = tuple(texts)
        columns = list(zip(*texts.values(), strict=True)) or [()] * count
        places = {row: place for place, row in enumerate(dict.fromkeys(columns))}
        self._distinct = list(places)
        self._row_of_P = array("i", [places[row] for row in columns])
        self.use(vocabulary)

    def use(self, vocabulary: Vocabulary) -> None:
        """Express the labels in another vocabulary, such as that of a checkpoint; what it does not know is NaN."""
        self.vocabulary = {name: dict(known) for name, known in vocabulary.items()}
        columns = dict(zip(self._columns, zip(*self._distinct, strict=True), strict=True))
        missing = [""] * len(self._distinct)
        numbers = [_as_numbers(columns.get(name, missing), known) for name, known in vocabulary.items()]
        rows = zip(*numbers, strict=True) if numbers else [()] * len(missing)
        self._rows = [dict(zip(vocabulary, row, strict=True)) for row in rows]

    def of(self, i: int) -> dict[str, float]:
        """The labels of pair i by name."""
        return self._rows[self._row_of_P[i]].copy()

    @property
    def digest(self) -> str:
        if not self.vocabulary:
            return ""
        text = json.dumps([self.vocabulary, [list(self.of(i).values()) for i in range(len(self._row_of_P))]])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def _as_numbers(texts: Sequence[str], known: Mapping[str, Any]) -> list[float]:
    """Texts of one label -> numbers, NaN where the vocabulary has none for them."""
    if "values" in known:
        index = {value: float(i) for i, value in enumerate(known["values"])}
        return [index.get(text, math.nan) for text in texts]
    values = [number(text) for text in texts]
    return [math.nan if value is None else value for value in values]


def vocabulary_of(texts: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """What training texts ("" for missing ones) of each label say about it; labels without any are left out."""
    vocabulary = {}
    for name, column in texts.items():
        present = [text for text in column if text]
        values = {text: number(text) for text in set(present)}
        if present and None not in values.values():
            vocabulary[name] = _summary([values[text] for text in present])
        elif present:
            vocabulary[name] = {"values": sorted(values)}
    return vocabulary


def _summary(values: Sequence[float]) -> dict[str, float]:
    """Exact sums, so that all machines agree to the last bit."""
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return {"mean": mean, "std": max(std, STD_FLOOR, STD_FLOOR * abs(mean))}


def read_labels(folders: Mapping[str, Path], names: Mapping[str, Sequence[str]]) -> dict[str, PairLabels]:
    """The labels of "train" and "val".

    Args:
        folders: of the pairs of each split. `labels.csv` is expected beside them and calls a pair by its folder and
            name: `train/pair_0000`. Without that file there are no labels.
        names: of the pairs of each split.

    Raises UserError, one sentence, for a file that cannot be used or names none of the training pairs.
    """
    tables: dict[Path, LabelTable | None] = {}
    for folder in folders.values():
        path = folder.absolute().parent / LABELS_NAME
        if path not in tables:
            tables[path] = read_table(path, PAIR_COLUMN) if path.exists() else None
    texts = {}
    for split, folder in folders.items():
        path = folder.absolute()
        table = tables[path.parent / LABELS_NAME]
        keys = [f"{path.name}/{name}" for name in names[split]]
        if split == "train" and table is not None and not any(key in table.rows for key in keys):
            raise UserError(
                f"{path.parent / LABELS_NAME} names none of the pairs in {path}; write them like {keys[0]}, or remove "
                "this file."
            )
        texts[split] = {name: table.column(name, keys) for name in table.columns} if table else {}
    vocabulary = vocabulary_of(texts["train"])
    return {split: PairLabels(texts[split], len(names[split]), vocabulary) for split in folders}
