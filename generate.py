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
from kinds.options import KINDS
from runtime.console import outlive_readers
from runtime.cores import sleep_while_waiting
from synthesis.loading import find_generator, load_generator
from synthesis.options import channel_range

RANGES = {
    "num": (1, 10**6),
    "duration": (0.05, 36_000.0),
    "batch": (1, 4096),
    "passes": (1, 1000),
    "temperature": (0.01, 100.0),
    "steps": (2, 10**6),
    "variations": (1, 10**6),
    "variation_strength": (0, 1),
    "noise_fraction": (0, 1),
    "guidance": (0.0, 100.0),
}
NEEDS = {  # options that need another one
    "target_audio": "input_audio",
    "noise_fraction": "input_audio",
    "noise_channels": "input_audio",
    "steps": "interpolate",
    "variation_strength": "variations",
    "guidance": "label",
}
LONGEST_STEM = (
    150  # bytes of a recording's name: file systems take 255, of which the clip's number and others take some
)
EXCLUDES = (("num", "interpolate"), ("num", "variations"), ("interpolate", "variations"), ("duration", "input_audio"))


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--checkpoint", required=True, help="a checkpoint (.pt), an exported folder, or a run's folder")
    add("--num", type=int, help="number of clips (default: 8; with --input_audio: 1)")
    add(
        "--duration",
        type=float,
        help="length of each clip in seconds (default: 10; with --input_audio: that of the recording)",
    )
    add("--output_dir", default="samples", help="folder for the wav files (default: samples)")
    add("--seed", type=int, default=0, help="random seed; clip k depends on the seed and k alone (default: 0)")
    add("--passes", type=int, help="sampling steps from noise to music (default: as in the recipe)")
    add("--label", action="append", metavar="NAME=VALUE", help="ask for a label, e.g. genre=jazz; may be repeated")
    add("--guidance", type=float, help="how much labels are emphasised; 1: as they are (default: 1.5)")
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


def _check(args: argparse.Namespace) -> None:
    """Raises UserError for values out of range and options that do not fit together; fills in defaults."""
    for name, (low, high) in RANGES.items():
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name} {value} is not possible: give {low} to {high}")
    for name, needed in NEEDS.items():
        if getattr(args, name) is not None and getattr(args, needed) is None:
            raise UserError(f"--{name} needs --{needed} as well")
    for one, other in EXCLUDES:
        if getattr(args, one) is not None and getattr(args, other) is not None:
            raise UserError(f"--{one} and --{other} exclude each other: leave one out")
    if args.input_audio and not args.noise_fraction:
        for name in ("num", "noise_channels", "interpolate", "variations"):
            if getattr(args, name) is not None:
                raise UserError(f"--{name} has no effect without noise: give --noise_fraction over 0")
    args.noise_channels = _channels(args.noise_channels)
    defaults = {"num": 1 if args.input_audio else 8, "duration": 10.0, "steps": 5, "variation_strength": 0.2}
    for name, value in (defaults | {"noise_fraction": 0.0, "guidance": 1.5}).items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _channels(text: str | None) -> tuple[int, int] | None:
    try:
        return None if text is None else channel_range(text)
    except ValueError as error:
        raise UserError(f"--noise_channels {text} is not possible: give {error}") from None


def _folder(path: str) -> Path:
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --output_dir") from None
    return folder


def _draws(args: argparse.Namespace) -> tuple[str, list]:
    """The stem of the file names, and the noise of each clip."""
    from synthesis import draws

    if args.interpolate is not None:
        return f"interpolate_{args.seed}_{args.interpolate}", draws.interpolation(
            args.seed, args.interpolate, args.steps
        )
    if args.variations is not None:
        return f"variation_{args.seed}", draws.variations(args.seed, args.variations, args.variation_strength)
    return f"noise_{args.seed}", draws.plain(args.seed, args.num)


def _wish(args: argparse.Namespace, loaded):
    """The labels that are asked for. Raises UserError for those that the generator does not know."""
    from synthesis.generation import Wish
    from synthesis.labels import parse_labels

    return Wish(parse_labels(args.label or [], loaded.conditioning.known_labels), args.guidance)


