"""Packs a trained generator for others: a folder with weights, decoder, model card and samples; also as ONNX.

python export.py --checkpoint checkpoints --output my_model --license cc0-1.0
python export.py --checkpoint checkpoints --output my_model --onnx
python export.py --checkpoint checkpoints --output my_model --push hf:user/name
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from command_line import OneSentenceParser
from errors import UserError, reports_user_errors
from kinds.audio.request import Request
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting
from synthesis.hub import local_folder, push

RANGES = {"samples": (0, 100), "duration": (0.05, 600.0)}


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--checkpoint", required=True, help="a checkpoint (.pt), an exported folder, a run's folder, or hf:user/name")
    add("--output", required=True, help="folder to write")
    add("--license", help="licence of the weights, as the Hugging Face hub names it, e.g. cc0-1.0, apache-2.0")
    add("--trained_on", help="what it was trained on, one sentence (default: what the run's folder says)")
    add("--figures", metavar="FILE.json", help="its metrics, written by evaluate.py --json, for the model card")
    add("--samples", type=int, default=4, help="number of samples in the folder (default: 4)")
    add("--duration", type=float, default=10.0, help="their length in seconds (default: 10)")
    add("--discriminator", action="store_true", help="write discriminator.safetensors, too: its weights as trained")
    add("--onnx", action="store_true", help="also write generator and decoder as ONNX, and what plays them with numpy")
    add("--push", metavar="hf:user/name", help="upload the folder to the Hugging Face hub")
    add("--codec_weights", help="the codec's weights, if their path differs from that in training")
    add("--private", action="store_true", help="with --push: a new model is private")
    return parser


def run(args: argparse.Namespace) -> int:
    for name, (low, high) in RANGES.items():
        if not low <= getattr(args, name) <= high:
            raise UserError(f"--{name} {getattr(args, name)} is not possible: give {low} to {high}")
    if args.private and not args.push:
        raise UserError("--private needs --push as well")
    from kinds.audio.music import Music
    from kinds.audio.packing import about_training, pack, read_figures, write_samples
    from synthesis.exporting import add_discriminator, read_discriminator
    from synthesis.loading import find_generator, load_generator

    checkpoint = local_folder(args.checkpoint)
    discriminator = read_discriminator(checkpoint) if args.discriminator else None
    figures = read_figures(args.figures)
    loaded = load_generator(checkpoint)
    music = Music.open(replace(loaded, decoder=Path(args.codec_weights)) if args.codec_weights else loaded)
    trained_on = args.trained_on or about_training(find_generator(checkpoint).parent)
    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        samples = write_samples(music, folder, Request(num=args.samples, duration=args.duration))
        pack(music, folder, args.license, trained_on, figures, samples, args.onnx, *([args.push] if args.push else []))
        if discriminator is not None:
            add_discriminator(*discriminator, folder)
        if args.onnx:
            from kinds.audio.onnx_export import write_onnx

            write_onnx(music, folder)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror or error}; choose another --output") from None
    print(f"{folder}: the generator at {music.trained_to}, {len(samples)} samples, model card README.md")
    if args.push:
        print(f"pushed to {push(folder, args.push, args.private)}")
    return 0


@reports_user_errors("export.py")
def main(argv: list[str] | None = None) -> int:
    return run(_parser().parse_args(argv))


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
