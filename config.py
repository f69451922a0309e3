"""RunConfig: all options of a run, collected from the parts that own them and checked together.

`parse(argv)` reads `--config FILE.yaml`, overrides it by the command line and returns one frozen RunConfig. The options
themselves are declared beside the parts that own them, in the `options.py` of each folder.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from curriculum.options import CurriculumOptions, RateOptions, WeightOptions
from errors import UserError
from kinds.options import DataOptions
from losses.options import AdversarialOptions, MaskLossOptions, RegressionOptions
from models.options import SIZES, ModelOptions
from monitoring.options import HealthOptions, LoggingOptions
from registry import Chosen, Options, Part, Registry, mark_of
from runtime.options import CheckpointOptions, ProcessOptions
from synthesis.options import SamplingOptions
from training.options import OptimizerOptions, TrainingOptions

SECTIONS: dict[str, type[Options]] = {
    "model": ModelOptions,
    "data": DataOptions,
    "training": TrainingOptions,
    "optimizer": OptimizerOptions,
    "rates": RateOptions,
    "regression": RegressionOptions,
    "adversarial": AdversarialOptions,
    "mask_losses": MaskLossOptions,
    "weights": WeightOptions,
    "curriculum": CurriculumOptions,
    "sampling": SamplingOptions,
    "checkpoints": CheckpointOptions,
    "processes": ProcessOptions,
    "health": HealthOptions,
    "logging": LoggingOptions,
}
PRESETS: dict[str, dict[str, dict[str, Any]]] = {"size": SIZES}  # option -> its value -> options that it stands for
PLUGINS = "NOISE2MUSIC_PLUGINS"  # comma-separated names of modules that register further parts


@dataclass(frozen=True)
class RunConfig:
    """All options of a run; frozen. `config.training.epochs` is an option of a section.

    Attributes:
        sections: by their names in `SECTIONS`.
        choices: the part that each selecting option names, with the part's own options; see `chosen`.
        given: names of the options that were given explicitly.
        deferred: options given with `--resume` or `--init_from` that belong to parts which the checkpoint may have
            selected.
        flags: what a call asks for beside training, `command_line.FLAGS`; they are no options of the run.
    """

    sections: Mapping[str, Options]
    choices: Mapping[str, Chosen]
    given: frozenset[str]
    deferred: Mapping[str, Any] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.sections:
            raise AttributeError(f"no section of options is called {name}")
        return self.sections[name]

    def __reduce__(self):
        return _again, (self.flat() | self.deferred, self.given, self.flags)

    def chosen(self, option: str) -> Chosen:
        """The part that an option selects, with the part's own options. KeyError if nothing was selected."""
        return self.choices[option]

    def flat(self) -> dict[str, Any]:
        """Every option that has an effect in this run, by name, as plain values."""
        values: dict[str, Any] = {}
        for section in self.sections.values():
            values |= section.model_dump()
        for chosen in self.choices.values():
            for _, options in chosen.members:
                values |= options.model_dump()
        return values

    def replace(self, **changes: Any) -> "RunConfig":
        """A copy with some options changed; options of parts that are no longer selected are dropped. UserError if the
        options do not fit together."""
        flat = self.flat() | self.deferred
        changed = resolve(flat | changes, self.given, inherited=frozenset(flat) - set(changes))
        return replace(changed, flags=self.flags)

    def for_a_new_run(self) -> "RunConfig":
        """This configuration, for a run without a checkpoint. UserError if options were deferred to one."""
        if self.deferred:
            flat = self.flat()
            resolve(flat | self.deferred, self.given, inherited=frozenset(flat), may_defer=False)
        return self

    def remarks(self) -> list[str]:
        """Remarks to print before a run."""
        return list(dict.fromkeys(text for _, options in self._all() for text in options.remarks(self)))

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.flat(), sort_keys=False)

    def _all(self) -> Iterator[tuple[str, Options]]:
        yield from self.sections.items()
        for option, chosen in self.choices.items():
            yield from ((option, options) for _, options in chosen.members)


