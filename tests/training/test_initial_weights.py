"""`--init_from`: what a new run takes over from an earlier one, and what does not fit."""

import numpy as np
import pytest
import torch
from training_parts import ALONE, CHANNELS, FRAMES, WholePairs, identical, train_on

from config import make_config
from errors import UserError
from runtime.signals import StopRequest
from synthesis.conditions import encoded_labels
from synthesis.loading import export_generator, load_generator
from training.builder import build
from training.initial_weights import carried_labels

PATCH = {"generator": "patch", "width": 16, "nhead": 2, "num_layers": 1, "num_transformer_layers": 1, "patch_frames": 2}
SHARED = {"encoding_dim": CHANNELS, "dropout": 0.0, "disc_dropout": 0.0, "batch_size": 4, "sample_every": 0}
SHARED |= {"num_threads": 1, "log_every": 1, "pure_gan_mode": 0.5}
GENRES, OTHERS = {"genre": {"values": ["folk", "jazz"]}}, {"genre": {"values": ["jazz", "rock"]}}


class LabelledPairs(WholePairs):
    """Pairs whose labels are drawn from a vocabulary."""

    def __init__(self, *size, vocabulary: dict | None = None, **more):
        super().__init__(*size, **more)
        self.vocabulary = vocabulary or {}

    def labels(self, i: int) -> dict[str, float]:
        return {name: float(i % 2) for name in self.vocabulary}

    def use_vocabulary(self, vocabulary: dict) -> None:
        self.vocabulary = vocabulary


def pairs(seed: int, vocabulary: dict | None = None, channels: int = CHANNELS, scale: float = 1.0) -> LabelledPairs:
    made = LabelledPairs(8, FRAMES, channels, random=True, seed=seed, vocabulary=vocabulary)
    made._clips *= scale
    made.mean, made.std = made._clips.mean((0, 1, 3)), made._clips.std((0, 1, 3))
    return made


def train_from(monkeypatch, folder, data, **options):
    return train_on(data, monkeypatch, make_config(SHARED | {"checkpoint_dir": str(folder)} | options))


def open_from(monkeypatch, folder, data, **options):
    """The run before its first step."""
    held_out = LabelledPairs(4, FRAMES, data.channels, random=True, seed=9, vocabulary=data.vocabulary)
    monkeypatch.setattr("kinds.audio.kind.open_pairs", lambda *_, **__: (data, held_out))
    values = SHARED | {"checkpoint_dir": str(folder)} | options
    config = make_config({name: value for name, value in values.items() if value is not None})
    run = build(config, ALONE, StopRequest())
    run.lock.release()
    return run


@pytest.fixture
def earlier(monkeypatch, tmp_path):
    """A finished run with a discriminator."""
    run = train_from(monkeypatch, tmp_path / "earlier", pairs(1), epochs=2, disc_width=4, **PATCH)
    return run, tmp_path / "earlier"


@pytest.fixture
def exported(earlier, tmp_path):
    """Its generator alone, in a folder."""
    run, _ = earlier
    folder = tmp_path / "exported"
    folder.mkdir()
    export_generator(folder, run.config, run.average.state_dict(), run.space, "epoch 2, step 4")
    return folder


def test_both_networks_of_a_checkpoint_are_taken_over_and_nothing_else(earlier, monkeypatch, tmp_path):
    before, folder = earlier
    more = pairs(2, scale=3.0)
    run = open_from(monkeypatch, tmp_path / "new", more, init_from=str(folder), lr=1e-5)
    averaged = before.average.state_dict()
    assert identical(dict(run.trainer.generator.state_dict()), dict(averaged))
    assert identical(dict(run.average.state_dict()), dict(averaged))
    assert identical(dict(run.trainer.discriminator.state_dict()), dict(before.trainer.discriminator.state_dict()))
    assert (run.counters.step, run.counters.samples_seen, run.counters.best) == (0, 0, None)
    assert not run.trainer.update_g.optimizer.state and not run.trainer.update_d.optimizer.state
    assert run.config.chosen("generator").name == "patch"  # shapes come with the weights, the rest does not
    assert (run.config.chosen("generator").options.width, run.config.optimizer.lr) == (16, 1e-5)
    assert run.config.training.epochs == 200
    assert run.config.chosen("discriminator").options.disc_width == 4


