"""Whether generated clips are what their labels ask for, as a classifier of real music hears it.

python -m bench.label_accuracy --checkpoint RUN --dataset_folder labelled --guidance 1 1.5 2

A classifier learns the labels of the dataset's training clips. Its accuracy on the dataset's held-out clips is the
upper end of the scale, the same answers beside labels that were dealt anew the lower end. Every generated clip is asked
for the labels of a held-out clip, decoded, and encoded again as any recording is. Labels that are numbers are asked
for, but not classified.

Shapes: B clips, D latent channels, T frames, N samples.
"""

import argparse
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from command_line import OneSentenceParser
from errors import UserError, reports_user_errors
from kinds.audio.latent_pairs import LatentPairs, open_pairs
from kinds.audio.render import clips_from_noise, decode, encode, open_generators_codec
from kinds.audio.rulers import Measuring
from models.classifiers import ConvClassifier
from runtime import files
from runtime.console import outlive_readers, plain_console
from runtime.cores import sleep_while_waiting
from synthesis.draws import plain
from synthesis.generation import Wish
from synthesis.loading import LoadedGenerator, load_generator
from training.classification import categories_of, column_loss, known, label_columns

CROP_S, BATCH, LR = 2.0, 16, 1e-3
FEWEST = 16  # held-out clips
Labels = list[dict[str, float]]  # of each clip


@dataclass(frozen=True)
class Row:
    """Accuracy of each column of labels, and the clips' diversity relative to held-out music (None: not measured)."""

    accuracy: dict[str, float]
    diversity: float | None = None

    @property
    def mean(self) -> float:
        """Over the columns."""
        return sum(self.accuracy.values()) / len(self.accuracy)


class Listener:
    """A classifier of latents, trained on real clips.

    Args:
        pairs: their input clips are trained on, in random crops.
        columns: number of categories of each column of labels.
        frames: length of a crop.
        steps: updates of BATCH clips.
    """

    def __init__(self, pairs: LatentPairs, columns: dict[str, int], frames: int, steps: int, seed: int) -> None:
        clips_BDT = torch.stack([torch.from_numpy(pairs.input(i).astype(np.float32)) for i in range(len(pairs))])
        labels = columns_of([pairs.labels(i) for i in range(len(pairs))], columns)
        self.columns, self._crop = columns, min(frames, clips_BDT.shape[2])
        self._mean, self._std = clips_BDT.mean((0, 2), keepdim=True), clips_BDT.std((0, 2), keepdim=True) + 1e-6
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = ConvClassifier(columns, (clips_BDT.shape[1], self._crop))
            self._train(clips_BDT, labels, steps)

    def _train(self, clips_BDT: Tensor, labels: dict[str, Tensor], steps: int) -> None:
        optimizer = torch.optim.AdamW(self.network.parameters(), LR, weight_decay=0.05)
        rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
        for _ in range(steps):
            some = torch.randint(len(clips_BDT), (BATCH,))
            start = int(torch.randint(clips_BDT.shape[2] - self._crop + 1, ()))
            logits = self.network(self._normal(clips_BDT[some, :, start : start + self._crop]))
            losses = [column_loss(logits[name], labels[name][some], k).mean() for name, k in self.columns.items()]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
            rates.step()

    def _normal(self, x_BDT: Tensor) -> Tensor:
        return (x_BDT - self._mean) / self._std

    @torch.no_grad()
    def hear(self, clips_BDT: Tensor) -> dict[str, Tensor]:
        """The category [B] of each column, of whole clips."""
        return {name: categories_of(logits) for name, logits in self.network(self._normal(clips_BDT)).items()}

    def accuracy(self, heard: dict[str, Tensor], asked: Labels) -> dict[str, float]:
        """Share of the clips that are heard as what was asked for, of those with a label in the column."""
        found = {}
        for name, label_B in columns_of(asked, self.columns).items():
            there_B = known(label_B, self.columns[name])
            right_B = heard[name] == label_B
            found[name] = float(right_B[there_B].float().mean()) if there_B.any() else float("nan")
        return found


def columns_of(labels: Labels, columns: dict[str, int]) -> dict[str, Tensor]:
    """Labels of each clip -> [B] for each column."""
    return {name: torch.tensor([one[name] for one in labels]) for name in columns}


def dealt_anew(labels: Labels, seed: int) -> Labels:
    """The same labels, each clip with those of another one."""
    order = np.random.default_rng(seed).permutation(len(labels))
    dealt: Labels = [{}] * len(labels)
    for one, other in zip(order, np.roll(order, 1), strict=True):
        dealt[one] = labels[other]
    return dealt


def asked_clips(loaded: LoadedGenerator, codec, asked: Labels, seconds: float, guidance: float, seed: int):
    """Clips [B, N] from noise, clip k with the labels of `asked[k]` -> as they sound and as latents [B, D, T]."""
    heard, latents = [], []
    for draw, labels in zip(plain(seed, len(asked)), asked, strict=True):
        wish = Wish({name: value for name, value in labels.items() if value == value}, guidance, drawn=False)
        (clip_N,) = clips_from_noise(loaded, codec, [draw], seconds, wish=wish)
        heard.append(clip_N)
        latents.append(encode(codec, clip_N, loaded.device).cpu())
    return np.stack(heard), torch.cat(latents)


