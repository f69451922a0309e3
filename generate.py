"""Makes wav files of any length with a trained generator: from noise, or from music and noise; images, too.

python generate.py --checkpoint checkpoints/last.pt --num 8 --duration 10 --output_dir samples
python generate.py --checkpoint checkpoints --seed 1 --interpolate 2 --steps 7
python generate.py --checkpoint checkpoints --seed 1 --variations 4 --variation_strength 0.2
python generate.py --checkpoint checkpoints --input_audio a.wav --target_audio b.wav --noise_fraction 0.23
python generate.py --checkpoint images --num 64
python generate.py --checkpoint super_resolution --input_image small.png
"""

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

from audio_codecs.options import DECODERS
from command_line import OneSentenceParser
from data.progress import progress_bar
from errors import UserError, printable, reports_user_errors
from kinds.audio.request import Request, recordings_of, request_of
from kinds.options import KINDS
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting
from synthesis.hub import local_folder
from synthesis.loading import find_generator, load_generator

BATCH = (1, 4096)
LONGEST_STEM = (
    150  # bytes of a recording's name: file systems take 255, of which the clip's number and others take some
)


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--checkpoint", required=True, help="a checkpoint (.pt), an exported folder, a run's folder, or hf:user/name")
    add("--num", type=int, help="number of clips (default: 8; with --input_audio: 1)")
    add(
        "--duration",
        type=float,
        help="length of each clip in seconds (default: 10; with --input_audio: that of the recording)",
    )
    add("--output_dir", default="samples", help="folder for the wav files (default: samples)")
    add("--seed", type=int, default=0, help="random seed; clip k depends on the seed and k alone (default: 0)")
    add("--passes", type=int, help="sampling steps from noise to music (default: as in the recipe)")
    add(
        "--label",
        action="append",
        metavar="NAME=VALUE",
        help="ask for a label, e.g. genre=jazz; may be repeated; from noise, the others are those of a training clip "
        "(none: they are left open)",
    )
    add(
        "--guidance",
        type=float,
        help="how much labels are emphasised; 1: as they are (default: 2, in one step "
        "1.5; 1 if the generator learned it, as in recipes/one_pass.yaml)",
    )
    add("--temperature", type=float, default=1.0, help="factor on the scale of the noise (default: 1)")
    add(
        "--batch",
        type=int,
        help="batch size, reduced for long clips (default: 8 on a GPU, 1 per CPU core)",
    )
    add("--spectrogram", action="store_true", help="also write a spectrogram (PNG) of each clip")
    add("--interpolate", type=int, metavar="SEED_B", help="interpolate from clip 0 of --seed to clip 0 of this seed")
    add("--steps", type=int, help="number of clips of --interpolate, both ends included (default: 5)")
    add("--variations", type=int, metavar="K", help="make K variations of clip 0 of --seed")
    add(
        "--variation_strength",
        type=float,
        help="strength of --variations; 0: the clip itself, 1: an unrelated clip (default: 0.2)",
    )
    add("--input_audio", help="transform this recording instead of noise alone")
    add("--input_image", help="enlarge this image with a generator for super-resolution")
    add(
        "--target_audio",
        help="second recording, the generator's target input (default: --input_audio; not after --unity_test)",
    )
    add("--noise_fraction", type=float, help="noise level alpha of both recordings, 0 to 1 (default: 0)")
    add(
        "--noise_channels",
        metavar="FIRST:END",
        help="add noise to these latent channels only, e.g. 0:64 (default: as in training)",
    )
    add(
        "--decoder",
        help=f"from log-mel latents to sound: {', '.join(DECODERS)}, or a trained decoder's folder (default: learned)",
    )
    add("--codec_weights", help="EnCodec weights, if their path differs from that in training")
    add("--device", help="cpu, cuda or mps (default: the best that is there)")
    return parser


def _folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --output_dir") from None
    return folder


def _short(stem: str) -> str:
    """The name of a recording, so short that there is room for what is added to it; still different from others'."""
    if len(os.fsencode(stem)) <= LONGEST_STEM:
        return stem
    digest = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    while len(os.fsencode(stem)) > LONGEST_STEM - 9:
        stem = stem[:-1]
    return f"{stem}-{digest}"


