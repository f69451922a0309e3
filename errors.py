"""The one kind of error that the user can fix, and how names of files are shown."""

import functools
import sys
import unicodedata
from collections.abc import Callable


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Programs print it on stderr and exit with code 2."""


_ESCAPED = {"Cc", "Cs", "Zl", "Zp"}  # control characters, bytes that are no text, ends of lines and paragraphs
_REORDERING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: object) -> str:
    r"""`text` in one line: what a file's name could do to a terminal (line breaks, escape codes, bytes that are no
    text) is shown escaped.

    >>> printable("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(_shown(letter) for letter in text)


def _shown(letter: str) -> str:
    if unicodedata.category(letter) in _ESCAPED or letter in _REORDERING:
        return letter.encode("unicode_escape").decode("ascii")
    return letter


def reports_user_errors(program: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Decorates a program's `main`: a UserError is printed behind the program's name, and the exit code is 2."""

    def decorate(main: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(main)
        def guarded(*args, **kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except UserError as error:
                print(f"{program}: {printable(error)}", file=sys.stderr)
                return 2

        return guarded

    return decorate
