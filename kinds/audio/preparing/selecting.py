"""Which songs are used, what is said about the others, and how much music cutting left out."""

import math

from kinds.audio.preparing.songs import StagedSong
from kinds.audio.walking import kind_of

NAMED = 100  # files of each reason that dataset.yaml names; the others are counted
_SHORTEST_S = 0.5  # of a clip
_NEARLY_ALL = 0.9  # of the music in files that are too short


def usable_songs(songs: list[StagedSong]) -> tuple[list[StagedSong], dict[str, str]]:
    """-> (songs to use, {other file: why it is left out}).

    Of files that hold the same recording one is used: with two, a clip could be in both train and val.
    """
    usable, skipped = [], {}
    files: dict[str, str] = {}
    recordings: dict[str, str] = {}
    for song in songs:
        if song.reason is not None:
            skipped[song.name] = song.reason
        elif song.digest in files:
            skipped[song.name] = f"the same file as {files[song.digest]}"
        elif song.audio in recordings:
            skipped[song.name] = f"the same recording as {recordings[song.audio]}"
        else:
            files[song.digest] = recordings[song.audio] = song.name
            usable.append(song)
    return usable, skipped


def shortened(skipped: dict[str, str]) -> tuple[dict[str, str], dict[str, int]]:
    """-> (the first NAMED files of every reason, how many more there are by reason)."""
    counts: dict[str, int] = {}
    named = {}
    for name, reason in sorted(skipped.items()):
        kind = kind_of(reason)[0]
        counts[kind] = counts.get(kind, 0) + 1
        if counts[kind] <= NAMED:
            named[name] = reason
    return named, {kind: count - NAMED for kind, count in sorted(counts.items()) if count > NAMED}


def cutting_note(songs: list[StagedSong], clip_seconds: float) -> str | None:
    """A sentence on the music that fits into no pair, and on the --duration that would keep most of it."""
    short = [song.seconds for song in songs if (song.reason or "").startswith("too short")]
    ends = sum(song.seconds % clip_seconds for song in songs if song.reason is None)
    lost, total = sum(short) + ends, sum(song.seconds for song in songs)
    if lost < 0.01 * total:
        return None
    parts = [f"{ends:.1f} s at the ends of songs"] if ends else []
    if short:
        parts.append(
            f"{sum(short):.1f} s in {len(short)} {'file' if len(short) == 1 else 'files'} too short for a pair"
        )
    note = f"Cutting left out {lost:.1f} of {total:.1f} s of music: {' and '.join(parts)}."
    keeping = keeping_duration(short)
    return f"{note} --duration {keeping:g} would keep most of it." if keeping else note


def keeping_duration(short: list[float]) -> float | None:
    """The longest clip, in seconds, of which a pair fits into files that hold most of the music in `short` ones."""
    kept, longest = 0.0, sorted((seconds for seconds in short if seconds >= 2 * _SHORTEST_S), reverse=True)
    for seconds in longest:
        kept += seconds
        if kept >= _NEARLY_ALL * sum(longest):
            return math.floor(50 * seconds) / 100
    return None
