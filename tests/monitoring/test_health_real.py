"""Tiny trainings provoked into a state that the doctor must name, and its findings through stop and resume."""

from statistics import median

import pytest
from test_health import diagnose
from tiny_runs import tiny_config, train_tiny

from monitoring.log import read_metrics

PURE = {"pure_gan_mode": 1.0}
COLLAPSING = PURE | {"lr": 1e-2, "loss_weight_input": 0.5, "loss_weight_target": 0.5, "gan_weight": 0.01}


def named(lines):
    return {name for line in lines for name in line["health"]}


def test_a_discriminator_a_thousand_times_faster_is_too_strong(monkeypatch, tmp_path):
    _, lines = train_tiny(monkeypatch, tmp_path, epochs=22, lr=1e-5, disc_lr=1e-2)
    assert list(lines[-1]["health"]) == ["discriminator too strong"]
    window = lines[-20:]  # a single batch of so small a run says little
    assert median(line["loss/d"] for line in window) < 0.1 and median(line["d/real_prob"] for line in window) > 0.9
    assert not named(lines) & {"generator too strong", "divergence", "mode collapse"}


def test_a_regularised_run_is_balanced(monkeypatch, tmp_path):
    options = {"gan_loss": "rpgan", "lr": 3e-4, "disc_lr": 3e-3, "r1_weight": 0.2, "r2_weight": 0.2}
    _, lines = train_tiny(monkeypatch, tmp_path, epochs=18, **options)
    assert list(lines[-1]["health"]) == ["balanced"]
    assert 0.6 < lines[-1]["diversity/ratio"] < 1.1
    assert not named(lines) & {"mode collapse", "divergence", "memorisation", "discriminator too strong"}


def test_a_rate_far_too_high_diverges(monkeypatch, tmp_path, capsys):
    options = {"optimizer": "sgd", "lr": 300.0, "grad_clip": 0.0, "gan_loss": "lsgan", "max_bad_steps": 0}
    _, lines = train_tiny(monkeypatch, tmp_path, epochs=3, **options)
    assert list(lines[-1]["health"]) == ["divergence"]
    assert "health: divergence (" in capsys.readouterr().out


def test_regression_out_of_noise_with_hardly_an_adversary_collapses(monkeypatch, tmp_path):
    run, lines = train_tiny(monkeypatch, tmp_path, epochs=8, **COLLAPSING)
    assert "mode collapse" in lines[-1]["health"]
    assert lines[-1]["diversity/ratio"] < 0.15
    assert not run.collapsed and run.complete  # a warning


def test_a_collapse_may_stop_the_run(monkeypatch, tmp_path, capsys):
    run, lines = train_tiny(monkeypatch, tmp_path, epochs=8, health={"on_collapse": "stop"}, **COLLAPSING)
    assert run.collapsed and not run.complete and run.counters.finished_epochs < 8
    assert "mode collapse" in lines[-1]["health"] and "mode collapse" not in lines[-2]["health"]
    assert (tmp_path / "last.pt").exists() and not (tmp_path / "generator.safetensors").exists()
    assert "health: mode collapse (diversity" in capsys.readouterr().out


@pytest.mark.parametrize("stopped_at", [7, 16])
def test_verdicts_and_schedules_that_react_survive_a_stop(monkeypatch, tmp_path, stopped_at):
    """Bit for bit: the same lines, whether or not the run was stopped in between."""
    options = {"epochs": 8, "lr": 1e-3, "health": {"window": 5}, "pure_gan_mode": 0.1, "gan_curriculum_start_epoch": 3}
    options |= {"adaptive_alpha": True, "lr_schedule": "plateau", "plateau_patience": 0}
    options |= {"gan_noise_ceiling": 0.25, "plateau_metric": "clean"}
    _, whole = train_tiny(monkeypatch, tmp_path / "whole", **options)
    train_tiny(monkeypatch, tmp_path / "cut", max_steps=stopped_at, **options)
    cut = read_metrics(tmp_path / "cut" / "metrics.jsonl")
    assert cut[-1]["step"] == stopped_at
    _, resumed = train_tiny(monkeypatch, tmp_path / "cut", resume="auto", **options)
    for line in whole + resumed:
        line.pop("time", None)
    assert resumed == whole
    assert all(len({line[name] for line in whole}) > count for name, count in (("lr/g", 1), ("lr/d", 1), ("alpha", 2)))


def test_the_files_health_is_that_of_its_lines(monkeypatch, tmp_path):
    options = {"epochs": 4, "health": {"window": 4}, "lr": 1e-3, "disc_lr": 1e-2}
    _, lines = train_tiny(monkeypatch, tmp_path, **options)
    for count in range(1, len(lines) + 1):
        verdicts = diagnose(lines[:count], tiny_config(tmp_path, **options))
        assert {verdict.name: verdict.evidence for verdict in verdicts} == lines[count - 1]["health"]
