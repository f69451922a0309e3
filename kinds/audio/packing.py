"""A generator as a folder for others, in the form of the Hugging Face hub: weights, decoder, model card, samples."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audio_codecs.learned_decoder import SHIPPED
from audio_codecs.options import CODECS
from errors import UserError
from kinds.audio.music import Music
from kinds.audio.request import Request
from runtime.files import write_bytes, write_text
from synthesis.labels import Vocabulary
from synthesis.loading import DECODER, DESCRIPTION, WEIGHTS, export_generator, portable_options

CARD, SAMPLES, ABOUT = "README.md", "samples", "about.json"
METRICS = ("gap_closed", "frechet", "density", "coverage", "diversity", "nearest_train")
ANYONES = "hf:user/name"  # where no name is known
NON_COMMERCIAL = "EnCodec's weights, {where}, are Meta's, for non-commercial use only."
OUTSIDE, INSIDE = "which are not part of this folder", "of which `decoder.onnx` holds those of its decoder"


def pack(
    music: Music,
    folder: Path,
    license: str | None,
    trained_on: str,
    figures: Mapping[str, Any],
    samples: Sequence[str],
    onnx: bool = False,
    name: str = ANYONES,
) -> None:
    """Writes weights, description, the decoder's weights and the model card; options that belong to the machine of the
    training, such as paths, are left out. Raises OSError if the folder cannot be written.

    trained_on: one or more sentences; figures: by ruler and set, see `read_figures`; samples: paths in the folder;
    name: of the model on the hub.
    """
    loaded = music.loaded
    if loaded.decoder is None or loaded.decoder.resolve() != (folder / DECODER).resolve():
        _copy_decoder(music, folder)
    export_generator(folder, loaded.config, loaded.network.state_dict(), loaded.space, loaded.trained_to)
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    described["config"] = portable_options(loaded.config)
    write_text(folder / DESCRIPTION, json.dumps(described, indent=1) + "\n")
    write_text(folder / CARD, card(music, license, trained_on, figures, samples, onnx, name))


def _copy_decoder(music: Music, folder: Path) -> None:
    """The decoder's weights, where the codec has a learned one."""
    weights = music.loaded.decoder or music.loaded.config.chosen("kind").options.codec_weights
    if not _has_decoder(music):
        return
    source = Path(weights or SHIPPED).expanduser()
    source = source.parent if source.name == WEIGHTS else source
    (folder / DECODER).mkdir(exist_ok=True)
    for name in (WEIGHTS, DESCRIPTION):
        write_bytes(folder / DECODER / name, (source / name).read_bytes())


def _has_decoder(music: Music) -> bool:
    return bool(CODECS[music.codec.name].facts.get("has_decoders")) and music.codec.streams


def write_samples(music: Music, folder: Path, request: Request) -> list[str]:
    """Clips and their spectrograms in the folder's `samples` -> the wav files' paths in the folder. Samples of an
    earlier export are removed."""
    shutil.rmtree(folder / SAMPLES, ignore_errors=True)
    if not request.num:
        return []
    (folder / SAMPLES).mkdir()
    made = []
    for k, clip in enumerate(music.clips(request)):
        path = clip.save(folder / SAMPLES / f"{request.stem}_{k:04d}.wav")
        clip.save_spectrogram(path.with_suffix(".png"))
        made.append(f"{SAMPLES}/{path.name}")
    return made


