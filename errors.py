"""The one kind of error that the user can fix."""

import functools
import sys
from collections.abc import Callable


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Programs print it on stderr and exit with code 2."""


def reports_user_errors(program: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Decorates a program's `main`: a UserError is printed behind the program's name, and the exit code is 2."""

    def decorate(main: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(main)
        def guarded(*args, **kwargs) -> int:
            try:
                return main(*args, **kwargs)
            except UserError as error:
                print(f"{program}: {error}", file=sys.stderr)
                return 2

        return guarded

    return decorate
