"""Objectives and regressions by name: what the registries list, what the room exports."""

import pytest
import torch

import losses
from config import make_config
from errors import UserError
from losses import adversarial, reconstruction
from losses.options import OBJECTIVES, RECONSTRUCTION


def test_the_registries_list_these_losses():
    assert {name: part.load() for name, part in OBJECTIVES.items()} == {
        "bce": adversarial.bce,
        "hinge": adversarial.hinge,
        "lsgan": adversarial.lsgan,
        "wgan-gp": adversarial.wasserstein,
        "rpgan": adversarial.relativistic,
        "arc": adversarial.arc,
    }
    assert {name: part.load() for name, part in RECONSTRUCTION.items()} == {
        "rmse": reconstruction.rmse,
        "l1": reconstruction.l1,
        "mse": reconstruction.mse,
        "huber": reconstruction.huber,
    }
    assert not (OBJECTIVES.joinable or RECONSTRUCTION.joinable)


def test_every_objective_says_whether_it_holds_the_last_bias():
    assert {name: part.facts["final_bias"] for name, part in OBJECTIVES.items()} == {
        "bce": True, "hinge": True, "lsgan": True, "wgan-gp": False, "rpgan": False, "arc": False
    }  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_built_from_the_options_of_a_run(name):
    more = {"conditions": "alpha"} if name == "arc" else {}
    objective = make_config({"gan_loss": name} | more).chosen("gan_loss").build()
    assert isinstance(objective, adversarial.Objective)
    logits_B = torch.zeros(2)
    assert objective.discriminator(logits_B, logits_B).shape == objective.generator(logits_B, logits_B).shape == (2,)


@pytest.mark.parametrize("name", RECONSTRUCTION)
def test_a_regression_is_chosen_by_its_name(name):
    measure = make_config({"loss_reconstruction": name}).chosen("loss_reconstruction").part.load()
    assert measure is getattr(reconstruction, name)


def test_wrong_regressions_are_the_users_errors():
    with pytest.raises(UserError, match="'rmse', 'l1', 'mse' or 'huber'"):
        make_config({"loss_reconstruction": "l2"})


def test_the_room_exports_these_names():
    from losses import OBJECTIVES as objectives
    from losses import Objective, Regulariser, exact_penalty, feature_matching, mask_balance

    assert objectives is OBJECTIVES and Objective is adversarial.Objective and Regulariser is adversarial.Regulariser
    assert all(map(callable, (exact_penalty, feature_matching, mask_balance)))
    wanted = {"RECONSTRUCTION", "centring", "finite_difference_penalty", "interpolate_penalty", "mask_regularisation"}
    assert wanted | {"multi_resolution_stft", "log_mel_l1", "envelope_correlation", "complementarity"} <= set(
        losses.__all__
    )
    assert set(losses.__all__) <= set(dir(losses))
    with pytest.raises(AttributeError):
        losses.choose_objective  # noqa: B018
