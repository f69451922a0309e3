"""Parts that are selected by name, and the options that each part owns. Nothing here imports torch.

A registry lists parts: a name, where the definition is, and the class of its options. Command line, YAML files,
`--help` and the checks on resume are derived from the registries.

    class ToyOptions(Options):
        depth: int = opt(2, "blocks", ge=1, shapes_run=True)

    GENERATORS.add("toy", "models.toy:ToyGenerator.from_options", ToyOptions)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

NONE = "none"
OFF = (None, False, 0, NONE, "off")  # values of an option that is off


class Options(BaseModel):
    """A frozen group of options. The docstring of a subclass is its heading in `--help`."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    def check(self, config: Any) -> None:
        """Raises ValueError, one sentence, if these options do not fit the others (a `config.RunConfig`)."""

    def remarks(self, config: Any) -> list[str]:
        """Remarks to print about these options in combination with the others: those that were given another value
        than their default, but have no effect because what they need is off."""
        idle: dict[str, list[str]] = {}
        values = config.flat()
        for name, info in type(self).model_fields.items():
            needs = mark_of(info, "needs")
            asked = name in config.given and getattr(self, name) != info.default
            if needs and asked and all(values.get(other) in OFF for other in needs.split(" or ")):
                idle.setdefault(needs, []).append(name)
        return [
            f"note: {' and '.join(names)} {'has' if len(names) == 1 else 'have'} no effect without {needs}"
            for needs, names in idle.items()
        ]


def opt(
    default: Any,
    help: str,
    *,
    shapes_run: bool = False,
    per_call: bool = False,
    per_machine: bool = False,
    without_effect: bool = False,
    needs: str | None = None,
    **limits,
) -> Any:
    """One option: its default, its help text and its range (pydantic's ge, gt, le, lt).

    shapes_run: weights or samples of a run depend on it, so a resumed run rejects another value.
    per_call: it applies to one call of the program and is not restored on resume.
    per_machine: every machine of a run may set its own value.
    without_effect: accepted for compatibility, but has no effect.
    needs: options joined by " or ", one of which must be on for this one to have an effect; if none is, a run says so.
    """
    marks = {"shapes_run": shapes_run, "per_call": per_call, "per_machine": per_machine}
    marks |= {"without_effect": without_effect, "needs": needs}
    return Field(default, description=help, json_schema_extra=marks, **limits)


@dataclass(frozen=True)
class Part:
    """An entry of a registry.

    Attributes:
        definition: the object itself, or "module:name", imported when first used.
        options: the class of the options that it owns.
        facts: properties that can be read without importing the definition.
    """

    name: str
    definition: Any
    options: type[Options] = Options
    facts: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """The definition."""
        if not isinstance(self.definition, str):
            return self.definition
        module, _, name = self.definition.partition(":")
        found = import_module(module)
        for step in name.split("."):
            found = getattr(found, step)
        return found


@dataclass(frozen=True)
class Chosen:
    """A selected part together with its options; several if names were joined by `+`.

    Attributes:
        name: as given.
        members: (part, its options), one for each joined name.
    """

    name: str
    members: tuple[tuple[Part, Options], ...]

    @property
    def part(self) -> Part:
        """The part, if names were not joined."""
        ((part, _),) = self.members
        return part

    @property
    def options(self) -> Any:
        """Its options, if names were not joined."""
        ((_, options),) = self.members
        return options

    def build(self, *context: Any, **more: Any) -> Any:
        """`definition(options, *context)`; a list of them if names were joined."""
        built = [part.load()(options, *context, **more) for part, options in self.members]
        return built if len(built) > 1 else built[0]


class Registry(Mapping[str, Part]):
    """The parts of one type.

    Args:
        sort: the type, for messages ("generator").
        joinable: whether an option may join several names by `+`.
    """

    def __init__(self, sort: str, joinable: bool = False) -> None:
        self.sort, self.joinable = sort, joinable
        self._parts: dict[str, Part] = {}

    def add(self, name: str, definition: Any, options: type[Options] = Options, **facts: Any) -> None:
        """Registers a part. The module that holds the registry documents how a definition is called."""
        assert name not in self._parts, f"two parts of the sort {self.sort} are called {name}"
        self._parts[name] = Part(name, definition, options, facts)

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def choice(self, default: str | None, help: str, bare: str | None = None, **marks: Any) -> Any:
        """An option that selects one of the parts; its annotation is `str`, or `str | None` if nothing need be
        selected. `bare`: its value if it is given without one on the command line."""
        chosen = opt(default, help, **marks)
        chosen.json_schema_extra |= {"registry": self, "bare": bare}
        return chosen

    def named(self, value: str) -> list[Part]:
        """The parts that an option's value names. Raises ValueError with the allowed values."""
        names = value.split("+") if self.joinable else [value]
        if unknown := [name for name in names if name not in self._parts]:
            known = [repr(name) for name in self._parts]
            listed = f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else known[0]
            joined = ", or some of them joined by +" if self.joinable else ""
            raise ValueError(f"{listed}{joined}" + (f"; {unknown[0]} is not one of them" if len(names) > 1 else ""))
        if len(set(names)) < len(names):
            raise ValueError("different names joined by +")
        return [self._parts[name] for name in names]


def mark_of(field_info: Any, mark: str) -> Any:
    """A mark of an option ("shapes_run", "per_call", "per_machine", "registry"); None or False if it is not set."""
    return (field_info.json_schema_extra or {}).get(mark)
