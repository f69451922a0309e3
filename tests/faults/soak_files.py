"""Faults of soak.py that befall files: saves and latents."""

import os
import random
import time
from pathlib import Path

from soak_setting import Fault, Setting

from runtime import checkpoint

# --- (setting, fault); False: there was nothing to be changed ------------------------------------------------------


def _damage(setting: Setting, change) -> bool:
    """Changes the newest good save, if there is another one; whether there is."""
    saves = sorted(setting.folder.glob("*.pt"), key=lambda path: path.stat().st_mtime)
    good = [path for path in saves if checkpoint.is_whole(path)]
    if len(good) > 1:
        change(good[-1])
    return len(good) > 1


def truncate(setting: Setting, fault: Fault) -> bool:
    return _damage(setting, lambda path: os.truncate(path, fault.pick % 5000))


def flip(setting: Setting, fault: Fault) -> bool:
    return _damage(setting, lambda path: _flip_a_bit(path, fault.pick))


def delete(setting: Setting, fault: Fault) -> bool:
    return _damage(setting, Path.unlink)


def wrong_times(setting: Setting, fault: Fault) -> None:
    """Times of files in no order, up to a day off, as clocks leave them that are set back and forth."""
    chance = random.Random(fault.pick)
    for path in [path for path in setting.folder.rglob("*") if path.is_file()]:
        when = time.time() + chance.uniform(-86400, 86400)
        os.utime(path, (when, when))


def latents_altered(setting: Setting, fault: Fault) -> None:
    """A bit, by a program that writes into them."""
    _flip_a_bit(_shard(setting, fault), fault.pick)


def latents_rotten(setting: Setting, fault: Fault) -> None:
    """A bit, by the disk, which leaves the file's time as it was."""
    path = _shard(setting, fault)
    status = path.stat()
    _flip_a_bit(path, fault.pick)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def latents_overwritten(setting: Setting, fault: Fault) -> None:
    """With other bytes, from the first one or from behind the header on."""
    path, start = _shard(setting, fault), (0, 128)[fault.pick % 2]
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(random.Random(fault.pick).randbytes(path.stat().st_size - start))


def latents_cut_short(setting: Setting, fault: Fault) -> None:
    """To nothing, to a part of the header, or to a part of the values."""
    path = _shard(setting, fault)
    os.truncate(path, (0, 1 + fault.pick % 127, 128 + fault.pick % 10_000)[fault.pick % 3])


def latents_deleted(setting: Setting, fault: Fault) -> None:
    _shard(setting, fault).unlink()


def index_altered(setting: Setting, fault: Fault) -> None:
    """A bit of the list of the latents, or it is cut short; its latents are read no less."""
    (path,) = setting.dataset.glob("latents/*/index.json")
    if fault.pick % 2:
        _flip_a_bit(path, fault.pick)
    else:
        os.truncate(path, fault.pick % max(1, path.stat().st_size))


def _shard(setting: Setting, fault: Fault) -> Path:
    shards = sorted(setting.dataset.glob("latents/*/shard_*.npy"))
    return shards[fault.pick % len(shards)]


def _flip_a_bit(path: Path, pick: int) -> None:
    """Anywhere; in one case of four in the first 128 bytes, where files of arrays say what they hold."""
    if not (size := path.stat().st_size):
        return
    place = random.Random(pick).randrange(min(size, 128) if pick % 4 == 0 else size)
    with open(path, "r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ 1 << pick % 8]))


OF_SAVES = {"truncate": truncate, "flip": flip, "delete": delete, "wrong_times": wrong_times}
OF_LATENTS = {"latents_altered": latents_altered, "latents_rotten": latents_rotten,
              "latents_overwritten": latents_overwritten, "latents_cut_short": latents_cut_short,
              "latents_deleted": latents_deleted, "index_altered": index_altered}  # fmt: skip
