"""Sweeps: every combination once, each in its folder, and the same command again goes on."""

import json
import sys

import numpy as np
import pytest

import sweep
from errors import UserError
from kinds.audio.files import write_wav

# Stands for the launcher: notes how it was called, and leaves what a finished run leaves; lr 0.5 fails.
FAKE = """
import sys, pathlib
sys.path.insert(0, {root!r})
from command_line import parse
config = parse(sys.argv[1:])
folder = pathlib.Path(config.checkpoints.checkpoint_dir)
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "calls", "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if config.optimizer.lr == 0.5:
    sys.exit({code})
(folder / "config.yaml").write_text(config.to_yaml())
(folder / "metrics.jsonl").write_text('{{"step": 1, "samples_seen": 8, "epoch": 1, "loss/d": 0.5, "alpha": 0.0}}\\n')
(folder / "generator.safetensors").write_bytes(b"")
"""


@pytest.fixture
def fake_launcher(monkeypatch, tmp_path):
    def make(code=1):
        path = tmp_path / "fake_launcher.py"
        path.write_text(FAKE.format(root=str(sweep.LAUNCHER.parent), code=code))
        monkeypatch.setattr(sweep, "LAUNCHER", path)

    return make


def calls(output):
    return {folder.name: (folder / "calls").read_text().splitlines() for folder in sorted(output.glob("*/"))}


def test_combinations():
    made = sweep.combinations(["lr=1e-4,3e-4", "--gan-loss=bce,rpgan,bce"])
    assert made == [{"lr": lr, "gan_loss": loss} for lr in ("1e-4", "3e-4") for loss in ("bce", "rpgan")]
    assert sweep.folder_name(made[0]) == "lr=1e-4_gan_loss=bce"
    assert sweep.folder_name({"train_dir": "../a b"}) == "train_dir=..-a-b"


@pytest.mark.parametrize("setting", ["lr", "lr=", "=1", "lr=1,,2", "checkpoint_dir=a,b"])
def test_a_wrong_setting_is_told(setting):
    with pytest.raises(UserError):
        sweep.combinations([setting])
    with pytest.raises(UserError, match="twice"):
        sweep.combinations(["lr=1", "lr=2"])


def test_every_combination_is_checked_before_the_first_runs(fake_launcher, tmp_path, capsys):
    fake_launcher()
    output = tmp_path / "out"
    assert sweep.main(["--set", "lr=1e-4,-1", "--output", str(output)]) == 2
    assert "--lr -1 is not possible" in capsys.readouterr().err and not output.exists()
    assert sweep.main(["--output", str(output)]) == 2
    assert "nothing to vary" in capsys.readouterr().err


def test_runs_are_made_once_and_compared(fake_launcher, tmp_path, capsys):
    fake_launcher()
    output = tmp_path / "out"
    command = ["--set", "lr=1e-4,3e-4", "--set", "gan_loss=bce,rpgan", "--output", str(output), "--", "--epochs", "2"]
    assert sweep.main(command) == 0
    first = calls(output)
    assert sorted(first) == [f"lr={lr}_gan_loss={loss}" for lr in ("1e-4", "3e-4") for loss in ("bce", "rpgan")]
    folder = output / "lr=1e-4_gan_loss=bce"
    assert first[folder.name] == [f"--epochs 2 --lr 1e-4 --gan_loss bce --checkpoint_dir {folder} --resume auto"]
    report = (output / "report.html").read_text()
    assert all(name in report for name in first)
    assert sweep.main(command) == 0
    assert calls(output) == first and capsys.readouterr().out.count("already finished") == 4
    assert sweep.main([*command[:-1], "3"]) == 0  # other options: other runs, resumed in place
    assert all(len(lines) == 2 for lines in calls(output).values())


def test_a_failed_run_does_not_keep_the_others(fake_launcher, tmp_path):
    fake_launcher()
    output = tmp_path / "out"
    assert sweep.main(["--set", "lr=0.5,1e-4", "--output", str(output)]) == 1
    assert (output / "lr=1e-4" / "generator.safetensors").exists()
    assert "lr=1e-4" in (output / "report.html").read_text()


@pytest.mark.parametrize("code", [2, 143])
def test_a_stop_or_a_wrong_option_ends_the_sweep(fake_launcher, tmp_path, code):
    fake_launcher(code)
    output = tmp_path / "out"
    assert sweep.main(["--set", "lr=0.5,1e-4", "--output", str(output)]) == code
    assert not (output / "lr=1e-4").exists()


@pytest.mark.e2e
def test_a_sweep_of_real_runs(tmp_path):
    """Two learning rates on a few seconds of tones: real runs, their reports, the comparison."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 1)):
        (tmp_path / "data" / split).mkdir(parents=True)
        for k in range(count):
            for role in ("input", "target"):
                tone = 0.3 * np.sin(np.arange(24000) * rng.uniform(0.05, 0.3)).astype(np.float32)
                write_wav(tmp_path / "data" / split / f"pair_{k:04d}_{role}.wav", tone, 24000)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "generator: patch\nwidth: 16\nnhead: 2\nnum_layers: 1\nnum_transformer_layers: 1\ndisc_width: 4\n"
        "batch_size: 2\nlog_every: 1\nsample_every: 1\nnum_threads: 1\nworld_size: 1\n"
    )
    output = tmp_path / "out"
    command = ["--config", str(recipe), "--set", "lr=1e-4,1e-3", "--output", str(output), "--"]
    assert sweep.main([*command, "--dataset_folder", str(tmp_path / "data"), "--epochs", "2"]) == 0
    for folder in (output / "lr=1e-4", output / "lr=1e-3"):
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert lines[-1]["step"] == 4 and lines[-1]["lr/g"] == float(folder.name.removeprefix("lr="))
        assert (folder / "samples" / "epoch_0002_0.wav").stat().st_size > 40_000
        assert (folder / "samples" / "real_0.png").exists() and "epoch 2" in (folder / "report.html").read_text()
    page = (output / "report.html").read_text()
    assert "lr=1e-4: G" in page and "lr=1e-3: G" in page and "data:audio" in page


def test_it_is_a_program(capsys):
    with pytest.raises(SystemExit) as ended:
        sweep.main(["--help"])
    assert ended.value.code == 0 and "--set" in capsys.readouterr().out
    assert sys.modules["sweep"].LAUNCHER.is_file()
