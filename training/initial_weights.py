"""`--init_from`: a new run that begins with the networks of an earlier one, on another dataset.

It keeps the options that shape these networks and the statistics with which their inputs were normalised. Counters,
optimizers, curriculum and all other options are its own.

C channels, K numbers of a condition.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from config import RunConfig, known_options, resolve
from errors import UserError
from models.conditions import ConditionEmbedding
from registry import mark_of
from runtime import checkpoint
from runtime.distributed import Ranks
from synthesis.conditions import NO_LABELS, label_width
from synthesis.hub import local_folder
from synthesis.labels import Vocabulary
from synthesis.loading import options_of, read_networks
from synthesis.space import Space
from training.trainer import Trainer

_NOISE = ("offset_noise", "offset_seconds", "noise_channels")  # its form, to which the generator is used
_SHAPED_BY = ("encoding_dim", "use_creative_agent", "use_compositional_agent")  # the generator, beside its own options


@dataclass(frozen=True)
class Origin:
    """The networks with which a run begins.

    Attributes:
        name: as the user gave it.
        config, space: the options that they were trained with, the description of the data.
        generator: averaged weights. discriminator: its weights; None in an export.
        trained_to: how long, in words.
    """

    name: str
    config: RunConfig
    space: Space
    generator: dict[str, Tensor]
    discriminator: dict[str, Tensor] | None
    trained_to: str

    @classmethod
    def from_state(cls, name: str, state: dict[str, Any]) -> "Origin":
        """From what `synthesis.loading.read_networks` gives."""
        config, space = options_of(state["config"], name), Space.from_state(state["space"])
        return cls(name, config, space, state["weights"], state.get("discriminator"), state["trained_to"])

    def to_state(self) -> dict[str, Any]:
        """The inverse, as tensors and plain types."""
        facts = {"config": self.config.flat(), "space": self.space.state_dict(), "trained_to": self.trained_to}
        return checkpoint.plain(facts) | {"weights": self.generator, "discriminator": self.discriminator}

    @property
    def labels(self) -> Vocabulary:
        return self.space.about.get("labels", NO_LABELS)


def read_origin(name: str) -> Origin:
    """What `--init_from` names. Raises UserError if it is no generator of this program."""
    state = read_networks(local_folder(name), "--init_from")
    try:
        origin = Origin.from_state(name, state)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name} does not hold a generator of this program: {str(error).splitlines()[0]}") from None
    if not all(weight.isfinite().all() for weight in origin.generator.values() if weight.is_floating_point()):
        raise UserError(f"{name} holds NaN or infinite weights, its training diverged: give an earlier checkpoint")
    return origin


def shared(origin: Origin | None, ranks: Ranks) -> Origin | None:
    """Rank 0's, on all ranks."""
    name = ranks.from_main(origin.name if origin else None)
    if name is None or ranks.world == 1:
        return origin
    data = ranks.bytes_from_main(checkpoint.serialise(origin.to_state()) if origin else b"")
    return origin or Origin.from_state(name, checkpoint.decode(data, name))


# --- options -------------------------------------------------------------------------------------------------------


def options_like(config: RunConfig, origin: Origin) -> RunConfig:
    """The options of a new run, those that shape the networks of `origin` taken from there.

    Raises:
        UserError: the networks make another kind of data, or a given option contradicts them.
    """
    if config.data.kind != origin.space.kind:
        raise UserError(
            f"--kind {config.data.kind} does not fit the generator in {origin.name}, which makes {origin.space.kind}: "
            f"give --kind {origin.space.kind} and such a dataset, or leave --init_from out"
        )
    theirs, mine = origin.config.flat(), config.flat() | config.deferred
    taken = {name: theirs[name] for name in _shaping(origin.config, "generator", _SHAPED_BY)}
    for name in sorted(taken.keys() & config.given, key=lambda name: name not in ("generator", "encoding_dim")):
        if mine[name] != taken[name]:
            raise UserError(
                f"--{name} {mine[name]} does not fit the generator in {origin.name}, which has {taken[name]}: leave "
                "one of the two out"
            )
    if "conditions" not in config.given:
        taken["conditions"] = theirs["conditions"]
    if config.curriculum.pure_gan_mode > 0 and config.given.isdisjoint(_NOISE):
        taken |= {name: theirs[name] for name in _NOISE}
    if origin.discriminator is not None and "discriminator" not in config.given:
        own = {name: theirs[name] for name in _shaping(origin.config, "discriminator")}
        taken |= {name: value for name, value in own.items() if name not in config.given}
    values = mine | taken
    return resolve(values, config.given, inherited=frozenset(values) - config.given, may_defer=False)


def _shaping(config: RunConfig, choice: str, more: tuple[str, ...] = ()) -> Iterator[str]:
    """The options that shape a chosen network: its name, `more`, and its own."""
    yield from (choice, *more)
    for part, _ in config.chosen(choice).members:
        yield from (name for name, info in part.options.model_fields.items() if mark_of(info, "shapes_run"))


def conditions_like(config: RunConfig, origin: Origin, labels: Vocabulary) -> tuple[RunConfig, list[str]]:
    """Leaves labels out of the conditions that come with `origin` if the new dataset has none (`labels` is empty).

    A sample without labels is zeros to the networks, so that they answer as they did to unlabelled samples.

    Returns:
        The options, and sentences on what was left out.
    """
    chosen, labelled = config.choices.get("conditions"), _labelled()
    if chosen is None or labels or "conditions" in config.given:
        return config, []
    kept = [part.name for part, _ in chosen.members if part.name not in labelled]
    if len(kept) == len(chosen.members):
        return config, []
    remark = f"the dataset has no labels: the generator forgets those of {origin.name} ({', '.join(origin.labels)})"
    return config.replace(conditions="+".join(kept) or None), [remark]


