"""Measures what audio codecs lose: recordings encoded and decoded, in one table.

python -m kinds.audio.roundtrip music/held_out
python -m kinds.audio.roundtrip a.flac b.ogg --codec mel encodec_24khz --num 128 --json roundtrip.json
python -m kinds.audio.roundtrip music --codec mel --decoder griffin_lim learned --picture decoders.png

Half of the clips go through the codec, the others, from other moments of the same recordings, are the reference; "real"
is the first half as it is.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from audio_codecs.options import CODECS, DECODERS
from errors import UserError, reports_user_errors
from kinds.audio.files import SAMPLE_RATE
from runtime.console import outlive_readers, plain_console
from runtime.cores import sleep_while_waiting

ROWS = {  # figure -> label, decimals
    "latents_per_s": ("latents a second", 0),
    "encode_x_real_time": ("encoding, x real time", 0),
    "decode_x_real_time": ("decoding, x real time", 0),
}
DISTANCES = {
    **{f"log_spectral_{size}_db": f"log spectra, frames of {size}, dB" for size in (512, 1024, 2048, 4096)},
    "zimtohrli_mos": "Zimtohrli, MOS 1 to 5",
}
WIDTH = 100
DRAWN = 4  # clips of a picture


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise UserError(f"{message.replace('argument ', '', 1)}; --help lists all options")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m kinds.audio.roundtrip", description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("music", nargs="+", metavar="MUSIC", help="audio files, or folders that hold them")
    add("--codec", nargs="+", default=["mel"], metavar="NAME", help="codecs, one column each (default: mel)")
    add(
        "--decoder",
        nargs="+",
        metavar="DECODER",
        help=f"decoders of log-mel latents, one column each: {', '.join(DECODERS)}, or folders of trained ones "
        "(default: learned)",
    )
    add("--codec_weights", help="EnCodec weights, or an exported decoder, if they are not where they usually are")
    add("--num", type=int, default=128, help="clips that are encoded, and as many for reference (default: 128)")
    add("--duration", type=float, default=4.0, help="length of a clip in seconds (default: 4)")
    add("--rulers", help="descriptors to measure by: clips, notes or clips,notes (default: all that are installed)")
    add("--rounds", type=int, default=100, help="bootstrap draws for the intervals (default: 100)")
    add("--seed", type=int, default=0, help="random seed of crops and bootstrap (default: 0)")
    add("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    add("--picture", type=Path, metavar="PATH", help="draw spectrograms of some clips and what becomes of them (PNG)")
    add("--json", type=Path, metavar="PATH", help="write all figures to this file")
    return parser


def _check(args: argparse.Namespace) -> None:
    limits = {"num": (16, 10**5), "duration": (2, 600), "rounds": (10, 10**5), "seed": (0, 2**31)}
    for name, (low, high) in limits.items():
        if not low <= getattr(args, name) <= high:
            raise UserError(f"--{name} {getattr(args, name)} is not possible: give {low} to {high}")
    for name in ("json", "picture"):
        path = getattr(args, name)
        if path and not path.absolute().parent.is_dir():
            raise UserError(f"--{name} {path}: its folder does not exist")


def _cells(figures: dict, raw: dict[str, tuple[str, int]]) -> dict[str, str]:
    """The figures of one codec as rows of the table: label -> text."""
    from evaluation.table import HEADINGS

    cells = {label: f"{figures[name]:,.{decimals}f}" for name, (label, decimals) in ROWS.items()}
    cells |= {DISTANCES[name]: _plus_minus(entry, 2) for name, entry in figures["distances"].items()}
    headings = HEADINGS | raw
    for ruler, sets in figures["rulers"].items():
        for name, (heading, decimals) in headings.items():
            if name not in sets["round_trip"]:
                continue
            entry = sets["round_trip"][name]
            real = f" (real {sets['real'][name]['value']:.{decimals}f})"
            cells[f"{ruler}: {heading}"] = _plus_minus(entry, decimals) + real
    return cells


def _plus_minus(entry, decimals):
    return f"{entry['value']:.{decimals}f} ±{(entry['high'] - entry['low']) / 2:.{decimals}f}"


def _table(by_codec: dict[str, dict]):
    from rich.table import Table

    from kinds.audio.rulers import RULERS

    raw = {name: shown for ruler in RULERS.values() for name, shown in ruler.raw.items()}
    columns = {name: _cells(figures, raw) for name, figures in by_codec.items()}
    table = Table()
    table.add_column("figure", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for label in next(iter(columns.values())):
        table.add_row(label, *(cells[label] for cells in columns.values()))
    return table


def _opened(args: argparse.Namespace) -> dict:
    """The codecs by their columns' titles; one with several decoders once for each."""
    from audio_codecs import codec_options, open_codec

    codecs = {}
    have_choice = [name for name in args.codec if name in CODECS and CODECS[name].facts.get("has_decoders")]
    for name in dict.fromkeys(args.codec):
        # Where no codec has a choice, the first of them says so.
        for decoder in dict.fromkeys(args.decoder or [None]) if name in have_choice or not have_choice else [None]:
            title = name if decoder is None else f"{name}, {decoder}"
            codecs[title] = open_codec(name, args.codec_weights, args.device, codec_options(name, decoder))
    return codecs


def _draw(path: Path, codecs: dict, clips_BN, device: str) -> None:
    """A row of the first clips, and a row for each codec."""
    from kinds.audio.render import decode, encode
    from kinds.audio.spectrograms import save_grid

    clips = clips_BN[:DRAWN]
    rows = {"original": list(clips)}
    for title, codec in codecs.items():
        rows[title] = [decode(codec, encode(codec, clip, device))[0][: len(clip)] for clip in clips]
    save_grid(rows, SAMPLE_RATE, path)


def run(args: argparse.Namespace, argv: list[str]) -> int:
    from kinds.audio.roundtrip import distances, measuring
    from kinds.audio.rulers import usable_rulers
    from runtime.files import write_text

    _check(args)
    rulers, remarks = usable_rulers(args.rulers)
    unrated = distances.zimtohrli_missing()
    codecs = _opened(args)
    console = plain_console()
    with console.status("reading") as status:
        wavs = measuring.read_recordings(args.music, remarks)
        clips_BN, reference_BN = measuring.two_halves(wavs, args.duration, args.num, args.seed)
        by_codec = {
            name: measuring.measure_codec(
                codec, clips_BN, reference_BN, rulers, rate=unrated is None, rounds=args.rounds, seed=args.seed,
                device=args.device, say=lambda what: status.update(what),
            )
            for name, codec in codecs.items()
        }  # fmt: skip
    title = f"{len(clips_BN)} clips of {args.duration:g} s, as many others for reference, seed {args.seed}"
    console.print(title, soft_wrap=True)
    plain_console(width=max(console.width, WIDTH)).print(_table(by_codec))
    remarks += [unrated] if unrated else []
    for remark in remarks:
        console.print(f"- {remark}", soft_wrap=True)
    if args.picture:
        _draw(args.picture, codecs, clips_BN, args.device)
    if args.json:
        report = {
            "command": shlex.join(["python", "-m", "kinds.audio.roundtrip", *argv]),
            "clips": len(clips_BN),
            "clip_seconds": args.duration,
            "seed": args.seed,
            "device": args.device,
            "remarks": remarks,
            "codecs": {name: {"identity": codecs[name].identity, **figures} for name, figures in by_codec.items()},
        }
        write_text(args.json, json.dumps(report, indent=1) + "\n")
    return 0


@reports_user_errors("python -m kinds.audio.roundtrip")
def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return run(_parser().parse_args(argv), argv)


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
