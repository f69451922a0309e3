"""The page of listen.py, built with Gradio: one tab for each way to make clips, and one for the run's samples."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from errors import UserError, printable
from kinds.audio.listening import MOST_CLIPS, Listener, Shown, label_request, whole
from kinds.audio.request import Request, usual_guidance

CSS = """
.gradio-container { max-width: 1100px !important; margin: auto !important; }
.clips .clip { min-width: min(320px, 100%) !important; }
html, body, .tab-wrapper { overflow-x: hidden !important; }
footer { display: none !important; }
"""


@dataclass(frozen=True)
class Fields:
    """The fields that all ways of making clips share: components by option, and those of labels by name."""

    options: dict[str, Any]
    labels: dict[str, Any]


@dataclass(frozen=True)
class Slots:
    """Places for clips: the row of each, its player, its picture; above them what is said, and the command line."""

    rows: list[Any]
    players: list[Any]
    pictures: list[Any]
    message: Any
    command: Any

    @property
    def components(self) -> list[Any]:
        return [self.message, self.command, *self.rows, *self.players, *self.pictures]


def build_page(gradio, listener: Listener, name: str) -> tuple[Any, dict[str, Any]]:
    """The page, and its style (keyword arguments of its `launch`)."""
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}  # none from a server
    with gradio.Blocks(title=f"noise2music: {name}", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(f"# {_plain(name)}\n\n{_plain(_about(listener))}", elem_id="about")
        with gradio.Tab("New"):
            _new_clips(gradio, listener)
        with gradio.Tab("Music"):
            _from_music(gradio, listener)
        with gradio.Tab("Between"):
            _between(gradio, listener)
        with gradio.Tab("Variations"):
            _variations(gradio, listener)
        with gradio.Tab("The run"):
            _samples(gradio, listener)
    return page, {"theme": gradio.themes.Default(**fonts), "css": CSS}


def _about(listener: Listener) -> str:
    with suppress(UserError):
        return f"Generator at {listener.music().trained_to}. Every request uses the newest save."
    return "No save of the generator yet; every request tries again. Start the page again then for labels and steps."


def _plain(text: str) -> str:
    """Text in Markdown as it stands."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|!" else letter for letter in text)


def _new_clips(gradio, listener: Listener) -> None:
    with gradio.Row():
        seed = gradio.Number(1, label="Seed", precision=0, minimum=0)
        num = gradio.Slider(1, MOST_CLIPS, 2, step=1, label="Clips")
        duration = gradio.Slider(1, 60, 10, step=0.5, label="Duration (seconds)")
    fields = _more(gradio, listener, {"seed": seed, "num": num, "duration": duration})
    _maker(gradio, listener, fields, "new")


def _from_music(gradio, listener: Listener) -> None:
    with gradio.Row():
        recording = gradio.File(label="A recording, up to 10 minutes", elem_id="upload")
        fraction = gradio.Slider(0, 1, 0.3, step=0.01, label="Noise fraction")
        seed = gradio.Number(1, label="Seed", precision=0, minimum=0)
    fields = _more(gradio, listener, {"input_audio": recording, "noise_fraction": fraction, "seed": seed})
    _maker(gradio, listener, fields, "music")


def _between(gradio, listener: Listener) -> None:
    with gradio.Row():
        seed = gradio.Number(1, label="From seed", precision=0, minimum=0)
        other = gradio.Number(2, label="To seed", precision=0, minimum=0)
        steps = gradio.Slider(2, MOST_CLIPS, 5, step=1, label="Clips")
        duration = gradio.Slider(1, 60, 10, step=0.5, label="Duration (seconds)")
    options = {"seed": seed, "interpolate": other, "steps": steps, "duration": duration}
    _maker(gradio, listener, _more(gradio, listener, options), "between")


def _variations(gradio, listener: Listener) -> None:
    with gradio.Row():
        seed = gradio.Number(1, label="Seed of the clip", precision=0, minimum=0)
        count = gradio.Slider(1, MOST_CLIPS, 4, step=1, label="Variations")
        strength = gradio.Slider(0, 1, 0.2, step=0.01, label="Part of the noise that is renewed")
        duration = gradio.Slider(1, 60, 10, step=0.5, label="Duration (seconds)")
    options = {"seed": seed, "variations": count, "variation_strength": strength, "duration": duration}
    _maker(gradio, listener, _more(gradio, listener, options), "variations")


