"""What the schedules of soak.py are made of and run on: faults, a run's disk, the wire between its machines."""

import contextlib
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from machines import Relay
from memory_group import MemoryGroup

SIZE_MB = 64
UNMOUNT_S = 20.0


@dataclass(frozen=True)
class Fault:
    """One fault; `step` is when it strikes, for those that strike a running program."""

    name: str
    step: int
    pick: int


def succeeds(*command) -> bool:
    try:
        return subprocess.run([str(word) for word in command], capture_output=True).returncode == 0
    except OSError:
        return False


class Disk:
    """A small disk of its own for a run's folder, as far as the system lets us mount one.

    Args:
        home: an empty folder, in which the disk is `folder`.
        can_fail: it is in a file and of ext4, which can be made to fail like a disk that has a fault.

    Attributes:
        is_small: whether it is a disk of its own.
        can_fail: as asked for, if the system allows it.
    """

    def __init__(self, home: Path, can_fail: bool = False) -> None:
        self.folder, self._image, self._ballast = home / "disk", home / "disk.image", home / "disk" / "ballast"
        self.folder.mkdir()
        self._is_failed = self._is_covered = False
        self.can_fail = can_fail and self._format() and self._mount_image()
        self.is_small = self.can_fail or succeeds(
            "mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", self.folder
        )

    def _format(self) -> bool:
        with open(self._image, "wb") as file:
            file.truncate(SIZE_MB << 20)
        return succeeds("mke2fs", "-q", "-F", "-m", "0", "-t", "ext4", self._image)

    def _mount_image(self) -> bool:
        return succeeds("mount", "-o", "loop", self._image, self.folder)

    @property
    def refuses(self) -> bool:
        """Whether no file on it can be opened for writing."""
        return self._is_covered or self._is_failed

    def fill(self) -> bool:
        """No byte is left on it until `restore`. Whether that could be done."""
        if self.refuses or not self.is_small:
            return False
        with open(self._ballast, "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass
        return True

    def make_read_only(self) -> bool:
        """No file on it can be opened for writing until `restore`; those that are open can still be written. Whether
        the system allows that."""
        if self.refuses:
            return False
        self._is_covered = self.is_small and succeeds("mount", "--bind", self.folder, self.folder)
        return self._is_covered and succeeds("mount", "-o", "remount,bind,ro", self.folder)

    def fail(self) -> bool:
        """As after an error of the hardware nothing can be written until `restore`, and what was written before and not
        flushed is lost then. Whether the system allows that."""
        if self._is_failed:
            return False
        self._is_failed = self.can_fail and succeeds("mount", "-o", "remount,abort", self.folder)
        return self._is_failed

    def restore(self) -> None:
        """What a technician does: room, rights and the disk are there again."""
        if self._is_covered:
            self._is_covered = not succeeds("umount", "-l", self.folder)
        if self._is_failed:
            self._unmount()
            subprocess.run(["e2fsck", "-p", str(self._image)], capture_output=True)
            assert self._mount_image(), "the disk could not be mounted again"
            self._is_failed = False
        self._ballast.unlink(missing_ok=True)

    def _unmount(self) -> None:
        give_up = time.monotonic() + UNMOUNT_S
        while not succeeds("umount", self.folder):
            assert time.monotonic() < give_up, f"{self.folder} is still in use"
            time.sleep(0.1)

    def close(self) -> None:
        while self.is_small and self.folder.is_mount() and succeeds("umount", "-l", self.folder):
            pass


@dataclass
class Setting:
    """What a schedule runs on: the run's folder on its disk, its data, the wire between its machines, the processes'
    group if they can be short of memory."""

    disk: Disk
    dataset: Path
    relay: Relay | None = None
    group: MemoryGroup | None = None

    @property
    def folder(self) -> Path:
        return self.disk.folder / "run"
