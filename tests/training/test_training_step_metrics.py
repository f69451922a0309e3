"""What a run says of its own noise levels: the schedule's alpha, and what its samples got."""

import pytest
import torch
from training_parts import (
    CHANNELS,
    FRAMES,
    PAIRS,
    WholePairs,
    plan_for,
    take_batches,
    tiny_config,
    tiny_trainer,
    train_on,
)

from monitoring.log import read_metrics
from monitoring.report.data import load_run
from monitoring.report.overview import curriculum_chart
from training.step_metrics import alpha_metrics, averaged_alphas

MEAN, STD = "curriculum/sample_alpha_mean", "curriculum/sample_alpha_std"
EASED = {"pure_gan_mode": 0.5, "easy_share": 1.0, "sample_every": 0}


def logged(alpha_B, alpha):
    """As the worker logs them."""
    return averaged_alphas({name: float(value) for name, value in alpha_metrics(alpha_B, alpha).items()}, alpha)


def test_mean_and_spread_beside_the_schedules_alpha():
    alpha_B = torch.tensor([0.1, 0.9, 0.4, 0.2])
    metrics = logged(alpha_B, 0.9)
    assert metrics == {
        "curriculum/alpha": 0.9,
        MEAN: pytest.approx(0.4),
        STD: pytest.approx(float(alpha_B.std(correction=0)), rel=1e-5),
    }
    for alpha in (0.0, 0.3, 1.0):
        assert logged(torch.full((7,), alpha), alpha) == {
            "curriculum/alpha": alpha, MEAN: pytest.approx(alpha), STD: pytest.approx(0, abs=1e-6)
        }  # fmt: skip


def test_the_spread_over_ranks_is_that_of_the_joined_batch():
    """Metrics are averaged over ranks before they are logged."""
    halves = torch.rand(2, 16, generator=torch.Generator().manual_seed(0))
    metrics = [alpha_metrics(alpha_B, 0.7) for alpha_B in halves]
    averaged = averaged_alphas({name: float(metrics[0][name] + metrics[1][name]) / 2 for name in metrics[0]}, 0.7)
    assert averaged[STD] == pytest.approx(float(halves.flatten().std(correction=0)), rel=1e-5)
    assert averaged[MEAN] == pytest.approx(float(halves.mean()), rel=1e-5)


def test_a_step_measures_what_its_samples_got():
    config = tiny_config(**EASED)
    batch = take_batches(config, 5)[4]
    plan = plan_for(config, batch, 4)
    metrics = tiny_trainer(config).step(batch, plan)
    assert plan.alpha == 1.0 and float(metrics[MEAN]) == pytest.approx(float(plan.alpha_B.mean()))
    assert float(metrics[MEAN]) < 0.95
    quiet = tiny_config()
    assert not any(name.startswith("curriculum/") for name in tiny_trainer(quiet).step(batch, plan_for(quiet, batch)))


def test_a_run_logs_and_plots_them(tmp_path, monkeypatch):
    config = tiny_config(checkpoint_dir=str(tmp_path), epochs=30, log_every=1, val_every=30, **EASED)
    train_on(WholePairs(PAIRS, FRAMES, CHANNELS, random=True), monkeypatch, config)
    lines = [line for line in read_metrics(tmp_path / "metrics.jsonl") if line["epoch"] > 2]
    assert {line["alpha"] for line in lines} == {line["curriculum/alpha"] for line in lines} == {1.0}
    assert sum(line[MEAN] for line in lines) / len(lines) == pytest.approx(0.5, abs=0.1)  # uniform from 0 to 1
    assert sum(line[STD] ** 2 for line in lines) / len(lines) == pytest.approx(0.75 / 12, rel=0.3)  # of four samples
    chart = curriculum_chart([load_run(tmp_path)])
    assert [series.label for series in chart.series] == ["schedule", "mean of samples", "their spread"]
    assert chart.series[0].points[-1][1] == 1.0
    assert [y for _, y in chart.series[1].points][-len(lines) :] == pytest.approx([line[MEAN] for line in lines])


def test_runs_without_these_metrics_have_the_schedule_alone(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "samples_seen": 4, "alpha": 0.5}\n')
    (series,) = curriculum_chart([load_run(tmp_path)]).series
    assert (series.label, series.points) == ("schedule", [(4.0, 0.5)])
