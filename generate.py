"""Makes wav files with a trained generator: out of noise, or out of music and noise.

python generate.py --checkpoint checkpoints/last.pt --num 8 --duration 10 --output_dir samples
python generate.py --checkpoint checkpoints --input_audio a.wav --target_audio b.wav --noise_fraction 0.23
"""

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config import RunConfig
from errors import UserError


@dataclass
class LoadedGenerator:
    """A generator ready to be called, with what it was trained on."""

    config: RunConfig
    network: object
    space: object
    trained_to: str


def load_generator(path: str | Path, device: str = "cpu") -> LoadedGenerator:
    """Reads a training checkpoint (the averaged weights), an exported folder, or a run's folder (its export, else
    its last checkpoint). Nothing in the files is executed.

    Raises:
        UserError: there is no such file, or it is not one of these.
    """
    path = Path(path)
    if path.is_dir():
        exported = path / "generator.safetensors"
        path = exported if exported.exists() else path / "last.pt"
    state = _read_export(path.parent) if path.name == "generator.safetensors" else _read_checkpoint(path)
    from training.networks import build_guided_generator
    from training.state import LatentSpace

    try:
        config = RunConfig(**{k: v for k, v in state["config"].items() if k in RunConfig.model_fields})
        network = build_guided_generator(config)
        network.load_state_dict(state["weights"])
        space = LatentSpace(**state["latents"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} does not hold a generator of this program: {reason}") from None
    return LoadedGenerator(config, network.to(device).eval().requires_grad_(False), space, state["trained_to"])


def _read_checkpoint(path: Path) -> dict:
    from runtime import checkpoint

    state = checkpoint.load(path)
    try:
        counters = state["counters"]
        trained_to = f"epoch {counters['finished_epochs']}, step {counters['step']}"
        return {k: state[k] for k in ("config", "latents")} | {"weights": state["ema"], "trained_to": trained_to}
    except (KeyError, TypeError):
        raise UserError(f"{path} is no training checkpoint of this program") from None


def _read_export(folder: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "generator.safetensors")
        latents = described["latents"] | {k[8:]: tensors.pop(k) for k in list(tensors) if k.startswith("latents.")}
        return {
            "config": described["config"],
            "latents": latents,
            "weights": tensors,
            "trained_to": described["trained_to"],
        }
    except (OSError, json.JSONDecodeError, SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no exported generator (generator.safetensors, config.json): {error}") from None


def export_generator(folder: Path, config: RunConfig, weights: dict, space, trained_to: str) -> None:
    """Writes `generator.safetensors` (averaged weights, latent statistics) and `config.json`, each atomically."""
    from safetensors.torch import save

    from runtime.checkpoint import write_atomic

    state = space.state()
    statistics = {name: value for name, value in state.items() if hasattr(value, "shape")}
    described = {
        "config": config.model_dump(),
        "latents": {name: value for name, value in state.items() if name not in statistics},
        "trained_to": trained_to,
    }
    tensors = weights | {f"latents.{name}": value for name, value in statistics.items()}
    write_atomic(folder / "generator.safetensors", save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))
    write_atomic(folder / "config.json", json.dumps(described, indent=1).encode())


def open_generators_codec(loaded: LoadedGenerator, weights: str | None, device: str):
    """The codec that the generator was trained with.

    Raises:
        UserError: its weights cannot be had, or are others than those of training.
    """
    from audio_codecs import codec_identity, open_codec

    weights = weights or loaded.config.codec_weights
    identity = codec_identity(loaded.space.codec, weights)
    if identity != loaded.space.codec_identity:
        raise UserError(
            f"the generator speaks {loaded.space.codec_identity}, the codec here is {identity}: give --codec_weights"
        )
    return open_codec(loaded.space.codec, weights, device)


def generate_from_noise(loaded, codec, num: int, duration: float, seed: int, temperature: float = 1.0, batch: int = 8):
    """Yields `num` clips `[N]` of `duration` seconds; clip k depends on (seed, k) alone."""
    from training.samples import decoded, from_noise

    frames = max(1, math.ceil(duration * codec.frame_rate))
    length = round(duration * codec.sample_rate)
    for first in range(0, num, batch):
        count = min(batch, num - first)
        latents = from_noise(loaded.config, loaded.network, loaded.space, count, frames, seed, first, temperature)
        for wav in decoded(codec, latents):
            yield wav[:length]


def transform_music(loaded, codec, input_audio: str, target_audio: str, noise_fraction: float, seed: int) -> np.ndarray:
    """One clip `[N]` out of two recordings (the longer one is cut) and a share of noise."""
    import torch

    from data.audio import read_audio
    from training.samples import decoded, from_music

    wavs = [read_audio(path, codec.sample_rate) for path in (input_audio, target_audio)]
    length = min(len(wav) for wav in wavs)
    device = next(loaded.network.parameters()).device
    with torch.no_grad():
        latents = [codec.encode(torch.from_numpy(wav[:length])[None, None].to(device)) for wav in wavs]
    output = from_music(loaded.config, loaded.network, loaded.space, *latents, noise_fraction, seed)
    return decoded(codec, output)[0, :length]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--checkpoint", required=True, help="a checkpoint (.pt), an exported folder, or a run's folder")
    add("--num", type=int, default=8, help="clips to make out of noise (default: 8)")
    add("--duration", type=float, default=10.0, help="their length in seconds, any (default: 10)")
    add("--output_dir", default="samples", help="folder for the wav files (default: samples)")
    add("--seed", type=int, default=0, help="clip k is a function of the seed and k (default: 0)")
    add("--temperature", type=float, default=1.0, help="factor on the noise's scale (default: 1)")
    add("--batch", type=int, default=8, help="clips made at a time (default: 8)")
    add("--spectrogram", action="store_true", help="write a PNG beside each wav")
    add("--input_audio", help="transform this recording instead ...")
    add("--target_audio", help="... with this one as the second source (default: the same)")
    add("--noise_fraction", type=float, default=0.0, help="share of noise in both, 0 to 1 (default: 0)")
    add("--codec_weights", help="EnCodec weights, if they lie elsewhere than in training")
    add("--device", help="cpu or cuda (default: cuda where there is one)")
    return parser


def _check(args: argparse.Namespace) -> None:
    for name, low, high in (
        ("num", 1, 10**6),
        ("duration", 0.05, 3600.0),
        ("batch", 1, 4096),
        ("noise_fraction", 0, 1),
    ):
        value = getattr(args, name)
        if not low <= value <= high:
            raise UserError(f"--{name} {value} is not possible: give {low} to {high}")
    if not (0 < args.temperature < 100):
        raise UserError(f"--temperature {args.temperature} is not possible: give a number over 0, 1 is as trained")
    if args.target_audio and not args.input_audio:
        raise UserError("--target_audio needs --input_audio beside it")


def run(args: argparse.Namespace) -> int:
    import torch

    from data.audio import write_wav
    from monitoring.pictures import save_spectrogram

    _check(args)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    loaded = load_generator(args.checkpoint, device)
    codec = open_generators_codec(loaded, args.codec_weights, device)
    folder = Path(args.output_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose another --output_dir") from None
    if args.input_audio:
        target = args.target_audio or args.input_audio
        clips = [transform_music(loaded, codec, args.input_audio, target, args.noise_fraction, args.seed)]
        names = [f"transformed_{Path(args.input_audio).stem}"]
    else:
        clips = generate_from_noise(loaded, codec, args.num, args.duration, args.seed, args.temperature, args.batch)
        names = [f"noise_{args.seed}_{k:04d}" for k in range(args.num)]
    for name, wav in zip(names, clips, strict=True):
        write_wav(folder / f"{name}.wav", wav, codec.sample_rate)
        if args.spectrogram:
            save_spectrogram(wav, codec.sample_rate, folder / f"{name}.png", f"{name} ({loaded.trained_to})")
    print(f"{len(names)} wav files in {folder}, made by the generator of {loaded.trained_to}")
    return 0


def main(argv: list[str] | None = None) -> int:
    try:
        return run(_parser().parse_args(argv))
    except UserError as error:
        print(f"generate.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
