"""Labels of songs, from the places that --labels names, and `labels.csv`, which gives them to all pairs of a song.

Labels are a function of the songs and of the finished clips, so that a run that continues another finds the same ones.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from data.progress import progress_bar
from data.workers import run_all
from errors import UserError
from kinds.audio.files import AudioError, read_audio
from kinds.audio.label_table import LabelTable, read_table, write_table
from kinds.audio.labels import LABELS_NAME, PAIR_COLUMN
from kinds.audio.pairs import SongOrigin, pair_paths
from kinds.audio.preparing.demo_music import demo_labels
from kinds.audio.preparing.options import LABEL_SOURCES, Options
from kinds.audio.preparing.songs import Source
from kinds.audio.preparing.tags import TAGS, check_reader, read_tags
from kinds.audio.preparing.tempo import MAX_SECONDS, estimate_tempo
from kinds.audio.preparing.varied_music import song_kind
from runtime.files import file_digest
from synthesis.labels import clean

FILE_COLUMN = "file"
_SHOWN = 5  # unknown files that a remark lists
_READERS = 4


@dataclass(frozen=True)
class Labelling:
    """How the songs of one dataset get their labels; `tables` are those of --labels that are files, by path."""

    options: Options
    sources: Sequence[Source]
    tables: Mapping[str, LabelTable]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Options, sources: Sequence[Source]) -> "Labelling":
        """Checks what --labels names. Raises UserError, one sentence, for what is not there or cannot be used."""
        places = options.label_places
        if options.demo and places:
            raise UserError("--demo labels its songs by itself; leave --labels out.")
        tables, notes = {}, []
        for place in places:
            if place == "tags":
                check_reader()
            elif place not in LABEL_SOURCES:
                tables[place], note = _song_table(Path(place), options, sources)
                notes += note
        return cls(options, sources, tables, tuple(notes))

    def record(self) -> dict[str, str]:
        """What a dataset's manifest says about it; nothing without --labels."""
        names = [_recorded(place) if place in self.tables else place for place in self.options.label_places]
        return {"labels": ",".join(names)} if names else {}

    def is_missing(self) -> bool:
        """Whether there should be a labels.csv, but is none."""
        return bool(self.options.demo or self.options.label_places) and not self._path.exists()

    @property
    def _path(self) -> Path:
        return self.options.output_dir / LABELS_NAME

    def write(self, origins: Sequence[SongOrigin]) -> None:
        """Write labels.csv for the pairs in `train/` and `val/`, or remove that of other pairs. Raises UserError."""
        try:
            if not (self.options.demo or self.options.label_places):
                self._path.unlink(missing_ok=True)
                return
            songs = joined(list(self._tables(origins)), [origin.file for origin in origins])
            rows = {name: songs.rows[origin.file] for origin in origins for name in pair_names(origin)}
            write_table(self._path, PAIR_COLUMN, LabelTable(songs.columns, rows))
        except OSError as error:
            raise UserError(
                f"{self._path} cannot be written ({error.strerror or error}); free some space or choose another "
                "--output_dir, then run the same command again."
            ) from None

    def _tables(self, origins: Sequence[SongOrigin]) -> Iterator[LabelTable]:
        used = {origin.file for origin in origins}
        sources = [source for source in self.sources if source.name in used]
        if self.options.demo:
            yield _demo_table(sources)
        for place in self.options.label_places:
            if place == "folder":
                yield LabelTable(("folder",), {name: (_folder(name),) for name in used})
            elif place == "tags":
                yield _tag_table(sources)
            elif place == "tempo":
                yield _tempo_table(self.options, origins)
            else:
                yield self.tables[place]


def pair_names(origin: SongOrigin) -> list[str]:
    """What labels.csv calls the pairs of a song: `train/pair_0000`."""
    paths = [pair_paths(Path(origin.split), number)[0] for number, _ in origin.pairs()]
    return [path.as_posix().removesuffix("_input.wav") for path in paths]


def joined(tables: Sequence[LabelTable], files: Iterable[str]) -> LabelTable:
    """One table of several; where two have a column of the same name, the first one that has a text counts."""
    columns = tuple(dict.fromkeys(name for table in tables for name in table.columns))
    rows = {}
    for file in dict.fromkeys(files):
        row: dict[str, str] = {}
        for table in tables:
            for name, text in zip(table.columns, table.rows.get(file, ()), strict=False):
                row[name] = row.get(name) or text
        rows[file] = tuple(row.get(name, "") for name in columns)
    return LabelTable(columns, rows)


