"""What listen.py shows: clips on request from a run's newest save, and the run's own samples. Nothing here needs a
browser."""

import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from errors import UserError, printable
from kinds.audio.files import probe
from kinds.audio.music import Music
from kinds.audio.request import DEFAULTS, Request, recordings_of, usual_guidance
from runtime.run_folder import furthest_good
from synthesis.loading import WEIGHTS, load_generator

MOST_CLIPS = 6  # of a request
LONGEST_S, LONGEST_UPLOAD_S = 120.0, 600.0
KEPT_FILES = 200  # of those that were made
REFERENCES = {"real": "real", "round_trip": "real, through the codec"}


@dataclass(frozen=True)
class Shown:
    """A clip on the page: a wav file, its spectrogram (PNG), what it is."""

    wav: Path
    picture: Path
    title: str


def newest_save(path: Path) -> Path:
    """The file of the most advanced generator: of a run's folder the most advanced intact checkpoint, or the export if
    nothing was saved after it. Raises UserError if there is none."""
    if not path.is_dir():
        return path
    export, saves = path / WEIGHTS, list(path.glob("*.pt"))
    if export.is_file() and all(save.stat().st_mtime_ns <= export.stat().st_mtime_ns for save in saves):
        return export
    found = furthest_good(path, lambda warning: None)
    if found is not None:
        return found[0]
    if export.is_file():
        return export
    raise UserError(f"{path} holds no usable save yet: wait for the run's first one, or give another --checkpoint")


class Listener:
    """Makes clips for a page.

    Args:
        checkpoint: a checkpoint, an exported folder or a run's folder, which may be in training.
        shown_as: how command lines name it.
        work: an empty folder for the files that are made.
        codec_weights, decoder, device: as in generate.py.
    """

    def __init__(
        self, checkpoint: Path, shown_as: str, work: Path, codec_weights=None, decoder=None, device: str = "cpu"
    ) -> None:
        self._checkpoint, self._shown_as, self._work = checkpoint, shown_as, work
        self._more, self._device = (codec_weights, decoder), device
        self._music: Music | None = None
        self._stamp: tuple = ()
        self._read_from = checkpoint
        self._files: deque[Path] = deque()
        self._made = 0

    def music(self) -> Music:
        """The generator of the newest save; it is read again after a further one. UserError if there is none."""
        stamp = self._stamp_now()
        if self._music is None or stamp != self._stamp:
            try:
                path = newest_save(self._checkpoint)
                self._music = Music.open(load_generator(path, self._device), *self._more)
                self._stamp, self._read_from = stamp, path
            except UserError:
                if self._music is None:
                    raise  # else a save that cannot be read: the one before it stays
        return self._music

    def _stamp_now(self) -> tuple:
        """Changes with every save."""
        path = self._checkpoint
        files = sorted([*path.glob("*.pt"), *path.glob(WEIGHTS)]) if path.is_dir() else [path]
        stamps = []
        for file in files:
            try:
                status = file.stat()
            except OSError:
                continue  # it is being replaced
            stamps.append((file.name, status.st_mtime_ns, status.st_size))
        return tuple(stamps)

    def make(self, request: Request) -> tuple[list[Shown], str, str]:
        """The clips of a request, what made them, and the command line that makes the same.

        Raises UserError: wrong values, a recording that is no audio or too long.
        """
        _check_size(request)
        names = {path: Path(path).name for path in (request.input_audio, request.target_audio) if path}
        try:
            recordings = self._recordings(request)
            music, shown = self.music(), []
            passes = music.loaded.config.sampling.passes
            if request.guidance == usual_guidance(music.loaded, request.passes):
                request = replace(request, guidance=None)
            if request.passes == passes:
                request = replace(request, passes=None)
            for k, clip in enumerate(music.clips(request, recordings)):
                stem = self._new_stem(f"{request.stem}_{k:04d}")
                wav, picture = clip.save(stem.with_suffix(".wav")), stem.with_suffix(".png")
                self._keep(wav, clip.save_spectrogram(picture))
                shown.append(Shown(wav, picture, f"clip {k + 1}"))
        except UserError as error:
            raise UserError(_without_folders(str(error), names)) from None
        return shown, f"made by the generator at {music.trained_to}", self._command(request, names)

    def _command(self, request: Request, names: dict[str, str]) -> str:
        is_export = self._read_from == self._checkpoint or self._read_from.name == WEIGHTS
        checkpoint = self._shown_as if is_export else str(Path(self._shown_as) / self._read_from.name)
        return f"{request.with_names(names).command(checkpoint)} --spectrogram"

    def _recordings(self, request: Request) -> list:
        for path in dict.fromkeys(path for path in (request.input_audio, request.target_audio) if path):
            _check_length(path)
        recordings = [recording.wav for _, recording in recordings_of(request)]
        for wav_N in recordings:
            _refuse_long(request.input_audio, len(wav_N) / 24_000)
        return recordings

    def epochs(self) -> list[int]:
        """The epochs of which the run has samples."""
        found = {path.stem.split("_")[1] for path in self._samples().glob("epoch_*_*.wav")}
        return sorted(int(number) for number in found if number.isdigit())

    def samples(self, epoch: int | None) -> list[Shown]:
        """The run's samples of an epoch (None: the last), each beside real music."""
        epochs = self.epochs()
        if not epochs:
            raise UserError("this generator's folder holds no samples of its training: give a run's folder")
        epoch = epochs[-1] if epoch is None else min(epochs, key=lambda one: abs(one - epoch))
        stems = {f"epoch_{epoch:04d}": f"epoch {epoch}"} | REFERENCES
        shown = []
        for stem, title in stems.items():
            for wav in sorted(self._samples().glob(f"{stem}_*.wav"))[:2]:
                target, picture = self._new_stem(wav.stem), wav.with_suffix(".png")
                if picture.is_file():
                    copies = [target.with_suffix(suffix) for suffix in (".wav", ".png")]
                    for source, copy in zip((wav, picture), copies, strict=True):
                        shutil.copyfile(source, copy)
                    self._keep(*copies)
                    shown.append(Shown(*copies, title))
        return shown

    def _samples(self) -> Path:
        folder = self._checkpoint if self._checkpoint.is_dir() else self._checkpoint.parent
        return folder / "samples"

    def _new_stem(self, name: str) -> Path:
        """A name of its own for each file, so that a browser shows no earlier one of the same name."""
        self._made += 1
        folder = self._work / str(self._made)
        folder.mkdir()
        return folder / name

    def _keep(self, *files: Path) -> None:
        self._files.extend(files)
        while len(self._files) > KEPT_FILES:
            self._files.popleft().unlink(missing_ok=True)


