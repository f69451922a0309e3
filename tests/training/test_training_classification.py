"""The auxiliary classifier: columns of labels, missing ones, losses, counts."""

import math

import pytest
import torch

from errors import UserError
from models.classifiers import ConvClassifier
from runtime.distributed import Ranks
from training.classification import ClassCounts, Classifier, column_loss, label_columns, per_label
from training.optimizers import Updater

ALONE = Ranks(0, 0, 1, 1, torch.device("cpu"))
NAN = float("nan")


class Labelled:
    """Pairs of which only the labels are read."""

    def __init__(self, **columns: list[float]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), [0]))

    def labels(self, i: int) -> dict[str, float]:
        return {name: values[i] for name, values in self._columns.items()}


def test_columns_are_those_that_hold_categories():
    pairs = Labelled(kind=[0, 1, 2], tempo=[90.5, 120, 60], one=[0, 0, 0], some=[NAN, -1, 1], two=[1, -1, 0])
    assert label_columns(pairs, None) == {"kind": 3, "two": 2}
    assert label_columns(pairs, ["two"]) == {"two": 2}
    with pytest.raises(UserError, match="--classifier_labels tempo names no labels .*there are kind, two"):
        label_columns(pairs, ["tempo"])
    with pytest.raises(UserError, match="this dataset has none"):
        label_columns(Labelled(tempo=[0.5, 1]), None)
    with pytest.raises(UserError, match="this dataset has none"):
        label_columns(Labelled(), None)


def test_losses_in_closed_form():
    assert column_loss(torch.zeros(2), torch.tensor([0.0, 1.0]), 2).tolist() == pytest.approx([math.log(2)] * 2)
    assert column_loss(torch.zeros(2, 5), torch.tensor([0.0, 4.0]), 5).tolist() == pytest.approx([math.log(5)] * 2)
    logit = torch.tensor([2.0])
    assert column_loss(logit, torch.tensor([1.0]), 2).item() == pytest.approx(math.log1p(math.exp(-2)))


@pytest.mark.parametrize("missing", [NAN, -1.0, 7.0])
def test_missing_labels_do_not_count(missing):
    logits = torch.randn(3, 4, requires_grad=True)
    label_B = torch.tensor([1.0, missing, 3.0])
    loss_B = column_loss(logits, label_B, 4)
    loss_B.sum().backward()
    assert loss_B[1] == 0 and loss_B[0] > 0 and logits.grad.isfinite().all() and not logits.grad[1].any()


def classifier_of(columns: dict[str, int]) -> Classifier:
    torch.manual_seed(0)
    network = ConvClassifier(columns, (2, 8), width=8)
    return Classifier(
        network, Updater(network, torch.optim.Adam(network.parameters(), fused=True), 0.0), columns, 1e-2, ALONE
    )


def batch(count: int = 16) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Two columns that can be read off the samples, half of the second column missing."""
    x = torch.randn(count, 2, 8)
    first, second = (x[:, 0].mean(1) > 0).float(), x[:, 1].abs().mean(1).mul(2).floor().clamp(max=2)
    second[::2] = NAN
    return x, {"first": first, "second": second}


def test_it_learns_several_columns():
    classifier = classifier_of({"first": 2, "second": 3})
    torch.manual_seed(1)
    values = [per_label({k: float(v) for k, v in classifier.step(*batch()).items()}) for _ in range(150)]
    assert values[0]["classifier/labelled"] == 0.75 and values[0]["classifier/second/labelled"] == 0.5
    late = {name: sum(v[name] for v in values[-20:]) / 20 for name in values[0]}
    assert late["classifier/first/accuracy"] > 0.85 and late["classifier/second/accuracy"] > 0.6
    assert late["classifier/loss"] < values[0]["classifier/loss"]


def test_a_batch_without_labels_changes_nothing_and_is_finite():
    classifier = classifier_of({"first": 2})
    metrics = per_label(
        {k: float(v) for k, v in classifier.step(torch.randn(4, 2, 8), {"first": torch.full((4,), NAN)}).items()}
    )
    assert metrics == {"classifier/loss": 0.0, "classifier/accuracy": 0.0, "classifier/labelled": 0.0}


def test_averages_over_ranks_are_those_over_labelled_samples():
    """Rank 0 has one labelled sample of two, right; rank 1 two, both wrong: one of three."""
    ranks = [{"accuracy": 0.5, "labelled": 0.5}, {"accuracy": 0.0, "labelled": 1.0}]
    mean = {f"classifier/{name}": sum(rank[name] for rank in ranks) / 2 for name in ranks[0]}
    assert per_label(mean)["classifier/accuracy"] == pytest.approx(1 / 3)
    assert per_label({"loss/d": 0.5}) == {"loss/d": 0.5}


class Reader:
    """A classifier whose samples are their own classes."""

    columns = {"class": 4}  # noqa: RUF012

    def predict(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"class": x[:, 0].long()}


def test_counts_of_classes():
    counts = ClassCounts(Reader(), asked=True)
    real = torch.tensor([[0.0], [1], [2], [3]])
    made = torch.tensor([[0.0], [0], [1], [1]])
    counts.add(real, made, {"class": torch.tensor([0.0, 1, 2, NAN])})
    metrics = counts.metrics(ALONE)
    assert metrics["diversity/classes"] == pytest.approx(2 / 3)
    assert metrics["classifier/val_accuracy"] == 1.0
    assert metrics["classifier/made_accuracy"] == pytest.approx(1 / 3)
    unasked = ClassCounts(Reader(), asked=False)
    unasked.add(real, real, {"class": torch.full((4,), NAN)})
    assert unasked.metrics(ALONE) == {"diversity/classes": pytest.approx(4.0)}
