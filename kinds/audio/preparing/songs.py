"""Songs into clips: finding music files, cutting them, detecting silence, and splitting songs into train and val.

N audio samples; a clip is `clip_samples` long, a pair is a clip and the one after it, a run is a stretch of pairs.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from errors import UserError
from kinds.audio.errors import AudioError
from kinds.audio.files import Recording, peak_scale, read_recording, rms_dbfs, write_wav
from kinds.audio.preparing.demo_music import demo_song
from kinds.audio.preparing.varied_music import Varied, varied_song
from kinds.audio.walking import find_audio
from runtime.files import file_digest, write_text

SILENT_DBFS = -60.0
DIGEST_BLOCK = 1 << 16  # samples, which caches hold
AUDIBLE = 1e-4  # a sample above this is audible; a clip needs one in a hundred
WAV_HEADER_BYTES = 44
SONG_NAME = "song.json"

Runs = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Source:
    """Where a song comes from: a file, or the seed and the length in seconds of a demo song. `name` is shown to users.

    `varied` says how varied demo music is played; None for the usual demo songs.
    `digest` identifies the contents; it is empty before `identified` and for a file that cannot be read, where
    `problem` says why.
    """

    name: str
    path: str | None = None
    demo_seed: int = 0
    demo_seconds: float = 0.0
    digest: str = ""
    problem: str = ""
    varied: Varied | None = None

    def identified(self) -> "Source":
        """The same source with its digest."""
        if self.path is None:
            text = f"demo {self.demo_seed} {self.demo_seconds}"
            if self.varied is not None:
                text = self.varied.identity(self.demo_seed, self.demo_seconds)
            return replace(self, digest=hashlib.sha256(text.encode()).hexdigest()[:32])
        try:
            return replace(self, digest=file_digest(Path(self.path)))
        except OSError as error:
            return replace(self, problem=f"unreadable ({error.strerror or error})")

    def read(self, sample_rate: int) -> Recording:
        """The song, float32 [N], with remarks. Raises AudioError, UserError for a soundfont that cannot be played."""
        if self.varied is not None:
            return Recording(varied_song(self.demo_seed, self.demo_seconds, sample_rate, self.varied.soundfont), [])
        if self.path is None:
            return Recording(demo_song(self.demo_seed, self.demo_seconds, sample_rate), [])
        return read_recording(self.path, sample_rate)


@dataclass(frozen=True)
class StagedSong:
    """The result for one source. `runs` holds (first clip, pairs); `reason` says why there are none.

    `audio` identifies what was decoded: files that differ in their tags or their lossless format alone have the same.
    `remark` says what was read otherwise than the file's header says, or not at all.
    """

    name: str
    digest: str
    seconds: float = 0.0
    silent_clips: int = 0
    runs: Runs = ()
    reason: str | None = None
    audio: str = ""
    remark: str = ""

    @property
    def pairs(self) -> int:
        return sum(pairs for _, pairs in self.runs)


def find_sources(folder: Path, leave_out: Path) -> tuple[list[Source], dict[str, str]]:
    """Walk a folder of music -> (audio files by name, {other file: why it is skipped}), both sorted.

    `leave_out` (where the dataset goes) is not entered.
    """
    found, skipped = find_audio(folder, leave_out)
    return [Source(name, str(path)) for name, path in sorted(found.items())], dict(sorted(skipped.items()))


def demo_sources(count: int, seconds: float, seed: int, varied: Varied | None = None) -> list[Source]:
    """The songs of a demo dataset: the usual ones, or varied ones played as `varied` says."""
    return [Source(f"demo/song_{i:04d}", None, seed * 100_000 + i, seconds, varied=varied) for i in range(count)]


def clip_path(staging: Path, digest: str, clip: int) -> Path:
    """Where a clip is staged until the whole dataset is known."""
    return staging / digest[:16] / clip_name(clip)


def clip_name(clip: int) -> str:
    return f"clip_{clip:05d}.wav"


def stage_song(source: Source, staging: Path, clip_samples: int, sample_rate: int) -> StagedSong:
    """Read one song, cut it, and write the clips of its pairs, then a summary, into `staging`.

    A song that an interrupted run has finished is not read again. A song whose peak exceeds 0.999 is scaled down as a
    whole, so that neighbouring clips keep their relative levels. Raises UserError if `staging` cannot be written; a
    song that cannot be used is no error, but is returned with a `reason`.
    """
    digest = source.digest
    if not digest:
        return StagedSong(source.name, digest, reason=source.problem)
    folder = clip_path(staging, digest, 0).parent
    try:
        done = _staged_before(folder, source, digest, clip_samples)
        if done is not None:
            return done
        recording = source.read(sample_rate)
    except AudioError as error:
        return StagedSong(source.name, digest, reason=error.reason)
    except MemoryError:
        return StagedSong(source.name, digest, reason="too long for this machine's memory")
    wav = recording.wav * np.float32(peak_scale(recording.wav))
    song = _examined(source.name, digest, wav, clip_samples, sample_rate)
    song = replace(song, audio=_audio_digest(wav), remark="; ".join(recording.remarks))
    try:
        if song.runs:
            is_whole = partial(_staged_before, folder, source, digest, clip_samples)
            _stage_clips(song, wav, folder, clip_samples, sample_rate, is_whole)
    except OSError as error:
        raise UserError(
            f"Clips cannot be written to {folder} ({error.strerror or error}); free some space or choose another "
            "--output_dir, then run the same command again."
        ) from None
    return song


def _stage_clips(
    song: StagedSong,
    wav: np.ndarray,
    folder: Path,
    clip_samples: int,
    sample_rate: int,
    is_whole: Callable[[], StagedSong | None],
) -> None:
    """Write a song's clips into a temporary folder, then move it into place atomically.

    Two files of the same contents are one song, which another process may be staging at the same time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making_"))
    try:
        for clip in _clips_of(song.runs):
            piece = wav[clip * clip_samples : (clip + 1) * clip_samples]
            write_wav(own / clip_name(clip), piece, sample_rate, durable=False)
        write_text(own / SONG_NAME, json.dumps(asdict(song)))
        if not is_whole():
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
            own.rename(folder)
    except OSError:
        if not is_whole():
            raise
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _staged_before(folder: Path, source: Source, digest: str, clip_samples: int) -> StagedSong | None:
    """The result of an earlier run, if the song was finished and all its clips are complete."""
    try:
        fields = json.loads((folder / SONG_NAME).read_bytes())
        runs = tuple((int(clip), int(pairs)) for clip, pairs in fields["runs"])
        size = WAV_HEADER_BYTES + 2 * clip_samples
        if any(clip_path(folder.parent, digest, clip).stat().st_size != size for clip in _clips_of(runs)):
            return None
        more = {name: fields[name] for name in ("seconds", "silent_clips", "audio", "remark")}
        return StagedSong(source.name, digest, runs=runs, **more)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _clips_of(runs: Runs) -> list[int]:
    return [clip for first, pairs in runs for clip in range(first, first + pairs + 1)]


