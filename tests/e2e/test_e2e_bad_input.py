"""Wrong input: one sentence, exit code 2, nothing written and nothing lost, on every rank without a hang."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from e2e_runs import RATE, TINY, Ranks, finished, make_dataset, plain, start, train_here

from runtime.run_folder import RunLock

pytestmark = pytest.mark.e2e
EARLIER = {"config.yaml": "epochs: 3\n", "metrics.jsonl": '{"step": 1}\n', "checkpoint_epoch_3.pt": "precious"}
NOISE = 0.1 * np.random.default_rng(0).standard_normal(RATE)


@pytest.fixture
def small(dataset, tmp_path, monkeypatch) -> Path:
    """A folder with a dataset of 3 + 1 pairs and an earlier run in `checkpoints`, as the working directory."""
    for split, count in (("train", 3), ("val", 1)):
        (tmp_path / "dataset_pairs_wav" / split).mkdir(parents=True)
        for path in sorted((dataset / split).glob("*.wav"))[: 2 * count]:
            shutil.copy(path, tmp_path / "dataset_pairs_wav" / split)
    (tmp_path / "checkpoints").mkdir()
    for name, text in EARLIER.items():
        (tmp_path / "checkpoints" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    """Every visible file but latents, which are made of the dataset before it is known whether they can be used."""
    files = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    visible = {name: path for name, path in files.items() if not any(p.startswith(".") for p in name.parts)}
    return {str(name): path.read_bytes() for name, path in visible.items() if "latents" not in name.parts}


def clip(number: int = 1, split: str = "train", role: str = "target") -> Path:
    return Path("dataset_pairs_wav") / split / f"pair_{number:04d}_{role}.wav"


def write(wav: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    soundfile.write(clip(), wav, rate, subtype=subtype)


def leave_first_only() -> None:
    for number in (1, 2):
        for role in ("input", "target"):
            clip(number, role=role).unlink()


def nothing() -> None: ...


def spoil_description() -> None:
    Path("dataset_pairs_wav/dataset.yaml").write_text("sample_rate: many\n")


# (what is done before, options, words of the sentence)
WRONG: dict[str, tuple[Callable, str, tuple[str, ...]]] = {
    "out of range": (nothing, "--epochs 0", ("--epochs 0",)),
    "unknown": (nothing, "--gan_wieght 1", ("gan_wieght", "gan_weight")),
    "not a number": (nothing, "--lr nan", ("--lr nan",)),
    "exclusive": (nothing, "--use_creative_agent --use_compositional_agent", ("exclude",)),
    "no such yaml": (nothing, "--config none.yaml", ("none.yaml",)),
    "no dataset": (nothing, "--dataset_folder nowhere", ("nowhere", "prepare_dataset.py")),
    "no train_dir": (nothing, "--train_dir nowhere", ("nowhere",)),
    "no val_dir": (nothing, "--val_dir nowhere", ("nowhere",)),
    "empty dataset": (lambda: shutil.rmtree("dataset_pairs_wav/train"), "", ("train",)),
    "no pairs": (lambda: [path.unlink() for path in Path("dataset_pairs_wav/val").iterdir()], "", ("val", "no pairs")),
    "one sample": (leave_first_only, "", ("1 pair", "at least 2")),
    "large batch": (nothing, "--batch_size 4", ("--batch_size 4", "3")),
    "large global batch": (nothing, "--global_batch_size 5", ("5", "3")),
    "no target": (lambda: clip().unlink(), "", ("pair_0001_target.wav",)),
    "unequal length": (lambda: write(NOISE[: RATE // 2]), "", ("pair_0001_target.wav", "length")),
    "NaN": (
        lambda: write(np.where(np.arange(RATE) == 9, np.nan, NOISE), subtype="FLOAT"),
        "",
        ("pair_0001_target.wav",),
    ),
    "8 bit": (lambda: write(NOISE, subtype="PCM_U8"), "", ("pair_0001_target.wav", "8 bit")),
    "another rate": (lambda: write(NOISE, rate=44_100), "", ("pair_0001_target.wav", "44100")),
    "0 bytes": (lambda: clip().write_bytes(b""), "", ("pair_0001_target.wav",)),
    "text as wav": (lambda: clip().write_text("no music"), "", ("pair_0001_target.wav",)),
    "cut short": (lambda: clip().write_bytes(clip().read_bytes()[:20]), "", ("pair_0001_target.wav",)),
    "description": (spoil_description, "", ("dataset.yaml", "sample_rate")),
    "no such checkpoint": (nothing, "--resume none.pt", ("none.pt", "--resume auto")),
    "text as checkpoint": (nothing, "--resume checkpoints/checkpoint_epoch_3.pt", ("checkpoint_epoch_3.pt",)),
    "all damaged": (nothing, "--resume auto", ("checkpoints", "--resume")),
    "folder as checkpoint": (nothing, "--resume checkpoints", ("checkpoints",)),
    "folder under a file": (
        nothing,
        "--checkpoint_dir checkpoints/config.yaml/below",
        ("cannot write", "--checkpoint_dir"),
    ),
    "folder is a file": (nothing, "--checkpoint_dir checkpoints/config.yaml", ("cannot write", "--checkpoint_dir")),
    "channels": (nothing, "--batch_size 1 --encoding_dim 64", ("--encoding_dim 64", "128")),
    "no weights": (nothing, "--codec encodec_24khz --codec_weights none.th", ("none.th",)),
}


@pytest.mark.parametrize(("before", "options", "words"), WRONG.values(), ids=WRONG)
def test_one_sentence_and_nothing_else(before, options, words, small, capfd):
    before()
    there = contents(small)
    began = time.monotonic()
    assert train_here(*TINY, *options.split()) == 2
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1, printed
    assert "Traceback" not in printed
    for word in words:
        assert word in printed, f"{word!r} is not in {printed!r}"
    assert contents(small) == there
    assert time.monotonic() - began < 20


def test_encodec_without_weights_is_told_soon(small, capfd, monkeypatch):
    for name in ("HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(small / "no cache"))
    began = time.monotonic()
    assert train_here(*TINY, "--codec", "encodec_24khz") == 2
    printed = capfd.readouterr().err
    assert "--codec_weights" in printed
    assert printed.count("\n") == 1
    assert time.monotonic() - began < 20  # a machine under load; alone it takes two seconds


def test_a_folder_in_use_is_left_alone(small, capfd):
    there, lock = contents(small), RunLock(small / "checkpoints")
    assert train_here(*TINY) == 2
    lock.release()
    printed = capfd.readouterr().err
    assert "in use by process" in printed
    assert printed.count("\n") == 1
    assert contents(small) == there


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    assert train_here(*TINY, "--dataset_folder", dataset, "--checkpoint_dir", folder, "--max_steps", 1) == 0
    return folder / "last.pt"


@pytest.mark.parametrize(
    "change", ["--num_layers 2", "--discriminator spectrogram", "--generator patch", "--gan_loss rpgan", "--seed 7"]
)
def test_a_checkpoint_of_another_shape(change, trained, capfd):
    there = contents(trained.parent)
    assert train_here("--resume", trained, *change.split()) == 2
    printed = capfd.readouterr().err
    assert change.split()[0] in printed
    assert "contradicts the checkpoint" in printed
    assert printed.count("\n") == 1
    assert contents(trained.parent) == there


TOGETHER = ["one sample", "large batch", "NaN", "text as checkpoint", "folder under a file", "channels", "all damaged"]


@pytest.mark.parametrize("case", TOGETHER)
def test_two_ranks_end_together_and_it_is_told_once(case, small):
    before, options, words = WRONG[case]
    before()
    there = contents(small)
    ranks = Ranks(2, *TINY, *options.split())
    assert ranks.wait(60) == [2, 2]
    printed = ranks.output(0, "err") + ranks.output(1, "err")
    assert printed.count("\n") == 1, printed
    assert all(word in printed for word in words)
    assert contents(small) == there


def test_a_dataset_too_small_for_two_ranks(small):
    ranks = Ranks(2, *TINY, "--batch_size", 2)
    assert ranks.wait(60) == [2, 2]
    assert "needs 4 pairs, the dataset has 3" in ranks.output(0, "err")


def test_the_plain_launcher_passes_on_the_code_and_one_line(small):
    code, _, err = finished(start(plain(*TINY, "--world_size", 2, "--batch_size", 2), small), timeout=90)
    assert code == 2
    assert err.count("\n") == 1, err
    assert "needs 4 pairs" in err


def test_after_the_mistake_is_mended_the_same_command_trains(small):
    command = [*TINY, "--epochs", "1", "--batch_size"]
    assert train_here(*command, 4) == 2
    assert train_here(*command, 3) == 0
    assert (small / "checkpoints" / "generator.safetensors").exists()
    (moved,) = (small / "checkpoints" / "earlier").iterdir()
    assert {path.name: path.read_text() for path in moved.iterdir()} == EARLIER


def test_half_a_second_is_enough_of_a_clip(tmp_path, capfd):
    make_dataset(tmp_path / "short", train=2, val=1, seconds=0.5)
    options = [*TINY, "--dataset_folder", tmp_path / "short", "--checkpoint_dir", tmp_path / "run", "--max_steps", 1]
    assert train_here(*options) == 0
    assert "warning" not in capfd.readouterr().err
