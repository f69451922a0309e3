"""What a user asks a generator of audio for: as options of generate.py, in the Python interface, on the page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from errors import UserError
from losses.options import learned_guidance
from synthesis.options import channel_range

OPEN = "none"  # in place of a label

RANGES = {
    "num": (1, 10**6),
    "duration": (0.05, 36_000.0),
    "passes": (1, 1000),
    "temperature": (0.01, 100.0),
    "steps": (2, 10**6),
    "variations": (1, 10**6),
    "variation_strength": (0, 1),
    "noise_fraction": (0, 1),
    "guidance": (0.0, 100.0),
}
NEEDS = {  # options that need another one
    "target_audio": "input_audio",
    "noise_fraction": "input_audio",
    "noise_channels": "input_audio",
    "steps": "interpolate",
    "variation_strength": "variations",
}
EXCLUDES = (("num", "interpolate"), ("num", "variations"), ("interpolate", "variations"), ("duration", "input_audio"))
NEED_NOISE = ("num", "noise_channels", "interpolate", "variations")  # for music, these need a noise fraction
DEFAULTS = {"duration": 10.0, "steps": 5, "variation_strength": 0.2, "noise_fraction": 0.0}


def usual_guidance(loaded, passes: int | None = None) -> float:
    """The guidance of a loaded generator unless asked otherwise: 1 if guidance is what it has learned. After a single
    step no other corrects what was emphasised too much (docs/results.md). passes: None: the generator's own."""
    if learned_guidance(loaded.config) != 1:
        return 1.0
    return 1.5 if (passes or loaded.config.sampling.passes) == 1 else 2.0


@dataclass(frozen=True)
class Request:
    """The options of generate.py that say what is made; None: not given. Their meaning: `generate.py --help`."""

    seed: int = 0
    num: int | None = None
    duration: float | None = None
    passes: int | None = None
    label: tuple[str, ...] = ()
    guidance: float | None = None
    temperature: float = 1.0
    interpolate: int | None = None
    steps: int | None = None
    variations: int | None = None
    variation_strength: float | None = None
    input_audio: str | None = None
    target_audio: str | None = None
    noise_fraction: float | None = None
    noise_channels: str | None = None

    def check(self) -> None:
        """Raises UserError for values out of range and options that do not fit together."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise UserError(f"--{name} {value} is not possible: give {low} to {high}")
        for name, needed in NEEDS.items():
            if self.gives(name) and not self.gives(needed):
                raise UserError(f"--{name} needs --{needed} as well")
        for one, other in EXCLUDES:
            if self.gives(one) and self.gives(other):
                raise UserError(f"--{one} and --{other} exclude each other: leave one out")
        if self.input_audio and not self.noise_fraction:
            for name in NEED_NOISE:
                if self.gives(name):
                    raise UserError(f"--{name} has no effect without noise: give --noise_fraction over 0")
        self.channels()

    def gives(self, name: str) -> bool:
        """Whether an option is given."""
        return getattr(self, name) not in (None, ())

    def value(self, name: str):
        """An option's value, or its default."""
        given = getattr(self, name)
        if given is None and name == "num":
            return 1 if self.input_audio else 8
        return DEFAULTS.get(name) if given is None else given

    def channels(self) -> tuple[int, int] | None:
        """`noise_channels` as (first, end). Raises UserError if it is no range."""
        if self.noise_channels is None:
            return None
        try:
            return channel_range(self.noise_channels)
        except ValueError as error:
            raise UserError(f"--noise_channels {self.noise_channels} is not possible: give {error}") from None

    def draws(self) -> list:
        """The noise of each clip, `synthesis.draws.Draw`."""
        from synthesis import draws

        if self.interpolate is not None:
            return draws.interpolation(self.seed, self.interpolate, self.value("steps"))
        if self.variations is not None:
            return draws.variations(self.seed, self.variations, self.value("variation_strength"))
        return draws.plain(self.seed, self.value("num"))

    def wish(self, loaded):
        """What is asked of a loaded generator, `synthesis.generation.Wish`.

        Raises:
            UserError: labels that it does not know, or a guidance that has nothing to emphasise.
        """
        from synthesis.generation import Wish
        from synthesis.labels import parse_labels

        known = loaded.conditioning.known_labels
        labels = parse_labels([one for one in self.label if one != OPEN or not known], known)
        drawn = OPEN not in self.label and not self.input_audio
        if self.guidance is not None and not known:
            raise UserError("--guidance has no effect: this generator was trained without labels")
        if self.guidance is not None and not labels and not (drawn and loaded.space.label_rows):
            raise UserError("--guidance needs --label NAME=VALUE as well")
        guidance = usual_guidance(loaded) if self.guidance is None else self.guidance
        return Wish(labels, guidance, drawn)

    @property
    def stem(self) -> str:
        """The beginning of the clips' names."""
        if self.interpolate is not None:
            return f"interpolate_{self.seed}_{self.interpolate}"
        return f"variation_{self.seed}" if self.variations is not None else f"noise_{self.seed}"

    def command(self, checkpoint: str) -> str:
        """The command line that makes the same clips."""
        words = ["python", "generate.py", "--checkpoint", checkpoint]
        for field in fields(self):
            value = getattr(self, field.name)
            for one in value if isinstance(value, tuple) else [] if value == field.default else [value]:
                words += [f"--{field.name}", f"{one:.15g}" if isinstance(one, float) else str(one)]
        return shlex.join(words)

    def with_names(self, names: Mapping[str, str]) -> "Request":
        """With other paths of its recordings: `names` from the path here to the one that is shown."""
        paths = {name: getattr(self, name) for name in ("input_audio", "target_audio")}
        return replace(self, **{name: names.get(path, path) for name, path in paths.items()})


def labels_given(label: str | Sequence[str] | Mapping[str, object] | None) -> tuple[str, ...]:
    """Labels as options have them ("name=value"), from one of these, several, or values by name.

    >>> labels_given({"genre": "jazz", "tempo": 120})
    ('genre=jazz', 'tempo=120')
    """
    if label is None:
        return ()
    if isinstance(label, Mapping):
        return tuple(f"{name}={value}" for name, value in label.items())
    return (label,) if isinstance(label, str) else tuple(label)


def request_of(values: Mapping[str, object]) -> Request:
    """The request among the options of a program, checked. Raises UserError."""
    known = {field.name: values[field.name] for field in fields(Request) if field.name in values}
    request = Request(**known | {"label": labels_given(known.get("label"))})
    request.check()
    return request


def recordings_of(request: Request) -> list:
    """The request's recordings as (path, `kinds.audio.files.Recording`), each read once. Raises UserError."""
    from kinds.audio.files import read_recording

    if not request.input_audio:
        return []
    paths = [request.input_audio, request.target_audio or request.input_audio]
    read = {path: read_recording(Path(path)) for path in dict.fromkeys(paths)}
    return [(path, read[path]) for path in paths]
