"""Quality of the demo recipe compared with `classic`, the baseline recipe, at equal wall-clock time and equal data.

python -m bench.quality          eight trainings and their evaluation, less than two hours of one core, to results/

Makes demo music for training and for evaluation, trains the demo with several seeds (and the music's labels), each of
these generators to do with one sampling step, the demo with adversarial post-training, and `classic` for as long as the
demo took. Evaluates all of them in one table, the demo also with labels left open, it and post-training in one sampling
step as well, measures whether clips are what their labels ask for, and draws spectrograms of real music, its round
trip, `classic` and both demos.
After an interruption run the same command again. `classic` keeps its options except the number of epochs, which is
chosen to fit the time: a quarter of them music, half transition, a quarter noise, as in its recipe.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bench import label_accuracy
from bench.workloads import ROOT
from errors import UserError
from kinds.audio.request import OPEN, Request

FINISHED = "generator.safetensors"
SEED = 42  # of the demo's music
REHEARSAL_STEPS = 6
COLUMNS = 4  # of the picture
POST, ONE_PASS = "post_training", "one_pass"
LABELS = ("labels.json", "labels_in_one_pass.json")
LABELLED = ("--conditions", "alpha+labels")


def program(name: str, *options: object) -> float:
    """Runs one of the programs; returns its wall-clock seconds. Raises UserError where it fails."""
    call = [sys.executable, str(ROOT / name), *map(str, options)]
    print("$", "python", name, *map(str, options), flush=True)
    started = time.monotonic()
    code = subprocess.run(call, check=False).returncode
    if code:
        raise UserError(f"{name} ended with exit code {code}; what was made so far is kept")
    return time.monotonic() - started


def music(folder: Path, songs: int, held_out_songs: int) -> None:
    """Makes the demo's songs, others for evaluation, and others again for a classifier of labels."""
    for name, number, seed, held_out in (
        ("music", songs, SEED, 0.1),
        ("held_out", held_out_songs, SEED + 1, 0.1),
        ("labelled", 2 * held_out_songs, SEED + 3, 0.35),
    ):
        if not (folder / name / "dataset.yaml").exists():
            options = ("--demo_songs", number, "--seed", seed, "--val_fraction", held_out)
            program("prepare_dataset.py", "--demo", *options, "--output_dir", folder / name)


def train(folder: Path, name: str, recipe: str, *options: object) -> float:
    """Trains one run and returns its seconds; a second call reads them from a file instead."""
    run, clock = folder / name, folder / name / "wall_clock.json"
    if not (clock.exists() and (run / FINISHED).exists()):
        fixed = ("--dataset_folder", folder / "music", "--checkpoint_dir", run)
        seconds = program("train_simple_ddp.py", "--config", ROOT / "recipes" / f"{recipe}.yaml", *fixed, *options)
        clock.write_text(json.dumps({"seconds": round(seconds, 1)}), encoding="utf-8")
    return json.loads(clock.read_text(encoding="utf-8"))["seconds"]


