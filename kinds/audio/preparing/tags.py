"""Labels from the tags in audio files, read by the package tinytag (and by soundfile where that finds none)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import soundfile

from errors import UserError
from synthesis.labels import clean, number

TAGS = ("genre", "artist", "mood", "bpm", "key")
INSTALL = "pip install tinytag"
# Names under which formats keep what has no field of its own; an ID3 frame or a wma name that the reader does not know
# keeps the name that it has in the file.
_NAMES = {
    "mood": ("mood", "tmoo", "wm/mood"),
    "bpm": ("bpm", "tempo", "tbpm"),
    "key": ("initial_key", "key", "initialkey", "tkey"),
}
_LONGEST = 100  # letters of a tag


def check_reader() -> None:
    """Raises UserError where the package is missing."""
    _opener()


def _opener() -> Callable[..., Any]:
    try:
        from tinytag import TinyTag
    except ImportError:
        raise UserError(f"--labels tags needs the package tinytag ({INSTALL}); install it or leave tags out.") from None
    return TinyTag.get


def read_tags(path: Path | str) -> tuple[str, ...]:
    """The texts of `TAGS` in a file, "" for missing ones; genre and mood in lower case, their first value if there are
    several. A file whose tags cannot be read has none."""
    values = _tags_of(path)
    return tuple(_tidy(tag, values.get(tag, "")) for tag in TAGS)


def _tidy(tag: str, text: str) -> str:
    text = clean(text)[:_LONGEST].strip()
    if tag == "bpm":
        return text if (number(text) or 0.0) > 0.0 else ""  # 0 is how programs write "unknown"
    return text.lower() if tag in ("genre", "mood") else text


def _tags_of(path: Path | str) -> dict[str, str]:
    open_file = _opener()
    try:
        found = _first_values(open_file(str(path), duration=False))
    except Exception:  # damaged tags raise whatever their parser runs into; the music is fine without them
        found = {}
    return found or _header_texts(path)


def _first_values(file: Any) -> dict[str, str]:
    """The first text of each tag."""
    found = {}
    for tag in TAGS:
        own = getattr(file, tag, None)
        texts = [own] if own else [text for name in _NAMES.get(tag, ()) for text in file.other.get(name, [])]
        if texts:
            found[tag] = str(texts[0])
    return found


def _header_texts(path: Path | str) -> dict[str, str]:
    """Genre and artist in the header of a wav or aiff file."""
    try:
        with soundfile.SoundFile(path) as file:
            return {tag: text for tag, text in file.copy_metadata().items() if tag in TAGS}
    except (OSError, soundfile.LibsndfileError, RuntimeError, TypeError, ValueError):
        return {}
