"""The pipeline behind prepare_dataset.py: music in, `train/`, `val/`, `dataset.yaml` and latents out.

Clips are first staged song by song in `.prepare/` (by several processes; each song is staged atomically), then, when
all songs are known, split into train and val and moved into place; `dataset.yaml` is written last. So an interrupted
run leaves nothing that looks finished, and the same command continues it.
"""

import contextlib
import functools
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel

from data.progress import progress_bar
from data.workers import run_all
from errors import UserError
from kinds.audio.labels import LABELS_NAME
from kinds.audio.pairs import (
    MANIFEST_NAME,
    UNFINISHED_NAME,
    LatentSummary,
    Manifest,
    SongOrigin,
    read_manifest,
    write_manifest,
)
from kinds.audio.preparing.labels import Labelling, label_counts
from kinds.audio.preparing.options import Options
from kinds.audio.preparing.publish import clear_dataset, missing_files, place_files, plan_split
from kinds.audio.preparing.selecting import cutting_note, shortened, usable_songs
from kinds.audio.preparing.songs import Source, StagedSong, demo_sources, find_sources, stage_song
from kinds.audio.preparing.varied_music import Varied
from kinds.audio.walking import summary
from runtime.cores import available_cores
from runtime.files import locked

DEMO_CLIPS = 5
PROGRAM = "prepare_dataset.py"

Shape = dict[str, str | int | float | bool | None]


class NothingUsable(UserError):
    """No pair could be made; `skipped` holds the reason for every file."""

    def __init__(self, message: str, skipped: dict[str, str]):
        super().__init__(message)
        self.skipped = skipped


class Report(BaseModel):
    """Result of a run; `notes` are remarks for the user, `manifest` is the contents of `dataset.yaml`."""

    manifest: Manifest
    notes: list[str]


def prepare(options: Options) -> Report:
    """Make the dataset that `options` describe, or as much of it as is missing.

    Raises UserError (NothingUsable if the music gives no pairs); a finished dataset in `output_dir` is replaced only if
    `overwrite` is set, and only once the new one is ready.
    """
    sources, skipped = _sources(options)
    labelling = Labelling.of(options, sources)
    with _identified(sources) as identified:  # files are read while the codec's modules are imported
        codec, notes = _choose_codec(options)
        sources = list(identified)
    shape = _shape(options, codec, sources) | labelling.record()
    manifest = _check_output(options, shape)
    with _staging_folder(options.output_dir) as staging:
        if manifest is not None:
            notes += _restore(options, manifest, sources, labelling, staging)
        else:
            manifest, cut = _make(options, shape, sources, skipped, labelling, staging)
            notes += cut
        if manifest.split_by == "time":
            notes.append("There is only one usable song: its end is held out for validation. More songs are better.")
        manifest = _add_latents(options, manifest)
    notes += [*labelling.notes, *label_counts(options.output_dir)]
    return Report(manifest=manifest, notes=notes)


def _sources(options: Options) -> tuple[list[Source], dict[str, str]]:
    if options.soundfont is not None and options.demo != "varied":
        raise UserError("--soundfont is played by --demo varied only; add that, or leave --soundfont out.")
    if options.demo:
        if options.input_dir is not None:
            raise UserError("Give either --input_dir or --demo, not both.")
        varied = Varied.using(options.soundfont) if options.demo == "varied" else None
        return demo_sources(options.demo_songs, DEMO_CLIPS * options.seconds, options.seed, varied), {}
    if options.input_dir is None:
        raise UserError("Give the folder of your music with --input_dir, or --demo for synthesised music.")
    if options.input_dir.is_file():
        raise UserError(f"{options.input_dir} is a file; give the folder that holds your music with --input_dir.")
    if not options.input_dir.is_dir():
        raise UserError(f"The folder of music {options.input_dir} does not exist; check --input_dir.")
    return find_sources(options.input_dir, options.output_dir)


