"""Distillation: the target of the regression is what an earlier generator makes of the same noise in several steps."""

import shutil
from dataclasses import replace

import pytest
import torch
from option_observers import labelled_trainer
from training_parts import (
    TINY,
    WholePairs,
    identical,
    move,
    plan_for,
    take_batches,
    train_on,
    trainer_at,
    weights_of,
)

from config import make_config
from errors import UserError
from synthesis.loading import load_generator
from synthesis.sampler import sample
from training.distillation import check_same_teacher

PATCH = {"generator": "patch", "width": 16, "num_layers": 1, "num_transformer_layers": 1, "conditions": "alpha"}
NOISE = {
    "loss_reconstruction": "mse",
    "pure_gan_mode": 1.0,
    "gan_curriculum_start_epoch": 1,
    "easy_share": 0.5,
    "unity_test": True,
}
DISTILLED = PATCH | NOISE | {"distil_passes": 3, "init_from": "elsewhere"}


def config_of(**options):
    return make_config(TINY | DISTILLED | options)


def set_up(step: int = 0, **options):
    return trainer_at(config_of(**options), step)


def test_the_target_is_made_of_the_same_noise_in_several_steps():
    trainer, batch, plan = set_up()
    move(trainer.teacher.network)
    view = trainer.view(batch, plan)
    assert plan.alpha_B.min() < 0.9 and 1.0 in plan.alpha_B, "some from noise alone, some from less"
    for b, alpha in enumerate(plan.alpha_B.tolist()):
        sources = view.source_input_BDT[b : b + 1], view.source_target_BDT[b : b + 1]

        def one_step(x, y, level):
            return trainer.teacher.network(x, y, conditions={"alpha": torch.tensor([level])}).output_BDT

        expected = sample(one_step, *sources, alpha, 3, within=trainer.space.within)
        torch.testing.assert_close(view.target_BDT[b : b + 1], expected)
        assert not torch.allclose(expected, one_step(*sources, alpha), atol=1e-3), "one step is something else"
    assert torch.equal(view.input_BDT, view.target_BDT)


def test_the_discriminator_s_reals_are_music():
    trainer, batch, plan = set_up()
    assert torch.equal(trainer.view(batch, plan).real_BDT, trainer.normalise(batch.real_BDT))


def test_the_generator_learns_it_and_the_teacher_does_not_learn():
    trainer, batch, plan = set_up(gan_weight=0.0, lr=1e-2, dropout=0.0)
    move(trainer.teacher.network)
    trainer.generator.load_state_dict(trainer.teacher.network.state_dict())
    before, losses = weights_of(trainer.teacher.network), []
    for _ in range(150):
        losses.append(float(trainer.step(batch, plan)["loss/recon"]))
    assert losses[-1] < 0.2 * losses[0]
    assert identical(weights_of(trainer.teacher.network), before)
    assert not trainer.teacher.network.training


def test_the_teacher_knows_the_labels():
    trainer, batch, plan = set_up()
    seen = []
    conditioning = trainer.conditioning
    trainer.teacher.conditioning = lambda alpha, labels, like: (
        seen.append((alpha, labels)) or conditioning(alpha, labels, like)
    )
    trainer.view(batch, plan)
    assert len(seen) == 3 and batch.labels
    assert all(torch.equal(labels[name], batch.labels[name]) for _, labels in seen for name in batch.labels)
    assert torch.equal(seen[0][0], plan.alpha_B.clamp_min(1e-4))


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_the_teacher_s_labels_are_emphasised_as_in_generation(guidance):
    """Ho & Salimans 2022, equation 6: unlabelled + guidance x (labelled - unlabelled), in every step."""
    config = config_of(conditions="alpha+labels", label_dropout=0.3, distil_guidance=guidance)
    trainer, batch = labelled_trainer(config), take_batches(config, 1)[0]
    plan = plan_for(config, batch)
    move(trainer.teacher.network)
    view = trainer.view(batch, plan)
    labels = trainer.labels(batch.labels, batch.indices)
    assert trainer.conditioning.known_labels and any(value_B.isnan().any() for value_B in labels.values())

    def one_step(x, y, level):
        with_them, without = (
            trainer.teacher.network(x, y, conditions=trainer.conditioning(level, some, x)).output_BDT
            for some in (labels, {})
        )
        return without + guidance * (with_them - without)

    sources = view.source_input_BDT, view.source_target_BDT
    expected = sample(one_step, *sources, plan.alpha_B, 3, within=trainer.space.within)
    torch.testing.assert_close(view.target_BDT, expected, rtol=1e-4, atol=1e-4)


# --- whole runs ----------------------------------------------------------------------------------------------------

RUN = {"sample_every": 0, "num_threads": 1, "log_every": 1, "save_every_minutes": 0.0, "batch_size": 4}


def go(monkeypatch, folder, **options):
    pairs = WholePairs(8, 12, TINY["encoding_dim"], random=True)
    return train_on(pairs, monkeypatch, make_config(TINY | RUN | {"checkpoint_dir": str(folder)} | options))


@pytest.fixture
def earlier(monkeypatch, tmp_path):
    go(monkeypatch, tmp_path / "earlier", **PATCH, **NOISE, epochs=3, lr=1e-2)
    return str(tmp_path / "earlier")


def test_a_run_imitates_the_generator_with_which_it_began(monkeypatch, tmp_path, earlier):
    run = go(monkeypatch, tmp_path / "new", **PATCH, **NOISE, init_from=earlier, distil_passes=2, epochs=2)
    teacher = dict(load_generator(earlier).network.state_dict())
    assert identical(dict(run.trainer.teacher.network.state_dict()), teacher)
    assert not identical(dict(run.trainer.generator.state_dict()), teacher)


