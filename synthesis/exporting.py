"""The discriminator of a checkpoint beside an exported generator."""

import json
from pathlib import Path

from errors import UserError
from synthesis.loading import CHECKPOINT, DESCRIPTION, WEIGHTS, find_generator, portable

DISCRIMINATOR = "discriminator.safetensors"


def read_discriminator(path: str | Path) -> tuple[dict, dict]:
    """Options of the run and weights of its discriminator, from a checkpoint, or from the last one in a folder.

    Raises:
        UserError: there is no such file, it is no checkpoint of this program, or it holds no discriminator.
    """
    from runtime import checkpoint

    path = Path(path)
    path = path / CHECKPOINT if path.is_dir() else find_generator(path)
    if path.name == WEIGHTS or not path.exists():
        raise UserError(f"{path} holds no discriminator: give --checkpoint a checkpoint (.pt) or a run's folder")
    state = checkpoint.load(path)
    try:
        return state["config"], state["trainer"]["discriminator"]
    except (KeyError, TypeError):
        raise UserError(f"{path} is no training checkpoint of this program") from None


def add_discriminator(options: dict, tensors: dict, folder: Path) -> Path:
    """Writes `discriminator.safetensors` into the folder of an export: the network's tensors by name; its options go
    into `config.json`. Raises OSError if a file cannot be written."""
    from safetensors.torch import save

    from runtime.files import write_bytes

    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    described["config"] = portable(options) | described["config"]
    write_bytes(folder / DESCRIPTION, json.dumps(described, indent=1).encode())
    write_bytes(folder / DISCRIMINATOR, save({name: value.contiguous() for name, value in tensors.items()}))
    return folder / DISCRIMINATOR