def measure(loaded: LoadedGenerator, codec, args: argparse.Namespace) -> dict[str, Row]:
    """Rows by name.

    Raises:
        UserError: the generator knows no labels, or the dataset has none that it knows, or too few held-out clips.
    """
    train, val = open_pairs(args.dataset_folder, codec=codec.name, codec_weights=args.codec_weights)
    vocabulary = loaded.conditioning.known_labels
    if not vocabulary:
        raise UserError(f"the generator of {loaded.trained_to} was trained without labels: train with labels first")
    for pairs in (train, val):
        pairs.use_vocabulary(vocabulary)
    count = min(args.num, len(val))
    if count < FEWEST:
        raise UserError(f"{args.dataset_folder} has {count} held-out pairs: {FEWEST} are needed (--val_fraction)")
    columns = label_columns(train, None)
    listener = Listener(train, columns, round(CROP_S * codec.frame_rate), args.steps, args.seed)
    seconds = val.frames / codec.frame_rate
    some = np.random.default_rng(args.seed).permutation(len(val))[:count]
    asked = [val.labels(int(i)) for i in some]
    real_BDT = torch.stack([torch.from_numpy(val.input(int(i)).astype(np.float32)) for i in some])
    heard = listener.hear(real_BDT)
    ruler = Measuring("clips", decode(codec, real_BDT.to(loaded.device)), None)
    rows = {
        "held-out music": Row(listener.accuracy(heard, asked), 1.0),
        "held-out music, labels dealt anew": Row(listener.accuracy(heard, dealt_anew(asked, args.seed))),
    }
    for guidance in args.guidance:
        clips_BN, made_BDT = asked_clips(loaded, codec, asked, seconds, guidance, args.seed)
        spread = ruler.score(clips_BN, rounds=10)["diversity"]["value"]
        rows[f"guidance {guidance:g}"] = Row(listener.accuracy(listener.hear(made_BDT), asked), spread)
    unasked_BN, _ = asked_clips(loaded, codec, [{}] * count, seconds, 1.0, args.seed)
    rows["without labels"] = Row({}, ruler.score(unasked_BN, rounds=10)["diversity"]["value"])
    return rows


def show(rows: dict[str, Row], title: str) -> None:
    """Prints the table."""
    from rich.table import Table

    real = rows["held-out music"]
    table = Table(title=title)
    for heading in ("clips", *real.accuracy, "mean", "of real's", "diversity"):
        table.add_column(heading)
    for name, row in rows.items():
        mean = (f"{row.mean:.2f}", f"{row.mean / real.mean:.2f}") if row.accuracy else ("", "")
        columns = [f"{row.accuracy[column]:.2f}" if row.accuracy else "" for column in real.accuracy]
        table.add_row(name, *columns, *mean, "" if row.diversity is None else f"{row.diversity:.2f}")
    plain_console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = OneSentenceParser(
        prog="python -m bench.label_accuracy", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="PATH", help="checkpoint, export or run folder with labels")
    add("--dataset_folder", required=True, metavar="DIR", help="labelled dataset with held-out pairs")
    add("--guidance", type=float, nargs="+", default=[1.0, 1.5, 2.0], help="values to try (default: 1 1.5 2)")
    add("--passes", type=int, help="sampling steps (default: as in the recipe)")
    add("--num", type=int, default=128, help="clips in each set (default: 128)")
    add("--steps", type=int, default=1500, help="updates of the classifier (default: 1500)")
    add("--seed", type=int, default=0, help="of classifier, choice of clips and noise (default: 0)")
    add("--codec_weights", help="EnCodec weights, if their path differs from that in training")
    add("--device", default="cpu", help="cpu, cuda or mps (default: cpu)")
    add("--json", type=Path, metavar="PATH", help="write the figures to this file")
    return parser


def _check(args: argparse.Namespace) -> None:
    """Raises UserError for what is out of range."""
    limits = {"num": (FEWEST, 10**5), "steps": (10, 10**6), "seed": (0, 2**31)}
    for name, (low, high) in limits.items():
        if not low <= getattr(args, name) <= high:
            raise UserError(f"--{name} {getattr(args, name)} is not possible: give {low} to {high}")
    if not all(0 <= guidance <= 100 for guidance in args.guidance):
        raise UserError(f"--guidance {' '.join(map(str, args.guidance))} is not possible: give 0 to 100")
    if args.json and not args.json.absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: its folder does not exist")


@reports_user_errors("python -m bench.label_accuracy")
def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    args = _parser().parse_args(argv)
    _check(args)
    loaded = load_generator(args.checkpoint, args.device, args.passes)
    rows = measure(loaded, open_generators_codec(loaded, args.codec_weights, args.device), args)
    show(rows, f"label accuracy, seed {args.seed}")
    if args.json:
        figures = {name: {"accuracy": row.accuracy, "diversity": row.diversity} for name, row in rows.items()}
        command = shlex.join(["python", "-m", "bench.label_accuracy", *argv])
        files.write_text(args.json, json.dumps({"command": command, "rows": figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    outlive_readers()
    sleep_while_waiting()
    sys.exit(main())