def _more(gradio, listener: Listener, options: dict[str, Any]) -> Fields:
    """Adds the fields of temperature, passes, labels and guidance, as far as the generator has them."""
    music = None
    with suppress(UserError):  # a run without a save
        music = listener.music()
    known = {} if music is None else music.labels
    with gradio.Accordion("More", open=bool(known)), gradio.Row():
        options = options | {"temperature": gradio.Slider(0.5, 1.5, 1.0, step=0.01, label="Temperature")}
        recipe = 1 if music is None else music.loaded.config.sampling.passes
        if recipe > 1:
            options["passes"] = gradio.Slider(1, max(32, 2 * recipe), recipe, step=1, label="Sampling steps")
        labels = {
            name: gradio.Dropdown(["", *about["values"]], value="", label=_plain(name))
            if "values" in about
            else gradio.Textbox("", label=f"{_plain(name)} (a number)", placeholder=f"{about['mean']:.4g} is usual")
            for name, about in known.items()
        }
        if labels:
            usual = usual_guidance(music.loaded)
            options["guidance"] = gradio.Slider(0, 5, usual, step=0.1, label="Guidance by labels")
    return Fields(options, labels)


def _maker(gradio, listener: Listener, fields: Fields, name: str) -> None:
    """The button, and places for what it makes."""
    button = gradio.Button("Make", variant="primary", elem_id=f"make-{name}")
    slots = _slots(gradio, name)
    options = list(fields.options)

    def make(*values):
        def made():
            given = dict(zip(options, values, strict=False))
            return listener.make(_request(given, list(fields.labels), values[len(options) :]))

        return _filled(gradio, made)

    inputs = [*fields.options.values(), *fields.labels.values()]
    button.click(make, inputs, slots.components, api_name=False, concurrency_id="generator")


def _request(given: dict[str, Any], names: list[str], values: tuple) -> Request:
    """The request of the page's fields."""
    label = label_request(names, values)
    if not label and "input_audio" in given:  # nothing is drawn for music
        given.pop("guidance", None)
    if "input_audio" in given and not given["input_audio"]:
        raise UserError("no recording: choose a file first")
    if given.get("noise_fraction") == 0:
        given.pop("seed")  # without noise it has no effect
    whole_numbers = ("seed", "num", "steps", "interpolate", "variations", "passes")
    given = {name: int(x) if name in whole_numbers and x is not None else x for name, x in given.items()}
    return whole(Request(**{name: x for name, x in given.items() if x is not None}, label=label))


def _slots(gradio, name: str, count: int = MOST_CLIPS, command: bool = True) -> Slots:
    message = gradio.Markdown("", elem_id=f"message-{name}")
    line = gradio.Textbox(
        label="The command line that makes the same", visible=False, interactive=False, buttons=["copy"], lines=2,
        elem_id=f"command-{name}", max_lines=4,
    )  # fmt: skip
    rows, players, pictures = [], [], []
    with gradio.Row(elem_classes="clips"):
        for _ in range(count):
            with gradio.Column(visible=False, elem_classes="clip", min_width=320) as row:
                players.append(gradio.Audio(interactive=False, type="filepath", buttons=["download"]))
                pictures.append(gradio.Image(interactive=False, type="filepath", show_label=False, buttons=[]))
            rows.append(row)
    return Slots(rows, players, pictures, message, line)


def _filled(gradio, make: Callable[[], tuple[list[Shown], str, str]], count: int = MOST_CLIPS) -> list[Any]:
    """New values of `Slots.components`; of an error its sentence alone."""
    try:
        shown, message, command = make()
    except UserError as error:
        shown, message, command = [], f"**{printable(error)}**", ""
    here = shown[:count]
    rest = count - len(here)
    rows = [gradio.update(visible=True)] * len(here) + [gradio.update(visible=False)] * rest
    players = [gradio.update(value=str(one.wav), label=one.title) for one in here] + [gradio.update(value=None)] * rest
    pictures = [gradio.update(value=str(one.picture)) for one in here] + [gradio.update(value=None)] * rest
    return [message, gradio.update(value=command, visible=bool(command)), *rows, *players, *pictures]


def _samples(gradio, listener: Listener) -> None:
    """The run's samples over its epochs beside real music."""
    epochs = gradio.Dropdown(listener.epochs(), value=None, label="Epoch (empty: the last)", elem_id="epoch")
    button = gradio.Button("Show", variant="primary", elem_id="make-samples")
    slots = _slots(gradio, "samples")

    def show(epoch):
        def made():
            shown = listener.samples(None if epoch in (None, "") else int(epoch))
            return shown, "Samples are made from the same noise in every epoch.", ""

        return [gradio.update(choices=listener.epochs()), *_filled(gradio, made)]

    button.click(show, [epochs], [epochs, *slots.components], api_name=False)
