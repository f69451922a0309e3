"""The comparison with `classic`: its schedule, its table; that all of it runs and goes on where it stopped."""

import json

import pytest
import soundfile

from bench import quality
from config import make_config
from curriculum.alpha import alpha_at

TINY = ["--epochs=1", "--num_layers=1", "--width=32", "--nhead=2", "--crop_seconds=0.5"]


@pytest.mark.parametrize("epochs", [4, 7, 15, 40, 200])
def test_classic_keeps_its_shares_of_music_transition_and_noise(epochs):
    options = quality.schedule(epochs)
    config = make_config(dict(zip([name[2:] for name in options[::2]], options[1::2], strict=True)))
    assert config.training.epochs == epochs and config.training.patience == 0
    rate, begin = config.curriculum.pure_gan_mode, config.curriculum.gan_curriculum_start_epoch
    alphas = [alpha_at(epoch, rate, begin, 1.0) for epoch in range(1, epochs + 1)]
    music, noise = alphas.count(0.0), sum(alpha > 0.999 for alpha in alphas)
    assert abs(music - epochs / 4) <= 1 and abs(noise - epochs / 4) <= 2 and alphas[-1] == pytest.approx(1, abs=1e-3)


@pytest.mark.e2e
@pytest.mark.timeout(1500)
def test_the_whole_of_it_at_the_smallest_size(tmp_path, capsys):
    call = ["--output", str(tmp_path), "--seeds", "1", "--num", "16", "--songs", "8", "--held_out_songs", "8"]
    call.append("--classic_options=--num_layers 1 --num_transformer_layers 1 --disc_width 4 --crop_seconds 0.5")
    assert quality.main([*call, "--", *TINY]) == 0
    sets = json.loads((tmp_path / "figures.json").read_text())["sets"]
    assert len(sets) == 4 + 7 and all("gap_closed" in figures for figures in sets.values())
    for file in ("one_step.json", "labels_left_open.json"):
        assert len(json.loads((tmp_path / file).read_text())["sets"]) == 2 + 7
    left_open, demo = json.loads((tmp_path / "labels_left_open.json").read_text())["sets"], next(iter(sets))
    assert demo.startswith("demo_1") and left_open[demo] != sets[demo]
    written = (tmp_path / "summary.md").read_text()
    assert "| gaussian | 0.00 " in written and written.count("| guidance 1.5 | ") == 2
    assert "in one sampling step:" in written and "labels left open:" in written
    wavs = sorted(path.name for path in (tmp_path / "wav").iterdir())
    assert len(wavs) == 5 * quality.COLUMNS
    assert soundfile.info(tmp_path / "wav" / "classic_0.wav").samplerate == 24000
    assert (tmp_path / "spectrograms.png").stat().st_size > 20_000
    written = (tmp_path / "classic" / "generator.safetensors").stat().st_mtime_ns
    assert quality.main([*call, "--", *TINY]) == 0
    assert (tmp_path / "classic" / "generator.safetensors").stat().st_mtime_ns == written


def test_a_program_that_fails_is_told_in_one_sentence(tmp_path, capsys):
    assert quality.main(["--output", str(tmp_path), "--songs", "1"]) == 1
    assert "prepare_dataset.py ended with exit code 2" in capsys.readouterr().err