def _again(flat: dict[str, Any], given: frozenset[str], flags: frozenset[str]) -> RunConfig:
    return replace(resolve(flat, given), flags=flags)


# --- what options there are ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Known:
    """An option: its first declaration, and the parts (selecting option, part) that own it; no owners: it belongs to a
    section.

    A name that several parts own is one option.
    """

    field: Any
    owners: tuple[tuple[str, Part], ...] = ()


@cache
def load_plugins() -> None:
    """Imports the modules named in the environment variable NOISE2MUSIC_PLUGINS, which register their parts.

    Raises:
        UserError: there is no such module, or it cannot be imported.
    """
    for name in filter(None, os.environ.get(PLUGINS, "").split(",")):
        try:
            import_module(name)
        except Exception as error:
            raise UserError(f"{PLUGINS}: the module {name} cannot be imported: {error}") from None


def known_options() -> dict[str, Known]:
    """All options by name: of the sections, and of all parts that can be selected."""
    load_plugins()
    found: dict[str, Known] = {}
    for model in SECTIONS.values():
        for name, info in model.model_fields.items():
            found[name] = Known(info)
    for name, registry in choices_in(SECTIONS.values()):
        for part in registry.values():
            _add_part(found, name, part)
    return found


def _add_part(found: dict[str, Known], choice: str, part: Part) -> None:
    for name, info in part.options.model_fields.items():
        before = found.get(name)
        assert before is None or before.owners, f"{name} is an option of a section and of {part.name}"
        found[name] = Known(before.field if before else info, (*(before.owners if before else ()), (choice, part)))
    for name, registry in choices_in([part.options]):
        for inner in registry.values():
            _add_part(found, name, inner)


def choices_in(models) -> Iterator[tuple[str, Registry]]:
    """(option, registry) for every option of these models that selects a part."""
    for model in models:
        for name, info in model.model_fields.items():
            if (registry := mark_of(info, "registry")) is not None:
                yield name, registry


def default_values() -> dict[str, Any]:
    """Every option with its default, including those of parts that are not selected."""
    return {name: plain_value(known.field.default) for name, known in known_options().items()}


def plain_value(value: Any) -> Any:
    """An option's value in the form that YAML files and checkpoints hold."""
    return value.model_dump() if isinstance(value, Options) else value


# --- from values to a configuration --------------------------------------------------------------------------------


def make_config(values: dict[str, Any], source: str = "", inherited: frozenset[str] = frozenset()) -> RunConfig:
    """Builds a RunConfig or raises a UserError of one sentence that names the option, its value and its range. For
    `inherited` see `resolve`."""
    try:
        values = with_presets(values)
        return resolve(values, frozenset(values), inherited)
    except UserError as error:
        raise UserError(f"{source}{error}") from None


def resolve(
    values: dict[str, Any],
    given: frozenset[str],
    inherited: frozenset[str] = frozenset(),
    may_defer: bool = True,
) -> RunConfig:
    """The configuration of flat values; inherited ones that no selected part owns are left out.

    Args:
        given: names of the explicitly given options.
        inherited: names whose values come from an earlier run: it is no error if no selected part owns them.
        may_defer: whether options of parts that are not selected may wait for the checkpoint of `--resume` or
            `--init_from`.

    Raises:
        UserError: an unknown option, a value out of range, options of parts that are not selected, or that do not fit.
    """
    known = known_options()
    for name in values:
        if name not in known:
            raise UserError(f"unknown option {name}{nearest(name, known)}")
    sections = {name: _model(model, values) for name, model in SECTIONS.items()}
    choices: dict[str, Chosen] = {}
    used = {name for model in SECTIONS.values() for name in model.model_fields}
    for section in sections.values():
        _choose(section, values, choices, used)
    deferred: dict[str, Any] = {}
    may_defer = may_defer and any(values.get(name) is not None for name in ("resume", "init_from"))
    for name in sorted(set(values) - used):
        if may_defer and known[name].owners[0][0] not in given and name in given:
            deferred[name] = typed(name, values[name])
        elif name not in inherited:
            raise UserError(_of_another_part(name, known[name], choices))
    config = RunConfig(sections, choices, given, deferred)
    for _, options in config._all():
        try:
            options.check(config)
        except ValueError as error:
            raise UserError(str(error)) from None
    return config


