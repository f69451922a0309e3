"""A folder of music -> a dataset of consecutive pairs of clips, split by song, with its latents: ready to train on.

    python prepare_dataset.py --input_dir MUSIC --duration 16
    python prepare_dataset.py --input_dir MUSIC --labels folder,tags,tempo,more.csv
    python prepare_dataset.py --demo
    python prepare_dataset.py --demo varied --soundfont FluidR3_GM.sf2

Datasets of another kind of data have options of their own (add --help):

    python prepare_dataset.py --kind images --demo digits --size 16

After an interruption, run the same command again to continue. Exit code 2: wrong input, one sentence on stderr.
"""

import argparse
import difflib
import sys
from importlib import import_module
from pathlib import Path

from pydantic import BaseModel, ValidationError

from audio_codecs.options import CODECS
from command_line import OneSentenceParser
from config import load_plugins
from errors import UserError, printable
from kinds.audio.preparing.prepare import NothingUsable, Options, Report, prepare
from kinds.audio.walking import summary
from kinds.options import KINDS
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting
from runtime.memory import keep_freed_memory

REMARKS = 20  # lines on single files


def parse_options(arguments: list[str]) -> Options:
    """Read the command line. Raises UserError, naming the option, for anything unknown or out of range."""
    parser = OneSentenceParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--input_dir", type=Path, help="folder of music (wav, flac, ogg, mp3, opus, aiff, ...), searched to any depth")
    add("--output_dir", type=Path, help="folder for the dataset (default: dataset_pairs_wav)")
    add("--duration", type=float, help="length of a clip in seconds (default: 16; with --demo: 4)")
    add("--sample_rate", type=int, help="sample rate of the clips in Hz (default: 24000, as both codecs require)")
    add("--val_fraction", type=float, help="share of the pairs held out for validation, in whole songs (default: 0.1)")
    add("--seed", type=int, help="random seed of the validation split and of the demo music (default: 42)")
    codecs = ", ".join(CODECS)
    add("--codec", help=f"{codecs} (default: encodec_24khz if its weights are on this machine, else mel)")
    add("--codec_weights", type=Path, help="EnCodec weights: a Hugging Face folder or encodec_24khz-*.th")
    add(
        "--labels",
        help="where labels come from, joined by commas: folder (a file's sub-folder), tags (genre, artist, mood, bpm, "
        "key), tempo (estimated), or the path of a CSV with a column file (relative to --input_dir) and one per label",
    )
    add("--workers", type=int, help="number of processes (default: one per core)")
    add(
        "--demo",
        nargs="?",
        const="songs",
        help="synthesise demo music instead of reading files: songs (usual) or varied, with many more timbres",
    )
    add("--demo_songs", type=int, help="number of demo songs, four pairs each (default: 26)")
    add("--soundfont", type=Path, help="soundfont (.sf2) whose instruments --demo varied plays besides its own")
    add("--overwrite", action="store_true", help="replace an existing dataset that was made with other options")
    return _validated(Options, *parser.parse_known_args(arguments))


def _validated(model: type[BaseModel], known: argparse.Namespace, unknown: list[str]) -> BaseModel:
    if unknown:
        names = [f"--{name}" for name in model.model_fields]
        nearest = difflib.get_close_matches(unknown[0], names, n=1, cutoff=0.0)[0]
        raise UserError(f"There is no option {unknown[0]}; did you mean {nearest}?")
    try:
        return model(**{name: value for name, value in vars(known).items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UserError(
            f"--{first['loc'][0]} {first['input']}: {first['msg'].removeprefix('Value error, ')}."
        ) from None


def kind_of(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The module that prepares the kind of data of `--kind`, None for audio, and the other arguments.

    Raises:
        UserError: there is no such kind.
    """
    parser = OneSentenceParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--kind")
    known, others = parser.parse_known_args(arguments)
    if known.kind is None:
        return None, others
    if known.kind not in KINDS:
        raise UserError(f"There is no kind of data {known.kind!r}; choose from {', '.join(KINDS)} for --kind.")
    return KINDS[known.kind].facts.get("prepares"), others


def parse_own(arguments: list[str], model: type[BaseModel], about: str) -> BaseModel:
    """The options of a kind that describes them itself. Raises UserError as `parse_options` does."""
    parser = OneSentenceParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    for name, field in model.model_fields.items():
        switch = {"action": "store_true", "default": None} if field.annotation is bool else {}
        parser.add_argument(f"--{name}", help=field.description, **switch)
    return _validated(model, *parser.parse_known_args(arguments))


def show(report: Report) -> None:
    """Print what was read, made and left out."""
    made = report.manifest
    print(f"Read {made.files_read} files, {made.hours:.2f} hours of music.")
    print(
        f"{made.pairs['train']} training and {made.pairs['val']} validation pairs of 2 x {made.duration:g} s, "
        f"split by {made.split_by}, codec {made.codec}."
    )
    show_skipped(made.skipped, made.skipped_more)
    for name, clips in made.silent_clips.items():
        print(f"Left out {clips} silent {'clip' if clips == 1 else 'clips'} of {name}.")
    for name, remark in list(made.remarks.items())[:REMARKS]:
        print(f"{name}: {remark}.")
    if len(made.remarks) > REMARKS:
        print(f"{len(made.remarks) - REMARKS} more remarks on files are in dataset.yaml.")
    for note in report.notes:
        print(note)


def show_skipped(skipped: dict[str, str], more: dict[str, int] | None = None) -> None:
    if skipped:
        count = len(skipped) + sum((more or {}).values())
        print(f"Skipped {count} files: {summary(skipped, more=more)}.")


def main(arguments: list[str]) -> int:
    keep_freed_memory()
    try:
        load_plugins()
        module, others = kind_of(arguments)
        if module is None:
            show(prepare(parse_options(others)))
        else:
            own = import_module(module)
            print("\n".join(own.run(parse_own(others, own.Options, own.__doc__))))
    except NothingUsable as error:
        show_skipped(error.skipped)
        print(printable(error), file=sys.stderr)
        return 2
    except UserError as error:
        print(printable(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; run the same command again to continue.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main(sys.argv[1:]))
