"""Makes wav files with a trained generator: out of noise, or out of music and noise; any length.

python generate.py --checkpoint checkpoints/last.pt --num 8 --duration 10 --output_dir samples
python generate.py --checkpoint checkpoints --seed 1 --interpolate 2 --steps 7
python generate.py --checkpoint checkpoints --seed 1 --variations 4 --variation_strength 0.2
python generate.py --checkpoint checkpoints --input_audio a.wav --target_audio b.wav --noise_fraction 0.23
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from command_line import OneSentenceParser
from data.progress import progress_bar
from errors import UserError
from synthesis.loading import find_generator, load_generator

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
}
NEEDS = {  # options that mean nothing without another
    "target_audio": "input_audio",
    "noise_fraction": "input_audio",
    "noise_channels": "input_audio",
    "steps": "interpolate",
    "variation_strength": "variations",
}
EXCLUDES = (("num", "interpolate"), ("num", "variations"), ("interpolate", "variations"), ("duration", "input_audio"))


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--checkpoint", required=True, help="a checkpoint (.pt), an exported folder, or a run's folder")
    add("--num", type=int, help="clips to make (default: 8; 1 out of music)")
    add("--duration", type=float, help="their length in seconds, any (default: 10; that of the music)")
    add("--output_dir", default="samples", help="folder for the wav files (default: samples)")
    add("--seed", type=int, default=0, help="clip k is a function of the seed and k (default: 0)")
    add("--passes", type=int, help="sampling steps, with less noise each time (default: as trained for)")
    add("--temperature", type=float, default=1.0, help="factor on the noise's scale (default: 1)")
    add(
        "--batch",
        type=int,
        help="clips made at a time, fewer where they are long (default: 8; 1 per CPU core)",
    )
    add("--spectrogram", action="store_true", help="write a PNG beside each wav")
    add("--interpolate", type=int, metavar="SEED_B", help="go from clip 0 of --seed to clip 0 of this seed instead")
    add("--steps", type=int, help="clips on that way, the ends included (default: 5)")
    add("--variations", type=int, metavar="K", help="make K variations of clip 0 of --seed instead")
    add("--variation_strength", type=float, help="0: the clip itself, 1: another one (default: 0.2)")
    add("--input_audio", help="transform this recording instead ...")
    add("--target_audio", help="... with this one as the second source (default: the same)")
    add("--noise_fraction", type=float, help="share of noise in both, 0 to 1 (default: 0)")
    add("--noise_channels", metavar="FIRST:END", help="only these latent channels get noise, e.g. 0:64 (default: all)")
    add("--codec_weights", help="EnCodec weights, if they lie elsewhere than in training")
    add("--device", help="cpu or cuda (default: cuda where there is one)")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Raises UserError for values out of range and options that do not fit together; fills in defaults."""
    for name, (low, high) in RANGES.items():
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise UserError(f"--{name} {value} is not possible: give {low} to {high}")
    for name, needed in NEEDS.items():
        if getattr(args, name) is not None and getattr(args, needed) is None:
            raise UserError(f"--{name} needs --{needed} beside it")
    for one, other in EXCLUDES:
        if getattr(args, one) is not None and getattr(args, other) is not None:
            raise UserError(f"--{one} and --{other} exclude each other: leave one out")
    if args.input_audio and not args.noise_fraction:
        for name in ("num", "noise_channels", "interpolate", "variations"):
            if getattr(args, name) is not None:
                raise UserError(f"--{name} has no effect without noise: give --noise_fraction over 0")
    args.noise_channels = _channels(args.noise_channels)
    defaults = {"num": 1 if args.input_audio else 8, "duration": 10.0, "steps": 5, "variation_strength": 0.2}
    for name, value in (defaults | {"noise_fraction": 0.0}).items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def _channels(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        first, end = map(int, text.split(":"))
    except ValueError:
        first = end = -1
    if not 0 <= first < end:
        raise UserError(f"--noise_channels {text} is no range: give FIRST:END, as 0:64 for the lower half of 128")
    return first, end


def _device(name: str | None) -> str:
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"--device {name} cannot be used here: leave it out, or give cpu") from None
    return str(device)


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
    """What the files are called, and the noise of each."""
    from synthesis import draws

    if args.interpolate is not None:
        return f"interpolate_{args.seed}_{args.interpolate}", draws.interpolation(
            args.seed, args.interpolate, args.steps
        )
    if args.variations is not None:
        return f"variation_{args.seed}", draws.variations(args.seed, args.variations, args.variation_strength)
    return f"noise_{args.seed}", draws.plain(args.seed, args.num)


def _clips(args: argparse.Namespace, loaded, codec, draws: list, wavs: list[np.ndarray]) -> Iterator[np.ndarray]:
    import torch

    from kinds.audio.render import clips_from_music, clips_from_noise
    from synthesis.sources import NoiseMix

    workers = 1
    if loaded.device.type == "cpu":  # cores work on clips of their own: faster than sharing each operation
        workers = torch.get_num_threads()
        torch.set_num_threads(1)
    if not wavs:
        return clips_from_noise(loaded, codec, draws, args.duration, args.temperature, args.batch, workers)
    mix = NoiseMix(args.noise_fraction, args.noise_channels, args.temperature)
    return clips_from_music(loaded, codec, draws, *wavs, mix, args.batch, workers)


def _write(args: argparse.Namespace, path: Path, wav: np.ndarray, sample_rate: int, trained_to: str) -> None:
    from kinds.audio.files import write_wav

    try:
        write_wav(path, wav, sample_rate)
        if args.spectrogram:
            from kinds.audio.pictures import save_spectrogram

            save_spectrogram(wav, sample_rate, path.with_suffix(".png"), f"{path.stem} ({trained_to})")
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write {path}: {reason}; choose another --output_dir") from None


def run(args: argparse.Namespace) -> int:
    from kinds.audio.files import read_audio
    from kinds.audio.render import open_generators_codec

    _check(args)
    find_generator(args.checkpoint)
    sources = [args.input_audio, args.target_audio or args.input_audio] if args.input_audio else []
    wavs = [read_audio(path) for path in sources]
    device = _device(args.device)
    loaded = load_generator(args.checkpoint, device, args.passes)
    channels = loaded.space.shape[0]
    if args.noise_channels and args.noise_channels[1] > channels:
        raise UserError(f"--noise_channels goes past the generator's {channels} channels")
    codec = open_generators_codec(loaded, args.codec_weights, device)
    folder = _folder(args.output_dir)
    name, draws = _draws(args)
    name = f"{Path(args.input_audio).stem}_{name}" if args.input_audio else name
    start, seconds = time.monotonic(), 0.0
    with progress_bar("Making clips") as progress:
        progress(0, len(draws))
        for k, wav in enumerate(_clips(args, loaded, codec, draws, wavs)):
            _write(args, folder / f"{name}_{k:04d}.wav", wav, codec.sample_rate, loaded.trained_to)
            seconds += len(wav) / codec.sample_rate
            progress(k + 1, len(draws))
    speed = seconds / max(1e-9, time.monotonic() - start)
    print(
        f"{len(draws)} wav files in {folder}, made by the generator of {loaded.trained_to}: "
        f"{seconds:.0f} s of audio, {speed:.1f} times faster than it plays"
    )
    return 0


def main(argv: list[str] | None = None) -> int:
    try:
        return run(_parser().parse_args(argv))
    except UserError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
