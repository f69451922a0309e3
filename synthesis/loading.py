"""A trained generator on disk: read from a checkpoint or an export, written as an export."""

import json
from dataclasses import dataclass
from pathlib import Path

from config import RunConfig
from errors import UserError

WEIGHTS, DESCRIPTION = "generator.safetensors", "config.json"


@dataclass
class LoadedGenerator:
    """A generator ready to be called, with what it was trained on."""

    config: RunConfig
    network: object
    space: object
    trained_to: str

    @property
    def device(self):
        return next(self.network.parameters()).device


def load_generator(path: str | Path, device: str = "cpu", passes: int | None = None) -> LoadedGenerator:
    """Reads a training checkpoint (the averaged weights), an exported folder, or a run's folder (its export, else
    its last checkpoint). Nothing in the files is executed.

    passes: through the generator, from noise to music; None: as many as its recipe says.

    Raises:
        UserError: there is no such file, or it is not one of these, or it was trained for one pass only.
    """
    path = find_generator(path)
    state = _read_export(path.parent) if path.name == WEIGHTS else _read_checkpoint(path)
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
    if passes is not None:
        config = _with_passes(config, passes, path)
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise UserError(f"{path} holds NaN or infinite weights, its training diverged: give an earlier checkpoint")
    return LoadedGenerator(config, network.to(device).eval().requires_grad_(False), space, state["trained_to"])


def _with_passes(config: RunConfig, passes: int, path: Path) -> RunConfig:
    try:
        return RunConfig(**(config.model_dump() | {"passes": passes}))
    except ValueError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        raise UserError(f"--passes {passes} is not possible with {path}: {reason}") from None


def find_generator(path: str | Path) -> Path:
    """The file that a `--checkpoint` means. Raises UserError where there is none."""
    path = Path(path)
    if path.is_file():
        return path
    for name in (WEIGHTS, "last.pt") if path.is_dir() else ():
        if (path / name).is_file():
            return path / name
    missing = f"holds neither {WEIGHTS} nor last.pt" if path.is_dir() else "does not exist"
    raise UserError(f"--checkpoint {path} {missing}: give a checkpoint (.pt), an exported folder, or a run's folder")


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
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
        latents = described["latents"] | {k[8:]: tensors.pop(k) for k in list(tensors) if k.startswith("latents.")}
        return {
            "config": described["config"],
            "latents": latents,
            "weights": tensors,
            "trained_to": described["trained_to"],
        }
    except (OSError, ValueError, SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no exported generator ({WEIGHTS}, {DESCRIPTION}): {error}") from None


def export_generator(folder: Path, config: RunConfig, weights: dict, space, trained_to: str) -> None:
    """Writes `generator.safetensors` (averaged weights, latent statistics) and `config.json`, each atomically."""
    from safetensors.torch import save

    from runtime.files import write_bytes

    state = space.state()
    statistics = {name: value for name, value in state.items() if hasattr(value, "shape")}
    described = {
        "config": config.model_dump(),
        "latents": {name: value for name, value in state.items() if name not in statistics},
        "trained_to": trained_to,
    }
    tensors = weights | {f"latents.{name}": value for name, value in statistics.items()}
    write_bytes(folder / WEIGHTS, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))
    write_bytes(folder / DESCRIPTION, json.dumps(described, indent=1).encode())


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