def test_a_resumed_run_keeps_its_guidance(monkeypatch, tmp_path, earlier):
    options = PATCH | NOISE | {"init_from": earlier, "distil_passes": 2, "epochs": 3}
    go(monkeypatch, tmp_path / "cut", **options, distil_guidance=2.0, max_steps=1)
    with pytest.raises(UserError, match="--distil_guidance 1 contradicts the checkpoint, which was trained with 2"):
        go(monkeypatch, tmp_path / "cut", **PATCH, distil_guidance=1.0, resume="auto")


def test_a_checkpoint_of_before_guidance_had_none():
    with pytest.raises(UserError, match="--distil_guidance 2 contradicts the checkpoint, which was trained with 1"):
        check_same_teacher(config_of(distil_guidance=2.0), {"distil_passes": 3})
    check_same_teacher(config_of(), {"distil_passes": 3})


@pytest.mark.parametrize("conditions, remarked", [("alpha", True), ("alpha+labels", False)])
def test_guidance_without_labels_is_remarked_on(conditions, remarked):
    remarks = config_of(conditions=conditions, distil_guidance=2.0).remarks()
    assert any("distil_guidance has no effect without labels" in text for text in remarks) is remarked


def test_resumed_it_is_the_same_run(monkeypatch, tmp_path, earlier):
    """Also after the generator that it began with is gone."""
    options = PATCH | NOISE | {"init_from": earlier, "distil_passes": 2, "epochs": 3}
    through = go(monkeypatch, tmp_path / "through", **options)
    go(monkeypatch, tmp_path / "cut", **options, max_steps=3)
    shutil.rmtree(earlier)
    again = go(monkeypatch, tmp_path / "cut", **PATCH, resume="auto")
    assert again.counters.step == through.counters.step == 6
    assert identical(weights_of(again.trainer.generator), weights_of(through.trainer.generator))
    assert identical(weights_of(again.trainer.teacher.network), weights_of(through.trainer.teacher.network))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"init_from": None}, "--distil_passes needs --init_from"),
        ({"init_from": None, "resume": "auto"}, "--distil_passes needs --init_from"),
        ({"unity_test": False}, "distil_passes needs unity_test"),
        ({"mask_type": "hybrid"}, "distil_passes needs unity_test and no mask_type"),
        ({"loss_weight_input": 0.0, "loss_weight_target": 0.0}, "distil_passes needs loss_weight_input"),
        ({"pure_gan_mode": 0.0, "easy_share": 0.0}, "distil_passes needs pure_gan_mode"),
        ({"lr_schedule": "plateau"}, "does not go with schedules that follow the validation loss"),
        ({"adaptive_alpha": "speed"}, "does not go with schedules that follow the validation loss"),
    ],
)
def test_what_it_needs(monkeypatch, tmp_path, earlier, options, said):
    values = PATCH | NOISE | {"init_from": earlier, "distil_passes": 2} | options
    with pytest.raises(UserError, match=said):
        go(monkeypatch, tmp_path / "new", **values)


def test_a_generator_of_one_step_cannot_be_imitated_in_several(monkeypatch, tmp_path):
    go(monkeypatch, tmp_path / "earlier", **PATCH, **NOISE | {"easy_share": 0.0}, epochs=1)
    more = PATCH | NOISE | {"init_from": str(tmp_path / "earlier"), "distil_passes": 2}
    with pytest.raises(UserError, match="--distil_passes 2 is not possible with the generator in .*easy_share over 0"):
        go(monkeypatch, tmp_path / "new", **more)


def test_a_generator_of_less_noise_cannot_be_imitated_from_more(monkeypatch, tmp_path):
    go(monkeypatch, tmp_path / "earlier", **PATCH, **NOISE, gan_noise_ceiling=0.5, epochs=1)
    more = PATCH | NOISE | {"init_from": str(tmp_path / "earlier"), "distil_passes": 2}
    with pytest.raises(UserError, match="knows noise up to 0.5, not 1; give --gan_noise_ceiling 0.5"):
        go(monkeypatch, tmp_path / "new", **more)


@pytest.mark.parametrize("before, after", [(0, 2), (2, 0)])
def test_a_resumed_run_neither_begins_nor_ends_to_imitate(monkeypatch, tmp_path, earlier, before, after):
    options = PATCH | NOISE | {"init_from": earlier, "epochs": 3}
    go(monkeypatch, tmp_path / "cut", **options, distil_passes=before, max_steps=1)
    with pytest.raises(UserError, match=f"--distil_passes {after} contradicts the checkpoint, .* with {before}"):
        go(monkeypatch, tmp_path / "cut", **options, distil_passes=after, resume="auto")


def test_nor_with_another_regression(monkeypatch, tmp_path, earlier):
    options = PATCH | NOISE | {"init_from": earlier, "epochs": 3, "distil_passes": 2}
    go(monkeypatch, tmp_path / "cut", **options, max_steps=1)
    with pytest.raises(UserError, match="--distil_passes 0 contradicts the checkpoint, which was trained with 2"):
        go(monkeypatch, tmp_path / "cut", **PATCH, loss_reconstruction="rmse", resume="auto")


def test_the_teacher_works_only_where_the_generator_is_trained():
    trainer, batch, plan = set_up()
    calls = []
    trainer.teacher.network.register_forward_hook(lambda *_: calls.append(1))
    trainer.view(batch, replace(plan, train_g=False))
    assert not calls
    trainer.view(batch, plan)
    assert len(calls) == 3
