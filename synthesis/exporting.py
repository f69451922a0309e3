"""Exports from a checkpoint: the generator's EMA weights, and on request the discriminator's weights beside them."""

import json
from pathlib import Path

from errors import UserError
from synthesis.loading import DESCRIPTION, WEIGHTS, export_generator, find_generator, load_generator

DISCRIMINATOR = "discriminator.safetensors"


def export_checkpoint(path: str | Path, folder: Path, with_discriminator: bool = False) -> list[Path]:
    """Writes `generator.safetensors` and `config.json` into `folder`, and `discriminator.safetensors` if wanted: the
    network's tensors by name, with its options in `config.json`. Returns the files.

    path: a checkpoint, or a run's folder; without a discriminator an export will do.

    Raises:
        UserError: there is no such file, it is no checkpoint of this program, or it holds no discriminator.
        OSError: a file cannot be written.
    """
    from runtime.files import write_bytes

    options, tensors = _discriminator(Path(path)) if with_discriminator else ({}, {})
    loaded = load_generator(path)
    folder.mkdir(parents=True, exist_ok=True)
    export_generator(folder, loaded.config, loaded.network.state_dict(), loaded.space, loaded.trained_to)
    written = [folder / WEIGHTS, folder / DESCRIPTION]
    if with_discriminator:
        from safetensors.torch import save

        described = json.loads(written[1].read_text(encoding="utf-8")) | {"config": options}
        write_bytes(written[1], json.dumps(described, indent=1).encode())
        write_bytes(folder / DISCRIMINATOR, save({name: value.contiguous() for name, value in tensors.items()}))
        written.append(folder / DISCRIMINATOR)
    return written


def _discriminator(path: Path) -> tuple[dict, dict]:
    """Options of the run and weights of its discriminator, from a checkpoint, or from the last one in a folder."""
    from runtime import checkpoint

    path = path / "last.pt" if path.is_dir() else find_generator(path)
    if path.name == WEIGHTS or not path.exists():
        raise UserError(f"{path} holds no discriminator: give --checkpoint a checkpoint (.pt) or a run's folder")
    state = checkpoint.load(path)
    try:
        return state["config"], state["trainer"]["discriminator"]
    except (KeyError, TypeError):
        raise UserError(f"{path} is no training checkpoint of this program") from None