def check_codec(origin: Origin, identity: str, folder: str) -> None:
    """Raises UserError if the networks were trained on other latents than those of the dataset in `folder`."""
    theirs = origin.space.identity
    if theirs != identity:
        codec = origin.space.about.get("codec")
        remedy = f"with --codec {codec}" if codec else "as its own dataset was"
        raise UserError(
            f"{origin.name} was trained on {theirs} latents, the dataset in {folder} holds {identity}: prepare it "
            f"{remedy}"
        )


# --- weights -------------------------------------------------------------------------------------------------------


def begin_with(origin: Origin, trainer: Trainer) -> list[str]:
    """Loads the networks of `origin` into those of a new run.

    Returns:
        Sentences on what was taken over.

    Raises:
        UserError: the generator has other shapes. A discriminator that does not fit begins anew.
    """
    labels = trainer.conditioning.known_labels
    weights = carried_weights(trainer.generator, origin.generator, origin, labels)
    if (problem := misfit(trainer.generator, weights)) is not None:
        raise UserError(f"the generator in {origin.name} does not fit this run: {problem}")
    trainer.generator.load_state_dict(weights)
    if trainer.teacher is not None:
        trainer.teacher.begin_with(trainer.generator)
    remarks = [f"begins with the generator of {origin.name} ({origin.trained_to}), not with its counters"]
    of_discriminator = _discriminator_begins_with(origin, trainer, labels)
    return [*remarks, of_discriminator] if trainer.adversarial.gan_weight > 0 else remarks


def _discriminator_begins_with(origin: Origin, trainer: Trainer, labels: Vocabulary) -> str:
    """Loads the discriminator of `origin`, if there is one that fits; says so."""
    if origin.discriminator is None:
        return f"the discriminator begins anew: {origin.name} holds none"
    weights = carried_weights(trainer.discriminator, origin.discriminator, origin, labels)
    if (problem := misfit(trainer.discriminator, weights)) is not None:
        return f"the discriminator begins anew, that of {origin.name} does not fit: {problem}"
    trainer.discriminator.load_state_dict(weights)
    return f"begins with the discriminator of {origin.name} as well"


def misfit(network: nn.Module, weights: dict[str, Tensor]) -> str | None:
    """The first difference between a network and weights, with both shapes; None if they fit."""
    own = network.state_dict()
    for name in [*own, *weights]:
        here, there = ("none" if state is None else list(state.shape) for state in (own.get(name), weights.get(name)))
        if here != there:
            return f"{name} has the shape {here} here and {there} there"
    return None


def carried_weights(
    network: nn.Module, weights: dict[str, Tensor], origin: Origin, labels: Vocabulary
) -> dict[str, Tensor]:
    """The weights of `origin` for a network with other conditions: labels are found by their names and values. What is
    new begins at zero, so that at first the network answers as it did; what no longer exists is left out."""
    names = {
        f"{name}.maps.{condition}.weight": condition
        for name, module in network.named_modules()
        if isinstance(module, ConditionEmbedding)
        for condition in module.maps
    }
    own, carried = network.state_dict(), {}
    for name, condition in names.items():
        if name not in weights:
            carried[name] = torch.zeros_like(own[name])
        elif condition in _labelled():
            carried[name] = carried_labels(weights[name], origin.labels, labels, own[name].shape[1])
    gone = {name for name in weights if name not in own and name.endswith(_condition_endings(origin.config))}
    return {name: value for name, value in weights.items() if name not in gone} | carried


def _labelled() -> set[str]:
    """The conditions that stand for labels."""
    registry = mark_of(known_options()["conditions"].field, "registry")
    return {name for name, part in registry.items() if part.facts.get("labelled")}


def _condition_endings(config: RunConfig) -> tuple[str, ...]:
    chosen = config.choices.get("conditions")
    return tuple(f".maps.{part.name}.weight" for part, _ in chosen.members) if chosen else ()


def carried_labels(weight_CK: Tensor, old: Vocabulary, new: Vocabulary, width: int) -> Tensor:
    """The map of `synthesis.conditions.encoded_labels` for a new vocabulary, [C, width].

    A value of a label keeps its column; a number, whose mean and deviation are others now, gives the same products:
    w1 (x - mean) / std + w2. What the old vocabulary lacks is zero.
    """
    made_CK = weight_CK.new_zeros(len(weight_CK), width)
    if weight_CK.shape[1] != label_width(old) or width != label_width(new):  # a single number has features of its own
        return made_CK
    places = _places(old)
    start = 0
    for name, about in new.items():
        known = old.get(name, {})
        if "values" in about:
            for k, value in enumerate(about["values"]):
                if (name, value) in places:
                    made_CK[:, start + k] = weight_CK[:, places[name, value]]
            start += len(about["values"])
            continue
        if "mean" in known:
            slope_C, constant_C = weight_CK[:, places[name, None]], weight_CK[:, places[name, None] + 1]
            made_CK[:, start] = slope_C * (about["std"] / known["std"])
            made_CK[:, start + 1] = constant_C + slope_C * ((about["mean"] - known["mean"]) / known["std"])
        start += 2
    return made_CK


def _places(vocabulary: Vocabulary) -> dict[tuple[str, Any], int]:
    """The column of each value of a label, and the first of a number's two columns (value None)."""
    places, start = {}, 0
    for name, about in vocabulary.items():
        values = about.get("values", [None])
        places |= {(name, value): start + k for k, value in enumerate(values)}
        start += len(values) if "values" in about else 2
    return places