def classic_schedule(folder: Path, seconds: float, more: list[str]) -> list[object]:
    """Options with which `classic` takes `seconds`, from the speed of a short trial run."""
    rehearsal, begun = folder / "rehearsal", time.monotonic()
    options = (*more, "--max_steps", REHEARSAL_STEPS, "--log_every", 1, "--sample_every", 0)
    fixed = ("--dataset_folder", folder / "music", "--checkpoint_dir", rehearsal)
    program("train_simple_ddp.py", "--config", ROOT / "recipes" / "classic.yaml", *fixed, *options)
    whole = time.monotonic() - begun
    lines = [json.loads(line) for line in (rehearsal / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    speed = float(np.median([line["time"]["samples_per_s"] for line in lines[1:]]))
    batch = lines[1]["samples_seen"] - lines[0]["samples_seen"]
    start_up = max(0.0, whole - REHEARSAL_STEPS * batch / speed)
    pairs = len(list((folder / "music" / "train").glob("*.wav"))) // 2
    return schedule(max(4, round((seconds - start_up) * speed / pairs)))


def schedule(epochs: int) -> list[object]:
    """The baseline's curriculum, 50 + 100 + 50 epochs, scaled to `epochs`; rarely validated and saved, as the demo."""
    begin, transition = round(epochs / 4), max(1, round(epochs / 2))
    curriculum = ["--gan_curriculum_start_epoch", begin + 1, "--pure_gan_mode", round(1 / transition, 4)]
    rarely = ["--val_every", max(1, epochs // 10), "--save_every", epochs, "--sample_every", 0, "--patience", 0]
    return ["--epochs", epochs, *curriculum, *rarely]


def draw(folder: Path, runs: list[Path], seed: int) -> None:
    """`spectrograms.png` and its clips as wav files: held-out music, its round trip, clips of each run from noise."""
    from audio_codecs import open_codec
    from kinds.audio.files import read_audio, write_wav
    from kinds.audio.render import decode, encode, generate_from_noise
    from kinds.audio.spectrograms import save_grid
    from synthesis.loading import load_generator

    codec = open_codec("mel")
    paths = sorted((folder / "held_out" / "train").glob("*_target.wav"))
    real = [read_audio(paths[i], codec.sample_rate) for i in np.linspace(0, len(paths) - 1, COLUMNS).astype(int)]
    rows = {"real, held out": real}
    rows["codec round trip"] = [decode(codec, encode(codec, wav, "cpu"))[0][: len(wav)] for wav in real]
    for run in runs:
        loaded = load_generator(run)
        seconds, wish = len(real[0]) / codec.sample_rate, Request(seed).wish(loaded)
        clips = generate_from_noise(loaded, codec, COLUMNS, seconds, seed, wish=wish)
        rows[f"{run.name}, from noise"] = list(clips)
    save_grid(rows, codec.sample_rate, folder / "spectrograms.png")
    (folder / "wav").mkdir(exist_ok=True)
    for name, clips in rows.items():
        for k, clip in enumerate(clips):
            stem = name.split(",")[0].replace(" ", "_")
            write_wav(folder / "wav" / f"{stem}_{k}.wav", clip, codec.sample_rate)


METRICS = ("gap_closed", "frechet", "kernel", "density", "coverage", "diversity", "nearest_train")
REPORTS = {  # the files of `evaluate`
    "figures.json": "as generate.py makes them",
    "labels_left_open.json": "labels left open",
    "one_step.json": "in one sampling step",
}
HEARD = ("notes_per_s", "length_mean", "polyphony_mean")  # raw figures of the notes ruler


def evaluate(folder: Path, file: str, runs: list[str], num: int, *options: object) -> None:
    """Measures runs by both rulers into the folder's JSON file."""
    given = ("--reference", folder / "held_out" / "train", "--train", folder / "music" / "train", "--num", num)
    paths = [folder / name for name in runs]
    program("evaluate.py", "--checkpoint", *paths, *given, *options, "--json", folder / file)


def hear_labels(folder: Path, file: str, run: str, num: int) -> None:
    """Label accuracy of a run into the folder's JSON file. Raises UserError where it fails."""
    call = ["--checkpoint", folder / run, "--dataset_folder", folder / "labelled", "--num", num]
    if label_accuracy.main([*map(str, call), "--json", str(folder / file)]):
        raise UserError("label accuracy could not be measured; what was made so far is kept")


def summary(folder: Path, runs: dict[str, float]) -> str:
    """The Markdown tables of docs/results.md, one for each ruler: metrics of every set with intervals, with labels left
    open, of one sampling step; label accuracy; and the runs' wall-clock times."""
    lines, commands = [], []
    for file, how in REPORTS.items():
        report = json.loads((folder / file).read_text(encoding="utf-8"))
        for ruler, measured in report["rulers"].items():
            lines += ["", f"{ruler}, {how}:", "", *_rows(measured["sets"])]
        commands += [report["command"]]
    wall = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in runs.items())
    about = ", ".join(f"{key} {report[key]}" for key in ("clips", "clip_seconds", "seed", "device_name", "torch"))
    for file in LABELS:
        heard = json.loads((folder / file).read_text(encoding="utf-8"))
        lines += ["", f"{file.removesuffix('.json').replace('_', ' ')}:", "", *_label_rows(heard["rows"])]
        commands += [heard["command"]]
    lines += ["", f"Wall-clock: {wall}.", "", about]
    return "\n".join([*lines, *(f"\n`{command}`" for command in commands), ""])


def _label_rows(rows: dict[str, dict]) -> list[str]:
    """The table of label accuracy."""
    columns = list(next(iter(rows.values()))["accuracy"])
    lines = [f"| clips | {' | '.join(columns)} | diversity |", "|---" * (len(columns) + 2) + "|"]
    for title, row in rows.items():
        cells = [f"{row['accuracy'][name]:.2f}" if row["accuracy"] else "" for name in columns]
        spread = "" if row["diversity"] is None else f"{row['diversity']:.2f}"
        lines.append(f"| {title} | {' | '.join(cells)} | {spread} |")
    return lines


def _rows(sets: dict[str, dict]) -> list[str]:
    """The table of one ruler; it has the metrics that this ruler has."""
    names = [name for name in (*METRICS, *HEARD) if any(name in values for values in sets.values())]
    lines = [f"| set | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for title, values in sets.items():
        cells = [f"{v['value']:.2f} ({v['low']:.2f} to {v['high']:.2f})" if v else "" for v in map(values.get, names)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def train_all(folder: Path, args: argparse.Namespace) -> dict[str, float]:
    """The demo with every seed and in one pass, post-training with the first seed, `classic` -> wall-clock seconds by
    name."""
    seeds = args.seeds.split(",")
    runs = {}
    for seed in seeds:
        runs[f"demo_{seed}"] = train(folder, f"demo_{seed}", "demo", *LABELLED, "--seed", seed, *args.options)
    seconds, more = float(np.mean(list(runs.values()))), shlex.split(args.classic_options)
    for seed in seeds:
        begun = ("--init_from", folder / f"demo_{seed}", "--seed", seed, *args.options)
        runs[f"{ONE_PASS}_{seed}"] = train(folder, f"{ONE_PASS}_{seed}", ONE_PASS, *begun)
    runs[POST] = train(folder, POST, POST, *LABELLED, "--seed", seeds[0], *args.options)
    plan = classic_schedule(folder, seconds, more) if not (folder / "classic" / FINISHED).exists() else []
    runs["classic"] = train(folder, "classic", "classic", *more, *plan)
    return runs


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--output", type=Path, default=Path("results"), help="folder for all results (default: results)")
    add("--seeds", default="42,43,44", help="random seeds of the demo's runs (default: 42,43,44)")
    add("--num", type=int, default=120, help="clips in each set (default: 120)")
    add("--songs", type=int, default=26, help="number of songs of the demo's music (default: 26)")
    add("--held_out_songs", type=int, default=60, help="number of further songs for evaluation (default: 60)")
    add("--classic_options", default="", metavar="'--OPTION V'", help="further options for `classic`, in one string")
    add("options", nargs="*", help="after --: further options for the demo's runs")
    args = parser.parse_args(argv)
    folder = args.output
    folder.mkdir(parents=True, exist_ok=True)
    try:
        music(folder, args.songs, args.held_out_songs)
        runs = train_all(folder, args)
        first = next(iter(runs))
        evaluate(folder, "figures.json", list(runs), args.num)
        in_one_pass = f"{ONE_PASS}_{args.seeds.split(',')[0]}"
        evaluate(folder, "labels_left_open.json", [first, in_one_pass], args.num, "--label", OPEN)
        evaluate(folder, "one_step.json", [first, POST], args.num, "--passes", 1)
        for file, run in zip(LABELS, (first, in_one_pass), strict=True):
            hear_labels(folder, file, run, min(args.num, 128))
        draw(folder, [folder / "classic", folder / first, folder / in_one_pass], 0)
        (folder / "summary.md").write_text(summary(folder, runs), encoding="utf-8")
    except UserError as error:
        print(f"bench.quality: {error}", file=sys.stderr)
        return 1
    print((folder / "summary.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