def _clips(args: argparse.Namespace, loaded, codec, draws: list, wavs: list[np.ndarray]) -> Iterator[np.ndarray]:
    import torch

    from kinds.audio.render import clips_from_music, clips_from_noise
    from synthesis.sources import NoiseMix

    workers = 1
    if loaded.device.type == "cpu":  # one clip per core is faster than several threads per operation
        workers = torch.get_num_threads()
        torch.set_num_threads(1)
    wish = _wish(args, loaded)
    if not wavs:
        return clips_from_noise(loaded, codec, draws, args.duration, args.temperature, args.batch, workers, wish)
    mix = NoiseMix(args.noise_fraction, args.noise_channels, args.temperature)
    return clips_from_music(loaded, codec, draws, *wavs, mix, args.batch, workers, wish)


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


def _write(args: argparse.Namespace, path: Path, wav: np.ndarray, sample_rate: int, trained_to: str) -> None:
    from kinds.audio.files import write_wav

    try:
        write_wav(path, wav, sample_rate)
        if args.spectrogram:
            from kinds.audio.spectrograms import save_spectrogram

            save_spectrogram(wav, sample_rate, path.with_suffix(".png"), f"{path.stem} ({trained_to})")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}; choose another --output_dir") from None


def _write_own(args: argparse.Namespace, loaded, own) -> int:
    """Files of a kind of data that is not audio; `own` is the module that its fact `renders` names."""
    for name in ("input_audio", "spectrogram", "decoder", "codec_weights", "noise_channels"):
        if getattr(args, name):
            raise UserError(f"--{name} is of audio, and this generator makes {loaded.space.kind}: leave it out")
    if args.input_image:
        print(own.write_enlarged(loaded, Path(args.input_image), _folder(args.output_dir)))
        return 0
    name, draws = _draws(args)
    own.check(loaded)
    folder = _folder(args.output_dir)
    with progress_bar(f"Making {loaded.space.kind}") as progress:
        print(own.write_generated(loaded, draws, folder, name, args.temperature, progress, _wish(args, loaded)))
    return 0


def run(args: argparse.Namespace) -> int:
    from kinds.audio.files import read_recording

    _check(args)
    find_generator(args.checkpoint)
    sources = [args.input_audio, args.target_audio or args.input_audio] if args.input_audio else []
    recordings = {path: read_recording(path) for path in dict.fromkeys(sources)}
    for path, recording in recordings.items():
        for remark in recording.remarks:
            print(printable(f"{path}: {remark}"))
    wavs = [recordings[path].wav for path in sources]
    from runtime import devices

    with devices.without_gaps():
        return _generate(args, str(devices.choose(args.device)), wavs)


def _generate(args: argparse.Namespace, device: str, wavs: list) -> int:
    loaded = load_generator(args.checkpoint, device, args.passes)
    own = KINDS[loaded.space.kind].facts.get("renders") if loaded.space.kind in KINDS else None
    if own is not None:
        return _write_own(args, loaded, import_module(own))
    if args.input_image:
        raise UserError(f"--input_image: the generator of {loaded.trained_to} makes {loaded.space.kind}: leave it out")
    channels = loaded.space.shape[0]
    if args.noise_channels and args.noise_channels[1] > channels:
        raise UserError(f"--noise_channels goes past the generator's {channels} channels")
    from kinds.audio.render import open_generators_codec

    codec = open_generators_codec(loaded, args.codec_weights, device, args.decoder)
    folder = _folder(args.output_dir)
    name, draws = _draws(args)
    name = f"{_short(Path(args.input_audio).stem)}_{name}" if args.input_audio else name
    start, seconds, kept = time.monotonic(), 0.0, 0
    with progress_bar("Making clips") as progress:
        progress(0, len(draws))
        for k, wav in enumerate(_clips(args, loaded, codec, draws, wavs)):
            path = _free_path(folder, f"{name}_{k:04d}", wav, codec.sample_rate)
            kept += path.stem != f"{name}_{k:04d}"
            _write(args, path, wav, codec.sample_rate, loaded.trained_to)
            seconds += len(wav) / codec.sample_rate
            progress(k + 1, len(draws))
    speed = seconds / max(1e-9, time.monotonic() - start)
    print(
        f"{len(draws)} wav files in {folder}, made by the generator at {loaded.trained_to}: "
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