def test_the_form_of_the_noise_is_the_one_that_the_generator_knows(monkeypatch, tmp_path):
    noise = {"offset_noise": 0.4, "offset_seconds": 0.1, "noise_channels": "0:2"}
    train_from(monkeypatch, tmp_path / "earlier", pairs(1), epochs=1, **PATCH, **noise)
    begun = {"init_from": str(tmp_path / "earlier")}
    run = open_from(monkeypatch, tmp_path / "new", pairs(2), **begun)
    assert run.trainer.sources.sampling.model_dump().items() >= noise.items()
    run = open_from(monkeypatch, tmp_path / "other", pairs(2), **begun, offset_noise=0.0)  # given: none is taken over
    assert run.trainer.sources.sampling.model_dump().items() >= {"offset_noise": 0.0, "noise_channels": None}.items()
    run = open_from(monkeypatch, tmp_path / "without", pairs(2), **begun, pure_gan_mode=0.0)
    assert run.trainer.sources.sampling.channels is None


def test_the_networks_keep_the_statistics_that_they_know(earlier, monkeypatch, tmp_path):
    before, folder = earlier
    more = pairs(2, scale=3.0)
    run = open_from(monkeypatch, tmp_path / "new", more, init_from=str(folder))
    assert torch.equal(run.space.mean_D, before.space.mean_D) and torch.equal(run.space.std_D, before.space.std_D)
    clips = np.stack([more.target(i) for i in range(len(more))])
    normalised = (clips - before.space.mean_D.numpy()[:, None]) / before.space.std_D.numpy()[:, None]
    assert run.space.highest_D.max() > 2 * before.space.highest_D.max()  # range and scale of noise are the new data's
    assert float(run.space.highest_D.max()) == pytest.approx(normalised.max(), rel=0.3)
    assert run.space.noise_scales_K2.mean() == pytest.approx(normalised.std(axis=(1, 2)).mean(), rel=0.2)


def test_an_export_has_a_generator_only(exported, monkeypatch, tmp_path, capsys):
    run = open_from(monkeypatch, tmp_path / "new", pairs(2), init_from=str(exported))
    assert identical(dict(run.average.state_dict()), dict(load_generator(exported).network.state_dict()))
    assert "the discriminator begins anew" in capsys.readouterr().out


def test_a_run_without_a_discriminator_says_nothing_of_one(exported, monkeypatch, tmp_path, capsys):
    open_from(monkeypatch, tmp_path / "new", pairs(2), init_from=str(exported), gan_weight=0.0)
    said = capsys.readouterr().out
    assert "begins with the generator of" in said and "the discriminator" not in said.split("with the generator of")[1]


def test_its_discriminator_is_there_if_it_is_wanted_later(earlier, monkeypatch, tmp_path):
    before, folder = earlier
    run = open_from(monkeypatch, tmp_path / "new", pairs(2), init_from=str(folder), gan_weight=0.0)
    assert identical(dict(run.trainer.discriminator.state_dict()), dict(before.trainer.discriminator.state_dict()))


def test_another_discriminator_begins_anew(earlier, monkeypatch, tmp_path, capsys):
    _, folder = earlier
    options = {"init_from": str(folder / "last.pt"), "disc_width": 8}
    open_from(monkeypatch, tmp_path / "new", pairs(2), **options)
    said = " ".join(capsys.readouterr().out.split())
    assert "the discriminator begins anew" in said and "[8, " in said and "[4, " in said


