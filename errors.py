"""The one kind of error that the user can fix."""


class UserError(Exception):
    """One sentence: what is wrong, where, and what to do. Programs print it on stderr and exit with code 2."""