def about_training(folder: Path) -> str:
    """What a run's folder says about its training data; paths on the machine are left out."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        minutes = about["train_pairs"] * about["length"] / 60
        return (
            f"The dataset {Path(about['dataset']).name!r}: {about['train_pairs']} training pairs of "
            f"{about['length']:.3g} {about['unit']}, {minutes:.3g} minutes in all."
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "Not documented."


def read_figures(path: str | None) -> dict[str, dict[str, dict]]:
    """{ruler: {set: {metric: {"value", "low", "high"}}}} of a file that evaluate.py --json wrote; {} without a path.

    Raises UserError if there is none.
    """
    if path is None:
        return {}
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
        return {name: dict(one["sets"]) for name, one in report["rulers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"--figures {path} holds no metrics: give a file that evaluate.py --json wrote") from None


def card(
    music: Music,
    license: str | None,
    trained_on: str,
    figures: Mapping[str, Any],
    samples: Sequence[str],
    onnx: bool = False,
    name: str = ANYONES,
) -> str:
    """The model card, Markdown with the hub's header."""
    config, space = music.loaded.config, music.loaded.space
    parameters = sum(weight.numel() for weight in music.loaded.network.parameters())
    header = ["---", "library_name: noise2music", "tags: [music, audio, gan]"]
    header += [f"license: {json.dumps(license)}"] if license else []
    terms = f"The weights are under the licence {license}." if license else "No licence was stated for the weights."
    lines = [
        *header, "---", "", "# A generator of music", "",
        f"It makes music from noise, {music.sample_rate} Hz mono, clips of any length. Generator "
        f"`{config.model.generator}` of noise2music, {parameters / 1e6:.1f} million parameters, over latents of the "
        f"codec `{space.about['codec']}`, trained to {music.trained_to} on clips of {space.length:.3g} s.",
        "", "## Trained on", "", trained_on,
        "", "## Licence", "", " ".join([terms, *_codec_terms(music, onnx)]),
        "", "## Use", "", *_usage(music.labels, onnx, name),
    ]  # fmt: skip
    if figures:
        lines += ["", "## Figures", "", *_table(figures)]
    if samples:
        lines += ["", "## Samples", "", *(f"- [{Path(path).stem}]({path})" for path in samples)]
    return "\n".join(lines) + "\n"


def _codec_terms(music: Music, onnx: bool) -> list[str]:
    if not CODECS[music.codec.name].facts.get("non_commercial"):
        return []
    return [NON_COMMERCIAL.format(where=INSIDE if onnx else OUTSIDE)]


def _usage(labels: Vocabulary, onnx: bool, name: str) -> list[str]:
    lines = ["```python", "from noise2music import load", "", f'music = load("{name}")  # or this folder']
    asked = ""
    if labels:
        label, known = next(iter(labels.items()))
        value = known["values"][0] if "values" in known else round(known["mean"])
        asked = f", label={json.dumps({label: value})}"
    lines += [f'music.generate(seconds=10, seed=1{asked}).save("clip.wav")', "```"]
    for label, known in labels.items():
        said = ", ".join(known["values"]) if "values" in known else f"a number, {known['mean']:.4g} is usual"
        lines += ["", f"Label `{label}`: {said}."]
    if onnx:
        lines += ["", "Without torch: `generator.onnx` and `decoder.onnx`, played by `onnx_player.py` in this folder",
                  "(numpy, onnxruntime): `from onnx_player import OnnxMusic`."]  # fmt: skip
    return lines


def _table(figures: Mapping[str, Any]) -> list[str]:
    """One table for each ruler: the evaluated sets beside the ladder of reference sets."""
    lines: list[str] = []
    for ruler, sets in figures.items():
        names = [name for name in METRICS if any(name in metrics for metrics in sets.values())]
        lines += [f"Ruler `{ruler}`:", "", f"| set | {' | '.join(name.replace('_', ' ') for name in names)} |"]
        lines += ["|---" * (len(names) + 1) + "|"]
        for one, metrics in sets.items():
            lines.append(f"| {one} | {' | '.join(_shown(metrics.get(name)) for name in names)} |")
        lines.append("")
    return lines[:-1]


def _shown(metric: Mapping[str, float] | None) -> str:
    value = metric.get("value") if isinstance(metric, Mapping) else None
    return f"{value:.3g}" if isinstance(value, int | float) and math.isfinite(value) else "–"
