"""The programs as users start them: torchrun and plain python leave all that a run promises; wav files come out."""

import json
import struct

import numpy as np
import pytest
import soundfile
import yaml
from e2e_runs import RATE, TINY, figures, finished, plain, start, state, torchrun, train_here

import generate
from command_line import parse
from config import make_config

pytestmark = pytest.mark.e2e
OPTIONS = [*TINY, "--epochs", "2", "--save_every", "1", "--sample_every", "2", "--pure_gan_mode", "1.0"]
PROMISED = ["config.yaml", "metrics.jsonl", "checkpoint_epoch_1.pt", "checkpoint_epoch_2.pt", "last.pt", "best.pt"]
PROMISED += ["generator.safetensors", "config.json"]
LAUNCHERS = {"torchrun, two ranks": lambda *argv: torchrun(2, *argv), "plain python": plain}


@pytest.fixture(scope="module", params=LAUNCHERS.values(), ids=LAUNCHERS)
def run(request, dataset, tmp_path_factory):
    """(folder of a finished run, what it said)."""
    home = tmp_path_factory.mktemp("launched")
    (home / "dataset_pairs_wav").symlink_to(dataset)
    code, out, err = finished(start(request.param(*OPTIONS), home))
    assert code == 0, err
    assert "Traceback" not in err
    return home / "checkpoints", out


def test_all_that_was_promised_is_there(run):
    folder, said = run
    assert [name for name in PROMISED if not (folder / name).is_file()] == []
    assert list((folder / "tb").glob("events*"))
    assert list((folder / "samples").glob("*.wav"))
    assert "epoch 2" in said
    assert "finished at epoch 2" in said
    assert not [path for path in folder.rglob("*") if ".partial" in path.name]


def test_the_configuration_is_the_whole_one(run):
    folder, _ = run
    written = yaml.safe_load((folder / "config.yaml").read_text())
    assert written == parse(OPTIONS).flat()
    assert json.loads((folder / "config.json").read_text())["config"] == written


def test_every_step_has_one_line(run):
    folder, _ = run
    lines = figures(folder)
    steps = state(folder)["counters"]["step"]
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    needed = {"step", "epoch", "samples_seen", "alpha", "phase", "loss/g_total", "lr/g", "lr/d", "grad_norm/g"}
    assert all(needed <= line.keys() for line in lines)
    assert sum("val/current" in line for line in lines) == 2
    assert lines[-1]["alpha"] == 1.0
    times = [json.loads(line)["time"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(time["samples_per_s"] > 0 and 0 <= time["data_wait_share"] <= 1 for time in times)


def test_checkpoints_hold_everything(run):
    folder, _ = run
    saved = state(folder, "checkpoint_epoch_1.pt")
    assert saved["counters"]["finished_epochs"] == 1
    assert saved.keys() >= {"trainer", "ema", "space", "counters", "schedules", "global_batch", "pairs"}
    assert saved["trainer"].keys() == {"generator", "discriminator", "optimizer_g", "optimizer_d", "skipped"}
    assert saved["space"]["about"]["codec"] == "mel"


def test_tensorboard_reads_the_figures(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, _ = run
    board = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0})
    board.Reload()
    lines = figures(folder)
    logged = {event.step: event.value for event in board.Scalars("loss/g_total")}
    assert logged == {line["step"]: pytest.approx(line["loss/g_total"]) for line in lines}
    assert {"generated/0", "round_trip/0", "real/0"} <= set(board.Tags()["audio"])
    assert {"generated/0", "generated/grid", "real/grid"} <= set(board.Tags()["images"])
    assert any("options" in name for name in board.Tags()["tensors"])


@pytest.mark.parametrize("source", ["", "generator.safetensors", "last.pt", "best.pt"])
def test_wav_files_come_out_of_noise(run, source, tmp_path):
    folder, _ = run
    code = generate.main(
        ["--checkpoint", str(folder / source), "--num", "2", "--duration", "1.3", "--output_dir", str(tmp_path)]
    )
    assert code == 0
    clips = [soundfile.read(path) for path in sorted(tmp_path.glob("*.wav"))]
    assert len(clips) == 2
    for wav, rate in clips:
        assert rate == RATE
        assert len(wav) == round(1.3 * RATE)
        assert np.sqrt(np.mean(wav**2)) > 1e-3  # not silent
        assert np.abs(wav).max() < 1.0
    assert (clips[0][0] != clips[1][0]).any()


def test_export_and_last_checkpoint_speak_alike(run, tmp_path):
    folder, _ = run
    made = []
    for number, source in enumerate(("generator.safetensors", "last.pt")):
        out = tmp_path / str(number)
        options = ["--num", "1", "--duration", "0.8", "--seed", "3", "--output_dir", str(out)]
        assert generate.main(["--checkpoint", str(folder / source), *options]) == 0
        made.append(next(out.glob("*.wav")).read_bytes())
    assert made[0] == made[1]


def test_the_export_is_plain_safetensors_of_the_averaged_weights(run):
    from safetensors.torch import load_file

    folder, _ = run
    exported, average = load_file(folder / "generator.safetensors"), state(folder)["ema"]
    assert {name: exported[name].tolist() for name in average} == {name: w.tolist() for name, w in average.items()}
    live = state(folder)["trainer"]["generator"]
    assert any((live[name] != average[name]).any() for name in average)
    header = struct.unpack("<Q", (folder / "generator.safetensors").read_bytes()[:8])[0]
    assert header < 1_000_000
    described = json.loads((folder / "config.json").read_text())["config"]
    assert make_config(described).flat() == parse(OPTIONS).flat()


def test_a_bare_torchrun_trains_and_a_second_run_moves_the_first(here, capfd):
    """As users type it: no number of ranks, no folders."""
    options = ["--pure_gan_mode", "0.01", *TINY, "--epochs", "1"]
    code, _, err = finished(start(torchrun(None, *options), here))
    assert code == 0, err
    assert train_here(*options) == 0
    assert "is now in" in capfd.readouterr().out
    (earlier,) = (here / "checkpoints" / "earlier").iterdir()
    assert (earlier / "generator.safetensors").exists()
    assert figures(earlier) == figures(here / "checkpoints")
