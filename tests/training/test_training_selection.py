"""The best checkpoint and early stopping: by phase, and by what the phase is for."""

from math import isnan

import numpy as np
import pytest
import torch
from fake_latents import FakePairs
from training_parts import (
    CHANNELS,
    FRAMES,
    PAIRS,
    WholePairs,
    tiny_config,
    tiny_gauge,
    tiny_run,
    tiny_trainer,
    tiny_validation,
    train_on,
)

from evaluation.metrics import kernel_distance
from models.networks import Generated
from monitoring.log import read_metrics
from runtime import checkpoint
from training.counters import Counters
from training.selection import CRITERIA, criterion, with_criteria

CURRICULUM = {"pure_gan_mode": 0.25, "gan_curriculum_start_epoch": 3, "epochs": 8, "patience": 0, "sample_every": 0}
METRICS = {"val/current": 0.7, "val/clean": 0.2, "val/ceiling": 0.8, "val/distance": 0.05}


def test_each_phase_has_its_metric():
    metrics = with_criteria(METRICS)
    assert metrics["val/clean_and_ceiling"] == pytest.approx(0.5)
    assert criterion("music", metrics, 16) == ("val/current", 0.7)
    assert criterion("transition", metrics, 16) == ("val/clean_and_ceiling", pytest.approx(0.5))
    assert criterion("noise", metrics, 16) == ("val/distance", 0.05)
    assert criterion("noise", metrics, 0) == ("val/current", 0.7)  # too few held-out samples for a distance
    name, value = criterion("noise", {"val/current": 0.7}, 16)  # not measured this time
    assert name == "val/distance" and isnan(value)
    assert with_criteria({"val/current": 1.0, "val/clean": 1.0}) == {"val/current": 1.0, "val/clean": 1.0}


def test_the_best_of_a_transition_need_not_be_its_first_epoch():
    """The loss at the current alpha rises although the generator learns."""
    counters, best = Counters(), []
    for current, clean, ceiling in ((0.3, 0.20, 0.90), (0.4, 0.21, 0.80), (0.5, 0.22, 0.70), (0.6, 0.35, 0.69)):
        metrics = with_criteria({"val/current": current, "val/clean": clean, "val/ceiling": ceiling})
        name, value = criterion("transition", metrics, 16)
        best.append(counters.is_best(value, "transition", name))
    assert best == [True, True, True, False]


def test_another_metric_begins_anew():
    """As on resume of a checkpoint whose noise phase went by the regression loss."""
    counters = Counters()
    counters.load_state_dict({"phase": "noise", "best": 0.01, "since_best": 7})
    assert counters.best_by == "val/current"
    assert counters.is_best(0.3, "noise", "val/distance")
    assert (counters.best, counters.since_best, counters.best_by) == (0.3, 0, "val/distance")
    assert not counters.is_best(float("nan"), "noise", "val/distance") and counters.since_best == 1


def test_a_run_goes_by_them(tmp_path, monkeypatch):
    config = tiny_config(checkpoint_dir=str(tmp_path), **CURRICULUM)
    train_on(WholePairs(PAIRS, FRAMES, CHANNELS, random=True), monkeypatch, config)
    checks = [line for line in read_metrics(tmp_path / "metrics.jsonl") if "val/current" in line]
    assert [line["phase"] for line in checks] == ["music"] * 2 + ["transition"] * 3 + ["noise"] * 3
    for phase, name in CRITERIA.items():
        course = [line for line in checks if line["phase"] == phase]
        assert {line["best_by"] for line in course} == {name}
        values = [line[name] for line in course]
        assert [line["val/best"] for line in course] == [min(values[: k + 1]) for k in range(len(values))]
    for line in checks:
        assert line["val/clean_and_ceiling"] == pytest.approx((line["val/clean"] + line["val/ceiling"]) / 2)
    best = checkpoint.load(tmp_path / "best.pt")["counters"]
    assert best["finished_epochs"] == 6 + int(np.argmin([line["val/distance"] for line in checks[5:]]))
    assert best["best_by"] == "val/distance"


@pytest.mark.parametrize("phase", ["music", "transition", "noise"])
def test_patience_counts_in_the_last_phase_alone(phase):
    run = tiny_run(tiny_config(**CURRICULUM | {"patience": 2}))
    name = CRITERIA[phase]
    for value in (1.0, 1.1):
        run.counters.is_best(value, phase, name)
    assert not run.complete
    run.counters.is_best(1.2, phase, name)
    assert run.complete == (phase == "noise")


class Louder(torch.nn.Module):
    """A generator that gives back its first source, louder."""

    def forward(self, input_BDT, target_BDT) -> Generated:
        return Generated(2 * input_BDT)


def test_the_distance_is_that_of_features_of_generated_samples():
    """Without the discriminator: it is measured with none."""
    config = tiny_config(pure_gan_mode=1.0)
    trainer, held_out = tiny_trainer(config), FakePairs(9, FRAMES, CHANNELS, random=True, seed=5)
    gauge = tiny_gauge(trainer, FakePairs(PAIRS, FRAMES, CHANNELS, random=True), held_out)
    validation = tiny_validation(config, trainer, Louder(), held_out, gauge)
    metrics = validation({"clean": 0.0, "current": 1.0, "ceiling": 1.0}, with_discriminator=False)
    clean = [trainer.normalise(torch.from_numpy(np.stack([read(i) for i in range(9)]))) for read in (
        held_out.input, held_out.target
    )]  # fmt: skip
    made_BDT = validation.generated(tuple(clean), 1.0, list(range(9)), {})
    scaled = [gauge._scaled(gauge.features(x).double().numpy()) for x in (made_BDT, clean[1])]
    assert metrics["val/distance"] == pytest.approx(kernel_distance(*scaled), rel=1e-4)
    assert metrics["val/distance"] > 0.05