def _examined(name: str, digest: str, wav: np.ndarray, clip_samples: int, sample_rate: int) -> StagedSong:
    seconds = len(wav) / sample_rate
    clips = len(wav) // clip_samples
    heard = [not is_silent(clip) for clip in wav[: clips * clip_samples].reshape(clips, clip_samples)]
    if not any(heard) and is_silent(wav):
        return StagedSong(name, digest, seconds, reason="silent")
    if clips < 2:
        need = 2 * clip_samples / sample_rate
        return StagedSong(name, digest, seconds, reason=f"too short ({seconds:.1f} s, a pair takes {need:g} s)")
    runs = find_runs(heard)
    reason = None if runs else "silent except for single clips"
    return StagedSong(name, digest, seconds, heard.count(False), runs, reason)


def _audio_digest(wav: np.ndarray) -> str:
    """Of 16-bit samples, as they are written."""
    digest = hashlib.sha256()
    for start in range(0, len(wav), DIGEST_BLOCK):
        digest.update(np.rint(wav[start : start + DIGEST_BLOCK] * 32767.0).astype("<i2"))
    return digest.hexdigest()[:32]


def is_silent(wav: np.ndarray) -> bool:
    """Whether the level about the mean is below -60 dBFS, or fewer than one sample in a hundred is audible.

    About the mean, since a constant offset, as cheap converters leave it, cannot be heard.
    """
    wav = wav - np.float32(np.mean(wav, dtype=np.float64))
    return rms_dbfs(wav) < SILENT_DBFS or np.count_nonzero(np.abs(wav) > AUDIBLE) < 0.01 * len(wav)


def find_runs(heard: list[bool]) -> Runs:
    """Stretches of at least two audible clips as (first clip, pairs).

    >>> find_runs([True, True, True, False, True, False, True, True])
    ((0, 2), (6, 1))
    """
    runs, start = [], None
    for clip, audible in enumerate([*heard, False]):
        if audible and start is None:
            start = clip
        elif not audible and start is not None:
            if clip - start >= 2:
                runs.append((start, clip - start - 1))
            start = None
    return tuple(runs)


def choose_val(pairs: list[int], val_fraction: float, seed: int) -> set[int]:
    """Which of at least two songs, given by their numbers of pairs, are held out: whole songs, drawn by `seed`.

    Songs are taken in random order as long as they fit into `val_fraction` of all pairs, at least one and never all.
    """
    quota = val_fraction * sum(pairs)
    held_out: set[int] = set()
    count = 0
    for song in np.random.default_rng(seed).permutation(len(pairs)).tolist():
        if count + pairs[song] <= quota and len(held_out) < len(pairs) - 1:
            held_out.add(song)
            count += pairs[song]
    return held_out or {min(range(len(pairs)), key=lambda song: (pairs[song], song))}


def split_by_time(runs: Runs, val_fraction: float) -> tuple[Runs, Runs]:
    """Split a single song -> (training runs, validation runs): its end is held out, after one clip that neither has.

    The first may be empty where the song is too short.
    """
    total = sum(pairs for _, pairs in runs)
    held_out = min(max(1, round(val_fraction * total)), total)
    inputs = [clip for first, pairs in runs for clip in range(first, first + pairs)]
    first_val = inputs[total - held_out]
    train = [clip for clip in inputs if clip + 1 < first_val - 1]
    return _runs_of(train), _runs_of(inputs[total - held_out :])


def _runs_of(inputs: list[int]) -> Runs:
    """Input clips in rising order -> (first clip, pairs) of each stretch."""
    runs: list[list[int]] = []
    for clip in inputs:
        if runs and runs[-1][0] + runs[-1][1] == clip:
            runs[-1][1] += 1
        else:
            runs.append([clip, 1])
    return tuple((first, pairs) for first, pairs in runs)
