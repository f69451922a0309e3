"""RunConfig: all options of a run, checked together, from the command line and YAML files.

`parse(argv)` reads `--config FILE.yaml`, lays the command line over it and returns one frozen RunConfig. The options
themselves stand in `options.py`.
"""

import argparse
import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, ValidationError, model_validator

from errors import UserError
from options import GROUPS, SIZES

PATCH_ONLY = ("width", "patch_frames", "conv_kernel", "attention_window", "residual", "precondition")
CASCADE_ONLY = ("anti_cheating",)


class RunConfig(*reversed(GROUPS)):
    """All options of a run; frozen. `model_fields_set` names those that were given rather than defaulted."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="after")
    def _fit_together(self) -> "RunConfig":
        if self.use_creative_agent and self.use_compositional_agent:
            raise ValueError("use_creative_agent and use_compositional_agent exclude each other: choose one")
        if self.mask_type != "none" and (self.use_creative_agent or self.use_compositional_agent):
            raise ValueError("mask_type and the agents exclude each other: leave one out")
        for name in PATCH_ONLY if self.generator == "cascade" else CASCADE_ONLY:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is no option of --generator {self.generator}: leave it out")
        if self.generator == "patch" and self.width % (2 * self.nhead):
            raise ValueError(f"width {self.width} must be a multiple of 2 x nhead ({2 * self.nhead})")
        if self.generator == "cascade" and 2 * self.encoding_dim % self.nhead:
            raise ValueError(f"nhead {self.nhead} must divide 2 x encoding_dim ({2 * self.encoding_dim})")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel {self.conv_kernel} must be odd")
        if self.adaptive_alpha and self.pure_gan_mode == 0:
            raise ValueError("adaptive_alpha needs a curriculum: give --pure_gan_mode as well")
        if self.passes > 1 and not (self.unity_test and self.easy_share > 0 and self.mask_type == "none"):
            raise ValueError(f"passes {self.passes} needs unity_test, easy_share over 0 and no mask_type, or must be 1")
        if self.gan_fade != "off" and self.easy_share == 0:
            raise ValueError(f"gan_fade {self.gan_fade} needs easy_share over 0: in full noise no other sample counts")
        if self.gan_fade == "between" and self.pure_gan_mode == 0:
            raise ValueError("gan_fade between needs pure_gan_mode over 0: without noise no sample counts")
        if self.offset_seconds > 0 and self.offset_noise == 0:
            raise ValueError("offset_seconds needs offset_noise over 0: it says how long that part of the noise lasts")
        if self.precondition and self.residual == 0:
            raise ValueError("precondition needs residual over 0: it scales what is added to the sources' mean")
        if self.lr_schedule == "plateau" and self.pure_gan_mode == 0:
            for name in ("plateau_metric", "disc_plateau_metric"):
                if getattr(self, name) == "ceiling":
                    raise ValueError(f"{name} ceiling needs a curriculum: give --pure_gan_mode as well")
        if self.gan_weight == 0 and self.recon_weight_sum == 0:
            raise ValueError("gan_weight and every other loss weight are 0: the generator would learn nothing")
        return self

    @property
    def recon_weight_sum(self) -> float:
        return (
            self.loss_weight_input
            + self.loss_weight_target
            + self.loss_weight_spectral
            + self.loss_weight_mel
            + self.feature_matching_weight
        )

    @property
    def needs_audio(self) -> bool:
        """Whether some loss is measured on decoded audio."""
        in_audio = self.recon_domain == "audio" and self.loss_weight_input + self.loss_weight_target > 0
        return in_audio or self.loss_weight_spectral + self.loss_weight_mel + self.corr_weight > 0

    @property
    def disc_lr_value(self) -> float:
        return 0.5 * self.lr if self.disc_lr is None else self.disc_lr

    def plateau(self, network: Literal["g", "d"]) -> dict[str, Any]:
        """Settings of a network's reduce-on-plateau: metric, factor, patience, cooldown, minimum."""
        names = {"metric": "metric", "factor": "factor", "patience": "patience", "cooldown": "cooldown"}
        names["minimum"] = "min_ratio"
        own = {key: getattr(self, f"disc_plateau_{name}") if network == "d" else None for key, name in names.items()}
        return {key: getattr(self, f"plateau_{names[key]}") if own[key] is None else own[key] for key in names}

    def batch_per_device(self, world: int) -> int:
        """Pairs per device and step on `world` devices. Raises UserError where the global batch cannot be shared."""
        if not self.global_batch_size:
            return self.batch_size
        if self.global_batch_size % world:
            raise UserError(f"--global_batch_size {self.global_batch_size} cannot be shared among {world} devices")
        return self.global_batch_size // world

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(), sort_keys=False)


def make_config(values: dict[str, Any], source: str = "") -> RunConfig:
    """Builds a RunConfig or raises a UserError of one sentence that names the option, its value and its range."""
    for key in values:
        if key not in RunConfig.model_fields:
            raise UserError(f"{source}unknown option {key}{_nearest(key)}")
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not first["loc"]:
            raise UserError(f"{source}{reason}") from None
        raise UserError(f"{source}--{first['loc'][0]} {first['input']} is not possible: it must be {reason}") from None


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key.replace("-", "_"), RunConfig.model_fields, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; --help lists all"


def with_size(values: dict[str, Any]) -> dict[str, Any]:
    """The options with what their `size` stands for laid beneath them; an unknown size is left for `make_config`."""
    size = SIZES.get(str(values.get("size")))
    return values if size is None else {"generator": "patch", "num_transformer_layers": 1} | size | values


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UserError(message.replace("argument ", "", 1))


def _parser() -> _Parser:
    parser = _Parser(description="Trains a generator from music to music to noise to music.", allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE.yaml", help="options from a file; the command line wins")
    parser.add_argument("--print_config", action="store_true", help="print the whole resolved configuration and end")
    for group in GROUPS:
        section = parser.add_argument_group(group.__doc__)
        for name, field in group.model_fields.items():
            text = f"{field.description} (default: {field.default})".replace("%", "%%")
            section.add_argument(f"--{name}", default=argparse.SUPPRESS, help=text, **_argument_kind(field.annotation))
    return parser


def _argument_kind(annotation: Any) -> dict[str, Any]:
    if annotation is bool:  # accepted bare and with a value
        return {"nargs": "?", "const": "true", "metavar": "true|false"}
    choices = [c for c in getattr(annotation, "__args__", ()) if isinstance(c, str)]
    return {"metavar": "|".join(choices) if choices else getattr(annotation, "__name__", "value").upper()}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file of options. Raises UserError where there is none."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} must hold `option: value` lines")
    return values


def parse(argv: list[str]) -> RunConfig:
    """The command line as a RunConfig.

    Raises:
        UserError: an unknown option (with the nearest valid name), a value out of range, options that exclude
            each other, a configuration file that cannot be read.
        SystemExit: 0 after --help or --print_config.
    """
    given, unknown = _parser().parse_known_args(argv)
    if unknown:
        key = unknown[0].split("=")[0]
        raise UserError(f"unknown option {key}{_nearest(key.lstrip('-'))}")
    options = vars(given)
    path, show = options.pop("config"), options.pop("print_config")
    values = read_yaml(path) if path else {}
    if path:
        make_config(with_size(values), source=f"{path}: ")
    config = make_config(with_size(values) | with_size(options))
    if show:
        print(config.to_yaml(), end="")
        raise SystemExit(0)
    return config
