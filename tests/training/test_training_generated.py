"""What is generated, beside the training steps: the discriminator's figures, samples by label, exports."""

import json

import pytest
import torch
from safetensors.torch import load_file
from test_training_validation import ALPHAS, Copy, clips, validation_of
from training_parts import FRAMES, WholePairs, go_on, tiny_config, tiny_run, tiny_trainer, train_on

import export
from config import resolve
from models.networks import build_discriminator
from runtime import checkpoint
from synthesis.exporting import add_discriminator, read_discriminator
from synthesis.loading import DESCRIPTION, WEIGHTS
from training.label_samples import askable
from training.samples import write_samples
from training.validation import FIGURES

LEVELS = {"clean": 0.0, "current": 0.5, "ceiling": 1.0}


def figures_by_hand(trainer, real_BDT, fake_BDT) -> dict[str, float]:
    """Of a discriminator without dropout, classifying at logit 0."""
    with torch.no_grad():
        real_B, fake_B = trainer.discriminator(real_BDT), trainer.discriminator(fake_BDT)
    right = 0.5 * ((real_B > 0).float().mean() + (fake_B <= 0).float().mean())
    values = (
        trainer.objective.discriminator(real_B, fake_B).mean(),
        right,
        real_B.sigmoid().mean(),
        fake_B.sigmoid().mean(),
        (real_B - fake_B).mean(),
    )
    return {f"generated/{name}": float(value) for name, value in zip(FIGURES, values, strict=True)}


@pytest.mark.parametrize("passes", [1, 3])
def test_generated_figures_are_of_all_steps_from_the_ceiling(passes):
    config = tiny_config(unity_test=True, easy_share=1.0, passes=passes, pure_gan_mode=0.1)
    trainer, copy = tiny_trainer(config), Copy(0, 0.5)
    metrics = validation_of(config, trainer, copy)(LEVELS)
    source, _ = clips()
    step = len(LEVELS) + 2 * passes  # calls for a batch: a loss at each level, then from the current level, the ceiling
    first, last = (
        torch.cat([0.5 * copy.seen[k][0] for k in range(start, len(copy.seen), step)])
        for start in (len(LEVELS) + passes, step - 1)
    )
    assert (passes == 1) == torch.equal(first, last)
    within = trainer.space.within
    expected = figures_by_hand(trainer, source, within(last) if passes > 1 else last)
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert metrics["generated/d_loss"] != metrics["val/d_loss"]


def test_at_the_ceiling_both_are_the_same_samples():
    config, copy = tiny_config(), Copy(0)
    metrics = validation_of(config, tiny_trainer(config), copy)(LEVELS | {"current": 1.0})
    assert len(copy.seen) == 2 * (len(LEVELS) + 1)
    for name in ("d_loss", "d_accuracy"):
        assert metrics[f"generated/{name}"] == metrics[f"val/{name}"]


def test_the_discriminator_sees_generated_samples_with_its_instance_noise():
    config = tiny_config()
    trainer = tiny_trainer(config)
    plain, noisy = validation_of(config, trainer, Copy(0)), validation_of(config, trainer, Copy(0))
    noisy.instance_noise = 2.0
    a, b = plain(ALPHAS), noisy(ALPHAS)
    assert a["val/d_loss"] == b["val/d_loss"] and a["generated/d_loss"] != b["generated/d_loss"]
    assert noisy(ALPHAS) == b  # the same noise each time


class Recorder:
    """A decoder that keeps what it is given."""

    def __init__(self) -> None:
        self.written = []

    def write(self, log, name, samples_BDT, step, stem) -> None:
        self.written.append((name, samples_BDT.clone(), stem.name))


@pytest.mark.parametrize("count", [1, 5])
def test_as_many_samples_as_asked_for_from_the_same_noise_each_time(count):
    run = tiny_run(tiny_config(sample_num=count))
    run.decoder = Recorder()
    for epoch in (1, 2):
        write_samples(run, epoch)
    (name, first_BDT, one), (_, second_BDT, two) = run.decoder.written
    assert (name, one, two) == ("generated", "epoch_0001", "epoch_0002")
    assert first_BDT.shape == (count, 4, FRAMES) and torch.equal(first_BDT, second_BDT)
    assert count == 1 or not torch.equal(first_BDT[0], first_BDT[1])
    go_on(run, 4)
    write_samples(run, 3)
    assert not torch.equal(run.decoder.written[-1][1], first_BDT)  # of other weights


def test_labels_that_can_be_asked_for():
    vocabulary = {"genre": {"values": ["folk", "jazz"]}, "tempo": {"mean": 100.0, "std": 20.0}}
    assert askable(vocabulary) == [
        ("genre", "folk", 0.0), ("genre", "jazz", 1.0), ("tempo", "80", 80.0), ("tempo", "120", 120.0)
    ]  # fmt: skip
    many = [str(k) for k in range(99)]
    shared = askable({"a": {"values": many}, "b": {"mean": 1, "std": 0.5}, "c": {"values": many}})
    assert [name for name, _, _ in shared] == ["a"] * 11 + ["b"] * 2 + ["c"] * 11
    assert [value for name, value, _ in shared if name == "c"] == many[:11]
    assert [name for name, _, _ in askable({k: {"mean": 1, "std": 0.5} for k in many})] == many[:24]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    options = {"checkpoint_dir": str(folder), "epochs": 1, "sample_every": 0, "discriminator": "conv+spectrogram"}
    options |= {"num_threads": 1, "save_every_minutes": 0.0, "disc_spectral_norm": True}
    with pytest.MonkeyPatch.context() as patch:
        train_on(WholePairs(8, FRAMES, 4, random=True), patch, tiny_config(**options))
    return folder


def test_the_discriminators_last_weights_are_exported_on_request(run_folder, tmp_path):
    for name in (WEIGHTS, DESCRIPTION):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    trained = checkpoint.load(run_folder / "last.pt")["trainer"]["discriminator"]
    exported = load_file(add_discriminator(*read_discriminator(run_folder), tmp_path))
    assert exported.keys() == trained.keys() and all(torch.equal(exported[name], trained[name]) for name in trained)
    options = json.loads((tmp_path / DESCRIPTION).read_text())["config"]
    config = resolve(options, frozenset(options))
    network = build_discriminator(config.chosen("discriminator"), config.model.encoding_dim, True, 0, (4, FRAMES), {})
    network.load_state_dict(exported)  # its options are there as well


def test_an_export_holds_no_discriminator(run_folder, capsys):
    given = ["--checkpoint", str(run_folder / WEIGHTS), "--output", "nowhere", "--discriminator"]
    assert export.main(given) == 2 and "holds no discriminator" in capsys.readouterr().err
