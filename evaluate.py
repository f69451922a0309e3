"""Measures how close generated clips are to real music, next to a ladder of reference sets from real music to noise.

python evaluate.py --checkpoint checkpoints --num 256
python evaluate.py --generated samples --reference music/held_out --train music/train --json result.json

Give about a hundred held-out clips or more: with fewer, metrics are imprecise, and the table marks those that do not
rank the ladder correctly. For the demo, more music can be made:
python prepare_dataset.py --demo --seed 43 --demo_songs 60 --output_dir held_out
"""

import argparse
import json
import platform
import shlex
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

from audio_codecs.options import DECODERS
from command_line import OneSentenceParser
from errors import UserError, reports_user_errors
from kinds.audio import rulers
from kinds.audio.clips import crops, halves, read_folder
from kinds.audio.evaluated import Source, generated, open_sources
from kinds.audio.files import SAMPLE_RATE
from kinds.audio.rulers import Measured
from kinds.options import KINDS
from runtime.console import outlive_readers, plain_console
from runtime.cores import sleep_while_waiting

SHORTEST_S = 2.0  # what the descriptors need
FEWEST_CLIPS = 16
FEW_CLIPS = 128
WIDTH = 150  # of the table, even where the terminal is narrower


@dataclass(frozen=True)
class Material:
    """Clips of one length, float32 [B, N]: held-out reference, training clips, `evaluated` by name; remarks."""

    reference_BN: np.ndarray
    train_BN: np.ndarray
    evaluated: dict[str, np.ndarray]
    count: int
    remarks: list[str]


def common_length(duration_s: float, folders: list[list[np.ndarray]]) -> int:
    """Length of the compared clips in samples: `duration_s`, or that of the shortest usable file if it is shorter."""
    lengths = [len(wav) for wavs in folders for wav in wavs if len(wav) >= SHORTEST_S * SAMPLE_RATE]
    return min([round(duration_s * SAMPLE_RATE), *lengths])


def gather(args: argparse.Namespace, sources: list[Source], remarks: list[str] | None = None) -> Material:
    """Read the real music, settle on a common length and number of clips, and make the evaluated clips.

    `remarks` are those on `sources`, before the others.
    """
    remarks = list(remarks or [])
    held_out = read_folder(args.reference, "--reference", remarks)
    if args.train:
        train = read_folder(args.train, "--train", remarks)
    else:
        held_out, train = halves(held_out, args.seed)
        remarks.append(
            "no --train folder: the reference was halved by file, and copies of training clips cannot be detected"
        )
    length = common_length(args.duration, [s.wavs for s in sources if s.wavs is not None])
    reference_BN = _audible(crops(held_out, length, args.seed, args.num), "reference", remarks)
    train_BN = _audible(crops(train, length, args.seed, max(args.num, args.num_train)), "training", remarks)
    evaluated = {s.name: crops(s.wavs, length, args.seed, args.num) for s in sources if s.wavs is not None}
    count = min(args.num, len(reference_BN), len(train_BN), *(len(clips) for clips in evaluated.values()))
    if count < FEWEST_CLIPS:
        fewest = {"reference": len(reference_BN), "training": len(train_BN)} | {n: len(c) for n, c in evaluated.items()}
        listed = ", ".join(f"{name} {number}" for name, number in fewest.items())
        raise UserError(
            f"too few clips of {length / SAMPLE_RATE:g} s ({listed}): give at least {FEWEST_CLIPS} of each, "
            "or a shorter --duration"
        )
    if count < args.num:
        remarks.append(f"{count} clips per set instead of {args.num}: the smallest set has no more")
    if count < FEW_CLIPS:
        remarks.append(f"fewer than {FEW_CLIPS} clips: compare these metrics within this table only")
    for source in sources:
        if source.generator is not None:
            evaluated[source.name] = generated(source, count, length, args.seed)
    evaluated = {source.name: evaluated[source.name][:count] for source in sources}
    return Material(reference_BN[:count], train_BN, evaluated, count, remarks)


def _audible(clips_BN, name, remarks):
    from evaluation.metrics import silent_clips

    silent_B = silent_clips(clips_BN)
    if silent_B.any():
        remarks.append(f"{silent_B.sum()} silent {name} clips left out")
    return clips_BN[~silent_B]