MISFITS = {
    "shape": ({"width": 32, "generator": "patch"}, {}, "--width 32 does not fit the generator in .*, which has 16"),
    "shape, the generator left open": ({"width": 32}, {}, "--width 32 does not fit .* has 16"),
    "another generator": ({"generator": "cascade"}, {}, "--generator cascade does not fit .* which has patch"),
    "channels": ({"encoding_dim": 8}, {"channels": 8}, "--encoding_dim 8 does not fit .* which has 4"),
    "channels of the data": ({}, {"channels": 8}, "--encoding_dim 4 does not fit latents of 8 channels"),
    "kind": (
        {"kind": "images", "generator": "dcgan", "pure_gan_mode": 0.0, "dropout": None},
        {},
        "--kind images does not fit .* makes audio",
    ),
    "an agent": ({"use_creative_agent": True}, {}, "--use_creative_agent True does not fit .* which has False"),
    "another part's option": ({"generator": "patch", "patch_frames": 3}, {}, "--patch_frames 3 does not fit .* has 2"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_one_sentence_with_both_values(case, exported, monkeypatch, tmp_path):
    options, data, message = MISFITS[case]
    with pytest.raises(UserError, match=message) as caught:
        open_from(monkeypatch, tmp_path / "new", pairs(2, **data), init_from=str(exported), **options)
    assert "\n" not in str(caught.value)


def test_another_codec_is_one_sentence_with_both(exported, monkeypatch, tmp_path):
    other = pairs(2)
    other.codec_identity = "mel-other"
    with pytest.raises(UserError, match="was trained on mel-fake latents, the dataset .* holds mel-other"):
        open_from(monkeypatch, tmp_path / "new", other, init_from=str(exported))


def test_weights_of_another_shape_than_their_description_are_one_sentence(exported, monkeypatch, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported / "generator.safetensors")
    name = next(name for name in tensors if name.endswith("embed.weight"))
    shape = list(tensors[name].shape)
    tensors[name] = tensors[name][:-1].contiguous()
    save_file(tensors, exported / "generator.safetensors")
    with pytest.raises(UserError) as caught:
        open_from(monkeypatch, tmp_path / "new", pairs(2), init_from=str(exported))
    assert f"{name} has the shape {shape} here and [{shape[0] - 1}, {shape[1]}] there" in str(caught.value)


def test_weights_that_diverged_are_refused(exported, monkeypatch, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(exported / "generator.safetensors")
    next(value for name, value in tensors.items() if name.endswith("embed.weight"))[0, 0] = torch.nan
    save_file(tensors, exported / "generator.safetensors")
    with pytest.raises(UserError, match="its training diverged"):
        open_from(monkeypatch, tmp_path / "new", pairs(2), init_from=str(exported))


# --- labels --------------------------------------------------------------------------------------------------------

OLD = {"genre": {"values": ["folk", "jazz"]}, "tempo": {"mean": 100.0, "std": 20.0}, "mode": {"values": ["major"]}}
NEW = {
    "tempo": {"mean": 130.0, "std": 5.0},
    "genre": {"values": ["ambient", "folk", "jazz", "rock"]},
    "mode": {"mean": 0.0, "std": 1.0},
    "lead": {"values": ["flute"]},
}


def answer(weight_CK, vocabulary, **labels):
    """The embedding [C] of labels, given as values or numbers."""
    values = {
        name: torch.tensor([float(vocabulary[name]["values"].index(value) if isinstance(value, str) else value)])
        for name, value in labels.items()
    }
    return (encoded_labels(None, torch.zeros(1), values, vocabulary) @ weight_CK.T)[0]


def test_labels_are_mapped_by_name_and_new_ones_begin_at_zero():
    weight_CK = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    carried_CK = carried_labels(weight_CK, OLD, NEW, 9)
    for labels in ({"genre": "folk"}, {"genre": "jazz"}, {"tempo": 120.0}, {"genre": "folk", "tempo": 97.0}, {}):
        torch.testing.assert_close(answer(carried_CK, NEW, **labels), answer(weight_CK, OLD, **labels))
    for labels in ({"genre": "rock"}, {"genre": "ambient"}, {"lead": "flute"}, {"mode": 1.0}):
        assert not answer(carried_CK, NEW, **labels).any()
    assert answer(weight_CK, OLD, genre="folk").any()


def conditioned(monkeypatch, folder, vocabulary, **options):
    chosen = {"conditions": "alpha+labels", "epochs": 2}
    return train_from(monkeypatch, folder, pairs(1, vocabulary), **PATCH, **chosen | options)


def maps_of(run) -> torch.Tensor:
    return run.average.state_dict()["generator.stages.0.modulate.embed.maps.labels.weight"]


def test_a_generator_answers_to_the_labels_that_it_knows(monkeypatch, tmp_path):
    before = conditioned(monkeypatch, tmp_path / "earlier", GENRES)
    run = open_from(monkeypatch, tmp_path / "new", pairs(2, OTHERS), init_from=str(tmp_path / "earlier"))
    assert run.config.data.conditions == "alpha+labels"
    old_CK, new_CK = maps_of(before), maps_of(run)
    assert torch.equal(new_CK[:, 0], old_CK[:, 1]) and old_CK[:, 1].any()  # jazz
    assert not new_CK[:, 1].any()  # rock
    x = torch.randn(2, CHANNELS, 8)
    asked = {"alpha": torch.tensor([0.3, 0.9]), "labels": torch.tensor([[0.0, 1.0]] * 2)}
    mine = {"alpha": asked["alpha"], "labels": torch.tensor([[1.0, 0.0]] * 2)}
    assert torch.equal(run.average.module(x, x, mine).output_BDT, before.average.module(x, x, asked).output_BDT)


def test_conditions_may_be_added_and_left_out(monkeypatch, tmp_path):
    """Without a change of what the generator makes at first."""
    before = conditioned(monkeypatch, tmp_path / "earlier", GENRES)
    run = open_from(monkeypatch, tmp_path / "less", pairs(2), init_from=str(tmp_path / "earlier"), conditions="alpha")
    x, alpha = torch.randn(2, CHANNELS, 8), {"alpha": torch.tensor([0.3, 0.9])}
    assert torch.equal(run.average.module(x, x, alpha).output_BDT, before.average.module(x, x, alpha).output_BDT)
    plain = train_from(monkeypatch, tmp_path / "plain", pairs(1), epochs=1, **PATCH)
    more = {"init_from": str(tmp_path / "plain"), "conditions": "alpha+labels"}
    run = open_from(monkeypatch, tmp_path / "more", pairs(2, GENRES), **more)
    both = alpha | {"labels": torch.ones(2, 2)}
    assert torch.equal(run.average.module(x, x, both).output_BDT, plain.average.module(x, x).output_BDT)
    assert not maps_of(run).any()


@pytest.mark.parametrize("conditions, left", [("alpha+labels", "alpha"), ("labels", None)])
def test_a_generator_with_labels_begins_on_a_dataset_without(monkeypatch, tmp_path, capsys, conditions, left):
    before = conditioned(monkeypatch, tmp_path / "earlier", GENRES, conditions=conditions)
    run = open_from(monkeypatch, tmp_path / "new", pairs(2), init_from=str(tmp_path / "earlier"))
    assert run.config.data.conditions == left
    assert "has no labels: the generator forgets those of" in " ".join(capsys.readouterr().out.split())
    x, alpha = torch.randn(2, CHANNELS, 8), {"alpha": torch.tensor([0.3, 0.9])}
    assert torch.equal(run.average.module(x, x, alpha).output_BDT, before.average.module(x, x, alpha).output_BDT)


def test_labels_that_are_asked_for_are_not_left_out(monkeypatch, tmp_path):
    conditioned(monkeypatch, tmp_path / "earlier", GENRES)
    more = {"init_from": str(tmp_path / "earlier"), "conditions": "alpha+labels"}
    with pytest.raises(UserError, match="the dataset in .* has no labels"):
        open_from(monkeypatch, tmp_path / "new", pairs(2), **more)