def _folder(name: str) -> str:
    """The folder of a file, relative to --input_dir; "" for files in that folder itself."""
    parent = PurePath(name).parent.as_posix()
    return "" if parent == "." else clean(parent)


def _demo_table(sources: Sequence[Source]) -> LabelTable:
    rows: dict[str, dict[str, str]] = {}
    for source in sources:
        if source.varied is not None:
            rows[source.name] = {"kind": song_kind(source.demo_seed, source.varied.soundfont is not None)}
        else:
            rows[source.name] = demo_labels(source.demo_seed, source.demo_seconds)
    columns = tuple(next(iter(rows.values())))
    return LabelTable(columns, {name: tuple(row.values()) for name, row in rows.items()})


def _tag_table(sources: Sequence[Source]) -> LabelTable:
    with ThreadPoolExecutor(_READERS) as threads:
        texts = threads.map(lambda source: read_tags(str(source.path)), sources)
        return LabelTable(TAGS, {source.name: row for source, row in zip(sources, texts, strict=True)})


def _tempo_table(options: Options, origins: Sequence[SongOrigin]) -> LabelTable:
    """Estimated from the clips of each song's longer part, so that both parts of a single song have one tempo."""
    longest: dict[str, SongOrigin] = {}
    for origin in sorted(origins, key=lambda origin: len(origin.pairs())):
        longest[origin.file] = origin
    work = functools.partial(_tempo, output=options.output_dir, clip_seconds=options.seconds, rate=options.sample_rate)
    with progress_bar("Estimating tempos") as progress:
        texts = run_all(work, list(longest.values()), options.processes, progress)
    return LabelTable(("tempo",), {file: (text,) for file, text in zip(longest, texts, strict=True)})


def _tempo(origin: SongOrigin, output: Path, clip_seconds: float, rate: int) -> str:
    """The tempo of the longest stretch of a song's clips, "" if it has none."""
    first = origin.first_pair
    stretches = []
    for _, pairs in origin.runs:
        stretches.append((pairs, first))
        first += pairs
    pairs, first = max(stretches, key=lambda stretch: stretch[0])
    pairs = min(pairs, 1 + int(MAX_SECONDS / clip_seconds))
    paths = [pair_paths(output / origin.split, first + i)[0] for i in range(pairs)]
    try:
        clips = [read_audio(path, rate) for path in [*paths, pair_paths(output / origin.split, first + pairs - 1)[1]]]
    except AudioError as error:
        raise UserError(f"{error}; run the same command again.") from None
    tempo = estimate_tempo(np.concatenate(clips), rate)
    return "" if tempo is None else f"{tempo:.2f}"


def _recorded(place: str) -> str:
    return f"{Path(place).name} {file_digest(Path(place))[:16]}"


def _song_table(path: Path, options: Options, sources: Sequence[Source]) -> tuple[LabelTable, list[str]]:
    """A user's CSV by the names of the sources, and a remark on files that are not there."""
    if path.absolute() == (options.output_dir / LABELS_NAME).absolute():
        raise UserError(f"{path} is where the labels of the pairs go; keep the labels of the songs elsewhere.")
    table, names = read_table(path, FILE_COLUMN), {clean(source.name): source.name for source in sources}
    root = str(options.input_dir.absolute()).replace("\\", "/").rstrip("/") + "/" if options.input_dir else ""
    rows: dict[str, tuple[str, ...]] = {}
    unknown = []
    for file, texts in table.rows.items():
        name = names.get(file) or names.get(file.replace("\\", "/").removeprefix(clean(root)).removeprefix("./"))
        if name is None:
            unknown.append(file)
        elif rows.setdefault(name, texts) != texts:
            raise UserError(f"{path}: {file} is there twice, with other labels; remove one of the rows.")
    if not rows and names:
        example = next(iter(names))
        raise UserError(
            f"{path} names none of the music files in {options.input_dir}; write their paths like {example}."
        )
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    which = f"{path} names {len(unknown)} files that are not there: {', '.join(unknown[:_SHOWN])}{more}."
    return LabelTable(table.columns, rows), [which] if unknown else []


def label_counts(output: Path) -> list[str]:
    """A remark on how many pairs have each label; none without labels."""
    if not (output / LABELS_NAME).exists():
        return []
    table = read_table(output / LABELS_NAME, PAIR_COLUMN)
    counts = {name: sum(map(bool, table.column(name, table.rows))) for name in table.columns}
    return [f"Pairs with labels: {', '.join(f'{name} {count}' for name, count in counts.items())}."]
