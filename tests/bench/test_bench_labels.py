"""Label accuracy: the classifier, labels that are dealt anew, and the whole of it on a tiny generator."""

import json

import numpy as np
import pytest
import torch

import prepare_dataset
import train_simple_ddp
from bench import label_accuracy
from bench.label_accuracy import Listener, dealt_anew

NAN = float("nan")


class Pairs(list):
    """Clips with labels, as a dataset has them."""

    def __init__(self, clips, labels):
        super().__init__(clips)
        self.input, self.labels = self.__getitem__, labels.__getitem__


def pairs_of(seed: int, count: int = 40, frames: int = 20):
    """Noise whose first channel is loud for label 1, whose second one for label 2; every fifth clip has no label."""
    draw = np.random.default_rng(seed)
    clips, labels = draw.normal(size=(count, 6, frames)).astype(np.float16), []
    for k, clip_DT in enumerate(clips):
        clip_DT[k % 3] += 4
        labels.append({"style": NAN if k % 5 == 0 else float(k % 3)})
    return Pairs(clips, labels), torch.from_numpy(clips.astype(np.float32)), labels


def test_the_classifier_hears_labels_of_clips_it_was_not_trained_on():
    listener = Listener(pairs_of(0)[0], {"style": 3}, frames=12, steps=80, seed=0)
    _, other_BDT, labels = pairs_of(1)
    heard = listener.hear(other_BDT)
    assert listener.accuracy(heard, labels)["style"] > 0.95  # those without a label do not count
    assert listener.accuracy(heard, dealt_anew(labels, 0))["style"] < 0.7
    assert np.isnan(listener.accuracy(heard, [{"style": NAN}] * len(labels))["style"])


def test_the_classifier_follows_its_seed_and_leaves_the_generator_of_random_numbers_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (Listener(pairs_of(0)[0], {"style": 3}, 12, 3, seed).network for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in network.parameters()]) for network in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("count", [2, 3, 17])
def test_every_clip_gets_the_labels_of_another(count):
    labels = [{"k": float(k)} for k in range(count)]
    dealt = dealt_anew(labels, 3)
    assert sorted(one["k"] for one in dealt) == list(range(count))
    assert all(one != other for one, other in zip(labels, dealt, strict=True))


def dataset(folder, monkeypatch, songs: int):
    """Labelled pairs of that many songs, half of them held out."""
    monkeypatch.chdir(folder)
    music = ["--demo", "--demo_songs", str(songs), "--duration", "2", "--val_fraction", "0.5"]
    assert prepare_dataset.main([*music, "--output_dir", "music"]) == 0
    return folder


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    return dataset(tmp_path, monkeypatch, 10)


@pytest.fixture
def few(tmp_path, monkeypatch):
    return dataset(tmp_path, monkeypatch, 2)


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_the_table_of_a_labelled_generator(labelled, capsys):
    tiny = ["--generator=patch", "--width=16", "--num_layers=1", "--nhead=2", "--disc_width=4", "--max_steps=1"]
    fixed = ["--dataset_folder=music", "--unity_test", "--easy_share=1", "--gan_weight=0", "--sample_every=0"]
    for name, conditions in (("run", "alpha+labels"), ("plain", "alpha")):
        given = [*tiny, *fixed, f"--conditions={conditions}", f"--checkpoint_dir={name}", "--batch_size=2"]
        assert train_simple_ddp.main(given) == 0
    capsys.readouterr()
    call = ["--dataset_folder", "music", "--num", "16", "--steps", "30", "--passes", "1", "--json", "figures.json"]
    assert label_accuracy.main([*call, "--checkpoint", "run", "--guidance", "1", "2"]) == 0
    assert "of real's" in capsys.readouterr().out
    rows = json.loads((labelled / "figures.json").read_text())["rows"]
    assert list(rows) == [
        "held-out music",
        "held-out music, labels dealt anew",
        "guidance 1",
        "guidance 2",
        "without labels",
    ]
    real = rows["held-out music"]["accuracy"]
    assert {"style", "lead"} <= real.keys() and "tempo" not in real  # a number is not classified
    assert all(0 <= share <= 1 for row in rows.values() for share in row["accuracy"].values())
    assert rows["guidance 1"]["diversity"] > 0
    assert label_accuracy.main([*call, "--checkpoint", "plain"]) == 2
    assert "was trained without labels" in capsys.readouterr().err


@pytest.mark.e2e
def test_too_few_held_out_clips_are_one_sentence(few, capsys):
    given = ["--generator=patch", "--width=16", "--num_layers=1", "--nhead=2", "--max_steps=1", "--gan_weight=0"]
    given += ["--dataset_folder=music", "--conditions=labels", "--checkpoint_dir=run", "--sample_every=0"]
    assert train_simple_ddp.main([*given, "--batch_size=2"]) == 0
    capsys.readouterr()
    assert label_accuracy.main(["--checkpoint", "run", "--dataset_folder", "music"]) == 2
    assert "16 are needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given", [["--num", "8"], ["--steps", "0"], ["--guidance", "1", "-2"], ["--json", "nowhere/figures.json"]]
)
def test_what_is_out_of_range_is_one_sentence(given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert label_accuracy.main(["--checkpoint", "run", "--dataset_folder", "music", *given]) == 2
    assert given[0] in capsys.readouterr().err