def _free_path(folder: Path, stem: str, wav: np.ndarray, sample_rate: int) -> Path:
    """Where a clip goes: a file of that name which holds something else is not overwritten."""
    from kinds.audio.files import holds

    path, number = folder / f"{stem}.wav", 1
    while path.exists() and not holds(path, wav, sample_rate):
        number += 1
        path = folder / f"{stem}-{number}.wav"
    return path


def _write(args: argparse.Namespace, path: Path, clip, trained_to: str) -> None:
    clip.save(path)
    if args.spectrogram:
        clip.save_spectrogram(path.with_suffix(".png"), f"{path.stem} ({trained_to})")


def _write_own(args: argparse.Namespace, request: Request, loaded, own) -> int:
    """Files of a kind of data that is not audio; `own` is the module that its fact `renders` names."""
    for name in ("input_audio", "spectrogram", "decoder", "codec_weights", "noise_channels"):
        if getattr(args, name):
            raise UserError(f"--{name} is of audio, and this generator makes {loaded.space.kind}: leave it out")
    if args.input_image:
        print(own.write_enlarged(loaded, Path(args.input_image), _folder(args.output_dir)))
        return 0
    own.check(loaded)
    wish = request.wish(loaded)
    folder = _folder(args.output_dir)
    with progress_bar(f"Making {loaded.space.kind}") as progress:
        print(own.write_generated(loaded, request.draws(), folder, request.stem, request.temperature, progress, wish))
    return 0


def run(args: argparse.Namespace) -> int:
    request = request_of(vars(args))
    low, high = BATCH
    if args.batch is not None and not low <= args.batch <= high:
        raise UserError(f"--batch {args.batch} is not possible: give {low} to {high}")
    checkpoint = local_folder(args.checkpoint)
    find_generator(checkpoint)
    recordings = recordings_of(request)
    for path, recording in dict(recordings).items():
        for remark in recording.remarks:
            print(printable(f"{path}: {remark}"))
    from runtime import devices

    with devices.without_gaps():
        return _generate(args, request, checkpoint, [recording.wav for _, recording in recordings])


def _generate(args: argparse.Namespace, request: Request, checkpoint: Path, wavs: list) -> int:
    from kinds.audio.music import Music
    from runtime import devices

    loaded = load_generator(checkpoint, str(devices.choose(args.device)), args.passes)
    own = KINDS[loaded.space.kind].facts.get("renders") if loaded.space.kind in KINDS else None
    if own is not None:
        return _write_own(args, request, loaded, import_module(own))
    if args.input_image:
        raise UserError(f"--input_image: the generator of {loaded.trained_to} makes {loaded.space.kind}: leave it out")
    music = Music.open(loaded, args.codec_weights, args.decoder)
    clips = music.clips(request, wavs, args.batch)
    return _write_clips(args, request, music, clips)


def _write_clips(args: argparse.Namespace, request: Request, music, clips: Iterator) -> int:
    """The wav files of a request."""
    folder, total = _folder(args.output_dir), len(request.draws())
    name = f"{_short(Path(args.input_audio).stem)}_{request.stem}" if args.input_audio else request.stem
    start, seconds, kept = time.monotonic(), 0.0, 0
    with progress_bar("Making clips") as progress:
        progress(0, total)
        for k, clip in enumerate(clips):
            path = _free_path(folder, f"{name}_{k:04d}", clip.wav_N, clip.sample_rate)
            kept += path.stem != f"{name}_{k:04d}"
            _write(args, path, clip, music.trained_to)
            seconds += clip.seconds
            progress(k + 1, total)
    speed = seconds / max(1e-9, time.monotonic() - start)
    print(
        f"{total} wav files in {folder}, made by the generator at {music.trained_to}: "
        f"{seconds:.0f} s of audio, {speed:.1f} times real time"
    )
    if kept:
        print(f"{kept} of them have a number behind their names: {folder} holds files of other settings, which stay.")
    return 0


@reports_user_errors("generate.py")
def main(argv: list[str] | None = None) -> int:
    return run(_parser().parse_args(argv))


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