@contextlib.contextmanager
def _identified(sources: list[Source]) -> Iterator[Iterator[Source]]:
    """The sources with the digests of their contents, read by threads meanwhile; after an error no other is begun."""
    threads = ThreadPoolExecutor(available_cores())
    try:
        yield threads.map(Source.identified, sources)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def _choose_codec(options: Options) -> tuple[str, list[str]]:
    """The name of a codec that is available, and remarks on the choice. Raises UserError if it is not available."""
    from audio_codecs import codec_class, codec_identity

    name, notes = options.codec, []
    weights = str(options.codec_weights) if options.codec_weights else None
    if name is None and options.demo and weights is None:
        name = "mel"
    elif name is None and weights is None:
        with _offline(), contextlib.suppress(UserError):
            codec_identity("encodec_24khz")
            name = "encodec_24khz"
        if name is None:
            name = "mel"
            notes.append("EnCodec's weights are not on this machine, so the codec is mel (see --codec_weights).")
    name = name or "encodec_24khz"
    rate = codec_class(name).sample_rate
    if options.sample_rate != rate:
        raise UserError(f"The codec {name} takes {rate} Hz; leave --sample_rate {options.sample_rate} out.")
    codec_identity(name, weights)
    return name, notes


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Forbids downloads within the context."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _shape(options: Options, codec: str, sources: list[Source]) -> Shape:
    """Everything that determines the contents of the dataset."""
    text = "\n".join(f"{source.digest} {source.name}" for source in sources)
    shape: Shape = {
        "duration": options.seconds,
        "sample_rate": options.sample_rate,
        "codec": codec,
        "val_fraction": options.val_fraction,
        "seed": options.seed,
        "music": hashlib.sha256(text.encode()).hexdigest()[:32],
    }
    varied = sources[0].varied if sources else None
    return shape | (varied.record() if varied else {})


def _shape_of(manifest: Manifest) -> dict[str, object]:
    own = {"duration": manifest.duration, "sample_rate": manifest.sample_rate, "codec": manifest.codec}
    return own | manifest.options


def _check_output(options: Options, shape: Shape) -> Manifest | None:
    """The description of the requested dataset if it exists already; None if it has to be made.

    Raises UserError if the folder holds another dataset that may not be overwritten.
    """
    output = options.output_dir
    if output.exists() and not output.is_dir():
        raise UserError(f"{output} is not a folder; choose another --output_dir.")
    remedy = "add --overwrite to replace it, or choose another --output_dir"
    try:
        manifest = read_manifest(output)
    except UserError:
        if options.overwrite:
            return None
        raise UserError(f"{output / MANIFEST_NAME} is damaged; {remedy}.") from None
    if manifest is not None:
        there = _shape_of(manifest)
        asked = {"labels": None} | shape
        other = [f"{key} {there.get(key)} instead of {asked[key]}" for key in asked if there.get(key) != asked[key]]
        if not other:
            return manifest
        if not options.overwrite:
            changed = [item for item in other if not item.startswith("music ")]
            how = f"with other options ({', '.join(changed)})" if changed else "from other music files"
            raise UserError(f"{output} holds a dataset made {how}; {remedy}.")
        return None
    ours = options.overwrite or (output / UNFINISHED_NAME).exists()
    if not ours and any(any((output / split).glob("*")) for split in ("train", "val")):
        raise UserError(f"{output} holds pairs that {PROGRAM} did not make; {remedy}.")
    return None


@contextlib.contextmanager
def _staging_folder(output: Path) -> Iterator[Path]:
    """`.prepare/` in the output folder, locked; kept after an error, to continue later, unless nothing was usable."""
    made = not output.exists()
    staging = output / UNFINISHED_NAME
    with contextlib.ExitStack() as stack:
        try:
            staging.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(locked(staging / "lock", wait=False))
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"{output} cannot be written ({reason}); choose another --output_dir.") from None
        if not held:
            raise UserError(f"Another {PROGRAM} is writing to {output}; wait for it or choose another --output_dir.")
        try:
            yield staging
        except NothingUsable:
            shutil.rmtree(staging, ignore_errors=True)
            if made:
                shutil.rmtree(output, ignore_errors=True)
            raise
        shutil.rmtree(staging, ignore_errors=True)


