"""The auxiliary classifier: it learns the labels of clean real samples, and then says what generated samples are.

It has no influence on the other networks. Columns of labels hold category numbers from 0; NaN and negative numbers mean
that a sample has no label in that column, and it then does not count.

Legend: B samples of this rank, K categories of a column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from data.pairs import Pairs
from errors import UserError
from runtime.distributed import Ranks
from training.optimizers import Updater

MOST_CATEGORIES = 1000
Labels = Mapping[str, Tensor]


def label_columns(pairs: Pairs, names: Sequence[str] | None) -> dict[str, int]:
    """Number of categories of each column of labels, by name.

    names: columns to use; None: all that hold category numbers, of which there are two or more.

    Raises:
        UserError: a named column is not there or holds something else; there is no column that could be used.
    """
    rows = [pairs.labels(i) for i in range(len(pairs))]
    found = {}
    for name in rows[0]:
        values = {row[name] for row in rows}
        known = {value for value in values if value == value and value >= 0}
        if all(value == int(value) for value in known) and len(known) > 1 and max(known) < MOST_CATEGORIES:
            found[name] = int(max(known)) + 1
    for name in names or ():
        if name not in found:
            there = f"there are {', '.join(found)}" if found else "there are none"
            raise UserError(f"--classifier_labels {name} names no labels with two or more categories; {there}")
    if not found:
        raise UserError(
            "--classifier needs labels, and this dataset has none with two or more categories: leave it out"
        )
    return {name: found[name] for name in names} if names else found


def known(label_B: Tensor, categories: int) -> Tensor:
    """Which samples have a label, bool [B]."""
    return (label_B >= 0) & (label_B < categories)  # False for NaN


def column_loss(logits: Tensor, label_B: Tensor, categories: int) -> Tensor:
    """Cross-entropy [B], from the logit [B] of the second of two categories or from logits [B, K]; 0 without label."""
    there_B = known(label_B, categories)
    label_B = torch.where(there_B, label_B, torch.zeros_like(label_B))
    if logits.ndim == 1:
        loss_B = binary_cross_entropy_with_logits(logits, label_B.to(logits.dtype), reduction="none")
    else:
        loss_B = cross_entropy(logits, label_B.long(), reduction="none")
    return loss_B * there_B


def categories_of(logits: Tensor) -> Tensor:
    """The most probable category, [B]."""
    return (logits > 0).long() if logits.ndim == 1 else logits.argmax(1)


@dataclass
class Classifier:
    """The network and its updates. `columns`: number of categories of each column."""

    network: nn.Module
    update: Updater
    columns: dict[str, int]
    lr: float
    ranks: Ranks

    def __post_init__(self) -> None:
        self._wrapped = self.ranks.wrap(self.network)

    def step(self, real_BDT: Tensor, labels: Labels) -> dict[str, Tensor]:
        """One update on clean reals. Metrics are sums over labelled samples divided by B: see `per_label`."""
        logits = self._wrapped(real_BDT)
        loss, metrics = real_BDT.new_zeros(()), {}
        for name, categories in self.columns.items():
            one, there_B = column_loss(logits[name], labels[name], categories), known(labels[name], categories)
            right_B = there_B & (categories_of(logits[name]) == labels[name])
            values = {"loss": one.mean(), "accuracy": right_B.float().mean(), "labelled": there_B.float().mean()}
            metrics |= {f"classifier/{name}/{what}": value for what, value in values.items()}
            loss = loss + values["loss"] / len(self.columns)
        self.update(loss, self.lr)
        for what in ("loss", "accuracy", "labelled"):
            joined = torch.stack([metrics[f"classifier/{name}/{what}"] for name in self.columns]).mean()
            metrics[f"classifier/{what}"] = joined
        if len(self.columns) == 1:
            metrics = {f"classifier/{what}": metrics[f"classifier/{what}"] for what in ("loss", "accuracy", "labelled")}
        return {name: value.detach() for name, value in metrics.items()}

    @torch.no_grad()
    def predict(self, x_BDT: Tensor) -> dict[str, Tensor]:
        """The category [B] of each column."""
        return {name: categories_of(logits) for name, logits in self.network(x_BDT).items()}

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.update.optimizer_state()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.update.load(state["optimizer"], self.update.bad, self.update.bad_in_row)


def per_label(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics averaged over ranks, those of the classifier as means over labelled samples."""
    shares = {name.removesuffix("labelled"): value for name, value in metrics.items() if name.endswith("/labelled")}
    divided = {f"{stem}{what}": share for stem, share in shares.items() for what in ("loss", "accuracy") if share}
    return {name: value / divided.get(name, 1.0) for name, value in metrics.items()} if divided else metrics


class ClassCounts:
    """What a classifier finds in held-out and in generated samples, counted over a validation.

    Args:
        asked: whether generated samples are made for the labels of the held-out ones.
    """

    def __init__(self, classifier: Classifier, asked: bool) -> None:
        self._classifier, self._asked = classifier, asked
        widths = {name: 3 + 2 * categories for name, categories in classifier.columns.items()}
        self._counts = {name: torch.zeros(width, dtype=torch.float64) for name, width in widths.items()}

    def add(self, real_BDT: Tensor, made_BDT: Tensor, labels: Labels) -> None:
        """A batch of held-out samples, with their labels, and of generated ones."""
        real, made = self._classifier.predict(real_BDT), self._classifier.predict(made_BDT)
        for name, categories in self._classifier.columns.items():
            there_B = known(labels[name], categories)
            right = [(there_B & (one[name] == labels[name])).sum() for one in (real, made)]
            classes = labels[name][there_B].long(), made[name]
            histograms = [torch.bincount(one, minlength=categories) for one in classes]
            row = torch.cat([torch.stack([*right, there_B.sum()]), *histograms])
            self._counts[name] += row.cpu().double()

    def metrics(self, ranks: Ranks) -> dict[str, float]:
        """classifier/val_accuracy of held-out samples; classifier/made_accuracy of generated ones, if they were asked
        for labels; diversity/classes: effective number of classes (exp of the entropy) found in generated samples over
        that of the labels of held-out ones, the lowest of the columns."""
        joined = {name: ranks.sum(counts) for name, counts in self._counts.items()}
        labelled = sum(float(counts[2]) for counts in joined.values())
        found = {"diversity/classes": min(map(_class_ratio, joined.values()))}
        if labelled:
            found["classifier/val_accuracy"] = sum(float(counts[0]) for counts in joined.values()) / labelled
            if self._asked:
                found["classifier/made_accuracy"] = sum(float(counts[1]) for counts in joined.values()) / labelled
        return found


def _class_ratio(counts: Tensor) -> float:
    real_K, made_K = counts[3:].chunk(2)
    return _effective_number(made_K) / _effective_number(real_K)


def _effective_number(counts_K: Tensor) -> float:
    share_K = counts_K / counts_K.sum().clamp(min=1)
    return float(torch.special.entr(share_K).sum().exp())
