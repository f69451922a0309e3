"""Errors of files that cannot be used as audio."""

from pathlib import Path

from errors import UserError


class AudioError(UserError):
    """A file that cannot be used as audio. `reason` is a short phrase ("not audio", "empty", ...)."""

    def __init__(self, path: Path | str, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class Undecodable(AudioError):
    """Another decoder may be able to read the file. `seconds` is its length by its header, 0 if unknown."""

    seconds = 0.0
