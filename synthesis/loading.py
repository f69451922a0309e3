"""A trained generator on disk: read from a checkpoint or an export, written as an export."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from config import RunConfig, known_options, resolve
from earlier_versions import current_options
from errors import UserError
from registry import mark_of
from synthesis.hub import local_folder

WEIGHTS, DESCRIPTION = "generator.safetensors", "config.json"
CHECKPOINT = "last.pt"  # of a run
DECODER = "decoder/"  # folder of the codec's decoder beside an export
STATISTICS = "latents."  # prefix of the names of the space's tensors in an export


@dataclass
class LoadedGenerator:
    """A generator ready for use, with the description of its training data.

    decoder: the folder of the codec's decoder that an export brings along; None if it has none.
    """

    config: RunConfig
    network: object
    space: object
    trained_to: str
    decoder: Path | None = None

    @property
    def device(self):
        return next(self.network.parameters()).device

    @property
    def sources(self):
        """Makes the generator's sources."""
        from synthesis.sources import sources_of

        chosen = self.config.chosen
        return sources_of(chosen("generator"), self.config.sampling, chosen("mask_type"), self.space.rate)

    @property
    def conditioning(self):
        """Computes the generator's conditions."""
        return _conditioning(self.config, self.space)

    def in_steps(self, passes: int, source: str = "this generator") -> "LoadedGenerator":
        """The same with another number of sampling steps. UserError if it was trained for one only."""
        try:
            return replace(self, config=self.config.replace(passes=passes))
        except UserError as error:
            raise UserError(f"--passes {passes} is not possible with {source}: {error}") from None


def load_generator(path: str | Path, device: str = "cpu", passes: int | None = None) -> LoadedGenerator:
    """Reads a training checkpoint (the EMA weights), an exported folder, a run's folder (its export, else its last
    checkpoint), or `hf:user/name`. Nothing in the files is executed.

    passes: number of sampling steps; None: as in its configuration.

    Raises:
        UserError: there is no such file, or it is not one of these, or it was trained for one sampling step only.
    """
    path = find_generator(local_folder(path))
    state = _read(path)
    from models.networks import build_generator
    from synthesis.space import Space

    try:
        config = options_of(state["config"], str(path))
        agent, channels = config.model.agent, config.model.encoding_dim
        space = Space.from_state(state["space"])
        widths = _conditioning(config, space).widths
        network = build_generator(
            config.chosen("generator"), agent, channels, seed=0, shape=space.shape, conditions=widths
        )
        network.load_state_dict(state["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} does not hold a generator of this program: {reason}") from None
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise UserError(f"{path} holds NaN or infinite weights, its training diverged: give an earlier checkpoint")
    network = network.to(device).eval().requires_grad_(False)
    decoder = path.parent / DECODER if (path.parent / DECODER / WEIGHTS).is_file() else None
    loaded = LoadedGenerator(config, network, space, state["trained_to"], decoder)
    return loaded if passes is None else loaded.in_steps(passes, str(path))


def _conditioning(config: RunConfig, space):
    from synthesis.conditions import Conditioning

    return Conditioning(config.choices.get("conditions"), space.about.get("labels", {}))


def read_networks(path: str | Path, option: str) -> dict[str, Any]:
    """What is in a checkpoint, an exported folder or a run's folder (its last checkpoint, else its export): "config"
    and "space" (plain), "weights" (EMA), "trained_to", and in a checkpoint the weights of the "discriminator".

    option: which names the path, for messages.

    Raises:
        UserError: there is no such file, or it is not one of these.
    """
    return _read(find_generator(path, option, (CHECKPOINT, WEIGHTS)))


def _read(path: Path) -> dict[str, Any]:
    return _read_export(path.parent) if path.name == WEIGHTS else _read_checkpoint(path)


def options_of(saved: dict, source: str) -> RunConfig:
    """The options of a generator; removed options and discriminators, which only training needs, are left out."""
    values, _ = current_options(saved, source)
    known = known_options()
    values = {name: value for name, value in values.items() if name in known}
    try:
        mark_of(known["discriminator"].field, "registry").named(values.get("discriminator", ""))
    except ValueError:
        values.pop("discriminator", None)
    return resolve(values, frozenset(values), inherited=frozenset(values))


def portable_options(config: RunConfig) -> dict[str, Any]:
    """The options of a generator without those that belong to the machine or the call of its training."""
    return portable(config.flat())


def portable(options: dict[str, Any]) -> dict[str, Any]:
    """Options by name without those that belong to a machine or to a call, and without those that are gone."""
    known = known_options()
    marks = ("per_machine", "per_call")
    return {
        name: value
        for name, value in options.items()
        if name in known and not any(mark_of(known[name].field, mark) for mark in marks)
    }


def find_generator(
    path: str | Path, option: str = "--checkpoint", names: tuple[str, str] = (WEIGHTS, CHECKPOINT)
) -> Path:
    """The file that an option refers to; in a folder the first of `names`. Raises UserError if there is none."""
    path = Path(path)
    if path.is_file():
        return path
    for name in names if path.is_dir() else ():
        if (path / name).is_file():
            return path / name
    missing = f"holds neither {WEIGHTS} nor {CHECKPOINT}" if path.is_dir() else "does not exist"
    raise UserError(f"{option} {path} {missing}: give a checkpoint (.pt), an exported folder, or a run's folder")


def _read_checkpoint(path: Path) -> dict:
    from runtime import checkpoint

    state = checkpoint.load(path)
    try:
        counters = state["counters"]
        trained_to = f"epoch {counters['finished_epochs']}, step {counters['step']}"
        facts = {k: state[k] for k in ("config", "space")} | {"weights": state["ema"], "trained_to": trained_to}
        return facts | {"discriminator": state.get("trainer", {}).get("discriminator")}
    except (KeyError, TypeError):
        raise UserError(f"{path} is no training checkpoint of this program") from None


def _read_export(folder: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from earlier_versions import upgraded_space, with_current_codec

    try:
        described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        tensors = load((folder / WEIGHTS).read_bytes())  # it opens no file whose path is not UTF-8
        named = [name for name in tensors if name.startswith(STATISTICS)]
        statistics = {name.removeprefix(STATISTICS): tensors.pop(name) for name in named}
        if "space" in described:
            space = described["space"] | statistics
        else:
            space = upgraded_space(described["latents"] | statistics)
        return with_current_codec(
            {
                "config": described["config"],
                "space": space,
                "weights": tensors,
                "trained_to": described["trained_to"],
            }
        )
    except (OSError, ValueError, SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{folder} holds no exported generator ({WEIGHTS}, {DESCRIPTION}): {error}") from None


def export_generator(folder: Path, config: RunConfig, weights: dict, space, trained_to: str) -> None:
    """Writes `generator.safetensors` (EMA weights, statistics of the data) and `config.json`, each atomically."""
    from safetensors.torch import save

    from runtime.files import write_bytes

    state = {name: value for name, value in space.state_dict().items() if value is not None}
    statistics = {name: value for name, value in state.items() if hasattr(value, "cpu")}
    described = {
        "config": config.flat(),
        "space": {name: value for name, value in state.items() if name not in statistics},
        "trained_to": trained_to,
    }
    tensors = weights | {f"{STATISTICS}{name}": value for name, value in statistics.items()}
    write_bytes(folder / WEIGHTS, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))
    write_bytes(folder / DESCRIPTION, json.dumps(described, indent=1).encode())
