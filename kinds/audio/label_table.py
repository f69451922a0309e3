"""Tables of labels as CSV files: one row for each pair or music file, one column for each label.

    pair,genre,tempo
    train/pair_0000,jazz,118.2
    train/pair_0001,,97

Written with commas, in UTF-8. Read as other programs write them, too: semicolons, tabs or bars, quotes, a byte order
mark, UTF-16.
"""

import codecs
import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from errors import UserError
from runtime.files import write_text
from synthesis.labels import clean

_DELIMITERS = ",;\t|"
_MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class LabelTable:
    """`columns` are the names of the labels; `rows` holds their texts by pair or file; "" is a missing one."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    def column(self, name: str, keys: Iterable[str]) -> list[str]:
        """The texts of one label for pairs or files, "" for those without a row."""
        place, none = self.columns.index(name), ("",) * len(self.columns)
        return [self.rows.get(key, none)[place] for key in keys]


def write_table(path: Path, key: str, table: LabelTable) -> None:
    """Write a table atomically; `key` is the name of the first column. Raises OSError."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([key, *table.columns])
    writer.writerows([name, *texts] for name, texts in table.rows.items())
    write_text(path, buffer.getvalue())


def read_table(path: Path, key: str) -> LabelTable:
    """Read a table whose column `key` names the pairs or files; all texts are `clean`.

    Raises UserError, one sentence: not readable, not text, no such column, no other column, columns without a name or
    of the same name, a row that is longer than the header, two rows that differ for one pair or file.
    """
    text = _text_of(path)
    delimiter = _delimiter(text, key)
    if delimiter is None:
        raise UserError(f"{path} has no column {key!r} in its first line; begin it with a line such as {key},genre.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: dict[str, tuple[str, ...]] = {}
    try:
        header = [clean(name) for name in next(reader)]
        place, columns = _columns(path, header, key)
        for cells in reader:
            if any(map(str.strip, cells)):
                _add_row(path, reader.line_num, rows, header, cells, place)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; save it again as a CSV file.") from None
    return LabelTable(columns, rows)


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"{path} is too large for a table of labels; keep its columns few and their texts short.")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); check the path of the labels.") from None
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not text in UTF-8; save it as CSV in UTF-8.") from None


def _delimiter(text: str, key: str) -> str | None:
    """The delimiter by which the first row holds `key`."""
    for delimiter in _DELIMITERS:
        try:
            first = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
        except csv.Error:
            continue
        if key in [clean(name).casefold() for name in first]:
            return delimiter
    return None


def _columns(path: Path, header: Sequence[str], key: str) -> tuple[int, tuple[str, ...]]:
    """(place of the key, names of the labels)."""
    place = [name.casefold() for name in header].index(key)
    columns = tuple(name for i, name in enumerate(header) if i != place)
    if not columns:
        raise UserError(f"{path} has no labels, only {key!r}; add a column such as genre.")
    wrong = [name for name in columns if not name or "=" in name]
    if wrong:
        raise UserError(f"{path} has a column named {wrong[0]!r}; a label's name has a letter or more and no '='.")
    twice = [name for i, name in enumerate(header) if name in header[:i]]
    if twice:
        raise UserError(f"{path} has two columns named {twice[0]!r}; rename or remove one.")
    return place, columns


def _add_row(
    path: Path, line: int, rows: dict[str, tuple[str, ...]], header: Sequence[str], cells: Sequence[str], place: int
) -> None:
    """Rows may be shorter than the header: what they lack is missing."""
    if any(map(str.strip, cells[len(header) :])):
        raise UserError(f"{path}, line {line} has more cells than the first line; put texts with commas into quotes.")
    texts = [clean(cell) for cell in cells[: len(header)]] + [""] * (len(header) - len(cells))
    name = texts.pop(place)
    if not name:
        raise UserError(f"{path}, line {line} does not say what its labels belong to; fill in its first column.")
    if rows.setdefault(name, tuple(texts)) != tuple(texts):
        raise UserError(f"{path}, line {line}: {name} is there twice, with other labels; remove one of the rows.")