def _check_size(request: Request) -> None:
    """Raises UserError for requests that would take a page's time for too long."""
    clips = request.steps if request.interpolate is not None else request.variations or request.num or 1
    if clips and clips > MOST_CLIPS:
        raise UserError(f"{clips} clips are too many for the page: ask for at most {MOST_CLIPS}, or use generate.py")
    if request.duration is not None and request.duration > LONGEST_S:
        raise UserError(
            f"{request.duration:g} s are too long for the page: ask for at most {LONGEST_S:g} s, or use generate.py"
        )


def _check_length(path: str) -> None:
    """Raises UserError if a recording's header says that it is too long; not every format has one."""
    try:
        info = probe(path)
    except UserError:
        return
    _refuse_long(path, info.frames / info.sample_rate)


def _refuse_long(path: str | None, seconds: float) -> None:
    if seconds > LONGEST_UPLOAD_S:
        raise UserError(f"{path}: {seconds:.0f} s are too long for the page: give at most {LONGEST_UPLOAD_S:g} s")


def _without_folders(text: str, names: dict[str, str]) -> str:
    """A sentence with the names of uploaded files instead of the places where they are kept."""
    for path, name in names.items():
        text = text.replace(path, name)
    return printable(text)


def label_request(names: Sequence[str], values: Sequence[str | None]) -> tuple[str, ...]:
    """Options for the values of the page's label fields; an empty field leaves its label open."""
    return tuple(f"{name}={value}" for name, value in zip(names, values, strict=True) if value and value.strip())


def whole(request: Request) -> Request:
    """Without options that say what is so anyway, so that command lines stay short."""
    return replace(request, **{name: None for name, value in DEFAULTS.items() if getattr(request, name) == value})