def _stage(options: Options, sources: list[Source], staging: Path) -> list[StagedSong]:
    # Files of an interrupted run with another clip length are in another folder.
    samples, rate = options.clip_samples, options.sample_rate
    work = functools.partial(stage_song, staging=staging / f"{samples}", clip_samples=samples, sample_rate=rate)
    with progress_bar("Cutting songs") as progress:
        return run_all(work, sources, options.processes, progress)


def _make(
    options: Options,
    shape: Shape,
    sources: list[Source],
    skipped: dict[str, str],
    labelling: Labelling,
    staging: Path,
) -> tuple[Manifest, list[str]]:
    """Make the dataset -> its description, and remarks for the user."""
    songs = _stage(options, sources, staging)
    usable, unusable = usable_songs(songs)
    skipped = skipped | unusable
    where = options.input_dir or "the demo"
    if not usable:
        raise NothingUsable(f"Nothing in {where} can be used: {summary(skipped, names=3)}.", skipped)
    try:
        origins, split_by = plan_split(usable, options.val_fraction, options.seed)
    except UserError as error:
        raise NothingUsable(str(error), skipped) from None
    output = options.output_dir
    (output / MANIFEST_NAME).unlink(missing_ok=True)  # from here on the dataset is unfinished
    clear_dataset(output, latents_too=options.overwrite)
    files = missing_files(output, origins, options.clip_samples)
    place_files(staging / f"{options.clip_samples}", files)
    labelling.write(origins)
    named, more = shortened(skipped)
    counts = {split: sum(len(o.pairs()) for o in origins if o.split == split) for split in ("train", "val")}
    manifest = Manifest(
        made_by=PROGRAM,
        sample_rate=options.sample_rate,
        duration=float(options.seconds),
        codec=str(shape["codec"]),
        options={key: shape[key] for key in shape if key not in ("duration", "sample_rate", "codec")},
        split_by=split_by,
        files_read=len(sources),
        hours=round(sum(song.seconds for song in songs) / 3600.0, 4),
        pairs=counts,
        songs=[str(origin) for origin in origins],
        skipped=named,
        skipped_more=more,
        silent_clips={song.name: song.silent_clips for song in usable if song.silent_clips},
        remarks={song.name: song.remark for song in usable if song.remark},
    )
    write_manifest(output, manifest)
    note = cutting_note(songs, options.seconds)
    return manifest, [note] if note and not options.demo else []


def _restore(
    options: Options, manifest: Manifest, sources: list[Source], labelling: Labelling, staging: Path
) -> list[str]:
    """Make missing or truncated files of a finished dataset again -> remarks for the user."""
    origins = [SongOrigin.parse(line) for line in manifest.songs]
    files = missing_files(options.output_dir, origins, options.clip_samples)
    notes = []
    if files:
        digests = {digest for _, digest, _ in files}
        _stage(options, list({s.digest: s for s in sources if s.digest in digests}.values()), staging)
        place_files(staging / f"{options.clip_samples}", files)
        notes.append(f"{len(files)} missing files were made again.")
    if labelling.is_missing():
        labelling.write(origins)
        notes.append(f"The missing {LABELS_NAME} was made.")
    return notes or ["The dataset is complete already."]


def _add_latents(options: Options, manifest: Manifest) -> Manifest:
    """Bring the latent cache up to date and record its statistics in the manifest, in memory and on disk."""
    from kinds.audio.latent_pairs import open_pairs

    with progress_bar("Encoding clips") as progress:
        train, _ = open_pairs(options.output_dir, codec_weights=options.codec_weights, progress=progress)
    summary = LatentSummary(
        identity=train.codec_identity,
        frames=train.frames,
        max_abs_error=float(f"{train.max_abs_error:.3g}"),
        mean=[float(f"{value:.6g}") for value in train.mean],
        std=[float(f"{value:.6g}") for value in train.std],
    )
    if manifest.latents != summary:
        manifest = manifest.model_copy(update={"latents": summary})
        write_manifest(options.output_dir, manifest)
    return manifest