def measure(material: Material, codec, args: argparse.Namespace, say) -> dict[str, Measured]:
    """Metrics of the evaluated sets and of every rung by each of `args.rulers` -> {ruler: Measured}."""
    return rulers.measure(
        args.rulers,
        material.reference_BN,
        material.train_BN,
        material.evaluated,
        codec,
        copies=bool(args.train),
        rounds=args.rounds,
        seed=args.seed,
        device=args.device,
        say=say,
    )


def show(console, name: str, measured: Measured, title: str) -> tuple[dict[str, list[str]], list[str]]:
    """Print one ruler's table -> its metrics that do not rank the ladder correctly, and remarks."""
    from evaluation.table import broken_figures, render

    broken, raw = broken_figures(measured.sets), rulers.RULERS[name].raw
    table = render(measured.sets, f"{title}, ruler {name}", broken, raw)
    plain_console(width=max(console.width, WIDTH)).print(table)
    remarks = [f"{name}: {metric} !: {'; '.join(why)}" for metric, why in broken.items()]
    if raw:
        means = [f"{raw[key][0]} {entry['value']:.{raw[key][1]}f}" for key, entry in measured.reference.items()]
        remarks.append(f"{name}: the held-out music itself has {', '.join(means)}")
    return broken, remarks


def describe_machine(device: str) -> dict[str, str]:
    """Device and library versions, for the record."""
    import scipy
    import sklearn
    import torch

    named = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    modules = {"torch": torch, "numpy": np, "scipy": scipy, "scikit-learn": sklearn}
    versions = {name: module.__version__ for name, module in modules.items()}
    return {"device": device, "device_name": named, "python": platform.python_version(), **versions}


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(prog="evaluate.py", description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--kind", default="audio", choices=list(KINDS), help="kind of data of the checkpoints (default: audio)")
    add("--generated", nargs="+", default=[], metavar="DIR", help="folders of generated audio, one row each")
    add(
        "--checkpoint",
        nargs="+",
        default=[],
        metavar="PATH",
        help="checkpoints, exports, run folders or hf:user/name, one row each",
    )
    add("--passes", type=int, help="sampling steps of the checkpoints' generators (default: as in their recipes)")
    add(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="as in generate.py; the labels that are not asked for are those of training clips (none: left open)",
    )
    add("--guidance", type=float, help="how much labels are emphasised (default: as in generate.py)")
    add("--reference", metavar="DIR", help="held-out real music (default: val in --dataset_folder)")
    add("--train", metavar="DIR", help="the training music (default: train in --dataset_folder)")
    add(
        "--dataset_folder",
        default="dataset_pairs_wav",
        metavar="DIR",
        help="dataset that --reference and --train default to (default: dataset_pairs_wav)",
    )
    add("--num", type=int, default=512, help="clips in each set (default: 512)")
    add("--num_train", type=int, default=1000, help="training clips searched for copies (default: 1000)")
    add(
        "--duration",
        type=float,
        default=4.0,
        help="length of the compared clips in seconds, shorter if files are shorter (default: 4)",
    )
    add("--rounds", type=int, default=100, help="bootstrap draws for the intervals (default: 100)")
    add("--seed", type=int, default=0, help="random seed of crops, noise and bootstrap (default: 0)")
    add("--codec", help="codec of the round trip and the Gaussian (default: the first checkpoint's, else mel)")
    add(
        "--decoder",
        help=f"from log-mel latents to sound: {', '.join(DECODERS)}, or a trained decoder's folder (default: learned)",
    )
    add("--codec_weights", help="EnCodec weights, if their path differs from that in training")
    add("--rulers", help="descriptors to measure by: clips, notes or clips,notes (default: all that are installed)")
    add("--device", help="cpu, cuda or mps (default: the best that is there)")
    add("--json", metavar="PATH", help="write the metrics, the command and the versions to this file")
    return parser


def _settle(args: argparse.Namespace) -> None:
    """Check ranges and fill in defaults that depend on other options. Raises UserError."""
    for name, low, high in (
        ("num", FEWEST_CLIPS, 10**5),
        ("num_train", FEWEST_CLIPS, 10**6),
        ("duration", SHORTEST_S, 600),
        ("rounds", 10, 10**5),
        ("seed", 0, 2**31),
    ):
        if not low <= getattr(args, name) <= high:
            raise UserError(f"--{name} {getattr(args, name)} is not possible: give {low} to {high}")
    if not args.generated and not args.checkpoint:
        raise UserError("nothing to evaluate: give --generated DIR or --checkpoint PATH")
    if args.passes is not None and not args.checkpoint:
        raise UserError("--passes needs --checkpoint as well")
    args.rulers, args.without = rulers.usable_rulers(args.rulers)
    if args.json and not Path(args.json).absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: its folder does not exist")
    if args.reference is None:
        args.reference = Path(args.dataset_folder) / "val"
        args.train = args.train or Path(args.dataset_folder) / "train"
    from runtime import devices

    args.device = str(devices.choose(args.device))


def _run_own(args: argparse.Namespace, argv: list[str], own) -> int:
    """Measures a kind of data that is not audio; `own` is the module that its fact `evaluates` names."""
    from evaluation.table import render
    from runtime.files import write_text
    from synthesis.loading import load_generator

    if not args.checkpoint or args.generated:
        raise UserError(f"--kind {args.kind} measures generators: give --checkpoint PATH, and no --generated")
    if args.label or args.guidance is not None:
        raise UserError(f"--label and --guidance are of audio, and this is {args.kind}: leave them out")
    folder = Path(args.dataset_folder)
    generators = {path: load_generator(path, args.device or "cpu") for path in args.checkpoint}
    for path, loaded in generators.items():
        if loaded.space.kind != args.kind:
            raise UserError(f"{path} makes {loaded.space.kind}: leave --kind {args.kind} out")
    train, val = args.train or folder / "train", args.reference or folder / "val"
    measured = own.measure(generators, Path(train), Path(val), args.num, args.rounds, args.seed)
    console = plain_console()
    title = f"{measured.count} {args.kind} in every set, seed {args.seed}"
    table = render(measured.sets, title, measured.broken, rungs=measured.rungs)
    plain_console(width=max(console.width, WIDTH)).print(table)
    remarks = [*measured.remarks, *(f"{metric} !: {'; '.join(why)}" for metric, why in measured.broken.items())]
    for remark in remarks:
        console.print(f"- {remark}", soft_wrap=True)
    if args.json:
        report = {"command": shlex.join(["python", "evaluate.py", *argv]), "seed": args.seed, "remarks": remarks}
        report |= {"samples": measured.count, "misordered": measured.broken, "sets": measured.sets}
        write_text(Path(args.json), json.dumps(report, indent=1) + "\n")
    return 0


def run(args: argparse.Namespace, argv: list[str]) -> int:
    from runtime.devices import without_gaps

    started = time.monotonic()
    if KINDS[args.kind].facts.get("evaluates") is not None:
        return _run_own(args, argv, import_module(KINDS[args.kind].facts["evaluates"]))
    _settle(args)
    with without_gaps():
        return _run_audio(args, argv, started)


def _run_audio(args: argparse.Namespace, argv: list[str], started: float) -> int:
    """Measures audio; `started`: when the program did, by the monotonic clock."""
    from audio_codecs import codec_options, open_codec
    from runtime.files import write_text

    console = plain_console()
    remarks: list[str] = []
    sources = open_sources(args, remarks)
    codec = next((s.codec for s in sources if s.codec is not None), None) if args.codec is None else None
    name = args.codec or "mel"
    codec = codec or open_codec(name, args.codec_weights, args.device, codec_options(name, args.decoder))
    with console.status("reading") as status:
        material = gather(args, sources, remarks)
        measured = measure(material, codec, args, lambda what: status.update(what))
    seconds = material.reference_BN.shape[1] / SAMPLE_RATE
    title = f"{material.count} clips of {seconds:g} s in every set, codec {codec.identity}, seed {args.seed}"
    shown = {name: show(console, name, one, title) for name, one in measured.items()}
    remarks = material.remarks + args.without + [remark for _, said in shown.values() for remark in said]
    for remark in remarks:
        console.print(f"- {remark}", soft_wrap=True)
    if args.json:
        by_ruler = {
            name: {"sets": one.sets, "misordered": shown[name][0], "reference": one.reference}
            for name, one in measured.items()
        }
        first = by_ruler[args.rulers[0]]  # its sets are at the top level, too, for readers that know one ruler only
        report = {
            "command": shlex.join(["python", "evaluate.py", *argv]),
            "seed": args.seed,
            "clips": material.count,
            "clip_seconds": seconds,
            "train_clips": len(material.train_BN),
            "codec": codec.identity,
            "seconds": round(time.monotonic() - started, 1),
            "remarks": remarks,
            "misordered": first["misordered"],
            **describe_machine(args.device),
            "rulers": by_ruler,
            "sets": first["sets"],
        }
        write_text(Path(args.json), json.dumps(report, indent=1) + "\n")
    return 0


@reports_user_errors("evaluate.py")
def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    return run(_parser().parse_args(argv), argv)


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
