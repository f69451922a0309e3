"""Finds audio files in a folder, and says why others are left out: one way for all programs."""

import os
from pathlib import Path

from errors import printable
from kinds.audio import ffmpeg
from kinds.audio.files import AUDIO_SUFFIXES, FFMPEG_SUFFIXES


def find_audio(folder: Path, leave_out: Path | None = None) -> tuple[dict[str, Path], dict[str, str]]:
    """Walk a folder of music -> ({name: audio file}, {name of another file or folder: why it is left out}), unordered.

    Names are paths relative to `folder`, what cannot be printed escaped. Links to folders are followed, each folder is
    entered once; `leave_out` is not entered.
    """
    found: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    entered = {_identity(leave_out)} if leave_out is not None and leave_out.exists() else set()

    def name_of(path: Path | str) -> str:
        return printable(Path(path).relative_to(folder).as_posix())

    def unreadable(error: OSError) -> None:
        skipped[name_of(error.filename)] = f"folder that cannot be read ({error.strerror})"

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=unreadable):
        if _identity(Path(parent)) in entered:
            folders.clear()
            continue
        entered.add(_identity(Path(parent)))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in files:
            path = Path(parent, file)
            name, reason = name_of(path), _why_not(path)
            while name in found or name in skipped:  # of two files only the escaped names can be alike
                name += "'"
            if reason is None:
                found[name] = path
            else:
                skipped[name] = reason
    return found, skipped


def is_audio(path: Path) -> bool:
    """Whether the name is that of an audio file which can be read here."""
    suffix = path.suffix.lower()
    return suffix in AUDIO_SUFFIXES or (suffix in FFMPEG_SUFFIXES and ffmpeg.is_installed())


def summary(skipped: dict[str, str], names: int = 20, more: dict[str, int] | None = None) -> str:
    """Skipped files by reason: "not audio (1): README.md; too short (1): b.ogg (3.0 s, a pair takes 32 s)".

    `more` counts, by reason, files that `skipped` does not name.
    """
    by_reason: dict[str, list[str]] = {reason: [] for reason in more or {}}
    for name, reason in skipped.items():
        kind, detail = kind_of(reason)
        by_reason.setdefault(kind, []).append(name + detail)
    parts = []
    for kind, files in sorted(by_reason.items()):
        count = len(files) + (more or {}).get(kind, 0)
        rest = count - len(files[:names])
        parts.append(f"{kind} ({count}): {', '.join(files[:names])}{f' and {rest} more' if rest else ''}")
    return "; ".join(parts) or "there are no files"


def kind_of(reason: str) -> tuple[str, str]:
    """A reason without what differs from file to file, and the rest: ("too short", " (3.0 s, a pair takes 32 s)")."""
    kind, parenthesis, detail = reason.partition(" (")
    return kind, parenthesis + detail


def _why_not(path: Path) -> str | None:
    if path.name.startswith("."):
        return "hidden"
    if is_audio(path):
        return None
    return ffmpeg.NEEDED if path.suffix.lower() in FFMPEG_SUFFIXES else "not audio"


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