def _choose(options: Options, values: dict[str, Any], choices: dict[str, Chosen], used: set[str]) -> None:
    """Adds the parts that these options select, and recursively those that the parts' own options select."""
    for option, registry in choices_in([type(options)]):
        name = getattr(options, option)
        if name is None:  # left open: what the part will own cannot be checked yet
            owned = [item for part in registry.values() for item in part.options.model_fields.items()]
            used.update(own for own, info in owned if mark_of(info, "without_effect"))
            continue
        try:
            parts = registry.named(name)
        except ValueError as error:
            raise UserError(f"--{option} {name} is not possible: it must be {error}") from None
        members = tuple((part, _model(part.options, values)) for part in parts)
        choices[option] = Chosen(name, members)
        for part, own in members:
            used.update(part.options.model_fields)
            _choose(own, values, choices, used)


def _model(model: type[Options], values: dict[str, Any]) -> Options:
    """An options model built from those values that belong to it."""
    own = {}
    for name, info in model.model_fields.items():
        if name in values:
            own[name] = _block(name, info.annotation, values[name])
    try:
        return model(**own)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not first["loc"]:
            raise UserError(reason) from None
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"--{where} {first['input']} is not possible: it must be {reason}") from None


def typed(name: str, value: Any) -> Any:
    """An option's value by itself, as its type. UserError where it is out of range."""
    info = known_options()[name].field
    try:
        return TypeAdapter(Annotated[info.annotation, *info.metadata]).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Input should be ")
        raise UserError(f"--{name} {value} is not possible: it must be {reason}") from None


def _block(name: str, annotation: Any, value: Any) -> Any:
    """Parses a block of options given on the command line as name=value,name=value; returns anything else unchanged."""
    if not (isinstance(annotation, type) and issubclass(annotation, Options)) or not isinstance(value, str):
        return value
    pairs = [item.partition("=") for item in value.split(",")]
    if not all(sign and key.strip() for key, sign, _ in pairs):
        raise UserError(f"--{name} {value} is not possible: write name=value,name=value")
    for key, _, _ in pairs:
        if key.strip() not in annotation.model_fields:
            raise UserError(f"--{name}: unknown name {key}{nearest(key, annotation.model_fields)}")
    return {key.strip(): text for key, _, text in pairs}


def _of_another_part(name: str, known: Known, choices: dict[str, Chosen]) -> str:
    """The message for an option that belongs to parts that are not selected."""
    option = known.owners[0][0]
    owners = " or ".join(part.name for choice, part in known.owners if choice == option)
    if option not in choices:
        return f"{name} is an option of --{option} {owners}: give --{option} as well"
    return f"{name} is an option of --{option} {owners}, not of {choices[option].name}: leave it out"


def nearest(key: str, names) -> str:
    """A suggestion of the nearest name, as the end of a sentence."""
    close = difflib.get_close_matches(key.replace("-", "_"), list(names), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; --help lists all"


def with_presets(values: dict[str, Any]) -> dict[str, Any]:
    """The values, with the options of presets (`size`) filled in where not given. UserError for an unknown preset."""
    for option, presets in PRESETS.items():
        name = values.get(option)
        if name is None:
            continue
        if name not in presets:
            raise UserError(f"--{option} {name} is not possible: it must be one of {', '.join(presets)}")
        values = presets[name] | values
    return values
