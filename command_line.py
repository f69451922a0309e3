"""The command line of training: every option of every section and part, and `--help` grouped by them."""

import argparse
from dataclasses import replace
from typing import Any

from config import (
    SECTIONS,
    Known,
    RunConfig,
    choices_in,
    default_values,
    known_options,
    make_config,
    nearest,
    plain_value,
    with_presets,
)
from earlier_versions import current_options
from errors import UserError
from registry import Options, mark_of
from runtime.files import at_home, read_yaml

FLAGS = {
    "estimate": "print how long the run would take and how much memory, from about twenty steps, and exit",
    "profile": "write a torch profiler trace of steps 6 to 10 and print the slowest operations",
}


class OneSentenceParser(argparse.ArgumentParser):
    """An argparse parser whose errors are one sentence; paths may begin with ~."""

    def parse_known_args(self, args=None, namespace=None):
        given, unknown = super().parse_known_args(args, namespace)
        for name, value in vars(given).items():
            setattr(given, name, at_home(value))
        return given, unknown

    def error(self, message: str) -> None:
        raise UserError(f"{message.replace('argument ', '', 1)}; --help lists all options")


def parse(argv: list[str]) -> RunConfig:
    """The command line as a RunConfig, with its flags.

    Raises:
        UserError: an unknown option (with the nearest valid name), a value out of range, options that exclude
            each other or belong to a part that is not selected, a configuration file that cannot be read.
        SystemExit: 0 after --help or --print_config.
    """
    known = known_options()
    given, unknown = _parser(known).parse_known_args(argv)
    if unknown:
        key = unknown[0].split("=")[0]
        raise UserError(f"unknown option {key}{nearest(key.lstrip('-'), known)}")
    options = vars(given)
    path, show = options.pop("config"), options.pop("print_config")
    flags = frozenset(name for name in FLAGS if options.pop(name))
    values, defaulted = options_in(path) if path else ({}, frozenset())
    if path:
        make_config(values, source=f"{path}: ", inherited=defaulted)
    together = with_presets(values) | with_presets(options)
    config = make_config(together, inherited=defaulted - options.keys())
    if show:
        print(config.to_yaml(), end="")
        raise SystemExit(0)
    return replace(config, flags=flags)


def options_in(path: str) -> tuple[dict[str, Any], frozenset[str]]:
    """The options in a YAML file (written by hand, or by a run of this or an earlier version), and the names of those
    with their default value: a run's file may name every option, even those of parts that are not selected.

    Raises:
        UserError: the file cannot be read or does not hold options.
    """
    values, defaults = current_options(read_yaml(path), path)[0], default_values()
    return values, frozenset(name for name, value in values.items() if name in defaults and value == defaults[name])


def _parser(known: dict[str, Known]) -> OneSentenceParser:
    parser = OneSentenceParser(
        usage="%(prog)s [--config FILE.yaml] [--OPTION VALUE ...]",
        description="Trains a generator that first turns music into music and in the end makes music from noise.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config", metavar="FILE.yaml", help="read options from this file; the command line overrides it"
    )
    parser.add_argument("--print_config", action="store_true", help="print the resolved configuration and exit")
    for name, text in FLAGS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    for model in SECTIONS.values():
        section = parser.add_argument_group(model.__doc__)
        for name in model.model_fields:
            _add(section, name, known[name])
    for choice, _ in choices_in(SECTIONS.values()):
        _add_parts(parser, choice, known)
    return parser


def _add_parts(parser: argparse.ArgumentParser, choice: str, known: dict[str, Known]) -> None:
    """A help group for the options that belong to the parts of one choice."""
    owned = {name: one for name, one in known.items() if one.owners and one.owners[0][0] == choice}
    if owned:
        section = parser.add_argument_group(f"options of --{choice}")
        for name, one in owned.items():
            _add(section, name, one)
            if mark_of(one.field, "registry") is not None:
                _add_parts(parser, name, known)


def _add(section, name: str, known: Known) -> None:
    field = known.field
    default = field.default if not isinstance(field.default, Options) else "see --print_config"
    owners = f" [{', '.join(part.name for _, part in known.owners)}]" if known.owners else ""
    text = f"{field.description} (default: {default}){owners}".replace("%", "%%")
    section.add_argument(f"--{name}", default=argparse.SUPPRESS, help=text, **_argument_kind(field))


def _argument_kind(field: Any) -> dict[str, Any]:
    annotation, registry = field.annotation, mark_of(field, "registry")
    if annotation is bool:  # accepted bare and with a value
        return {"nargs": "?", "const": "true", "metavar": "true|false"}
    choices = list(registry or [c for c in getattr(annotation, "__args__", ()) if isinstance(c, str)])
    if choices:
        bare = {"nargs": "?", "const": const} if (const := mark_of(field, "bare")) else {}
        return {"metavar": "|".join(choices)} | bare
    if isinstance(plain_value(field.default), dict):
        return {"metavar": "NAME=VALUE,..."}
    return {"metavar": getattr(annotation, "__name__", "value").upper()}
