"""Two ranks are one: gradients, weights and metrics equal those of one process on the joined batch."""

import pytest
import torch
from forked_ranks import ForkedRanks
from ranks_worker import BASE, CASES, all_cases, run, train
from training_parts import ALONE, identical

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def left_by_two(tmp_path_factory) -> list[dict]:
    """What each of two ranks is left with."""
    folder = tmp_path_factory.mktemp("ranks")
    ranks = ForkedRanks(2, run, str(folder))
    assert ranks.wait(120) == [0, 0], ranks.output(0, "err")
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def left_by_one() -> dict:
    return all_cases(ALONE)


def furthest(a: dict, b: dict) -> float:
    """Largest difference of two dicts of tensors, relative to the largest value of each tensor."""
    assert a.keys() == b.keys()
    assert all((a[name] is None) == (b[name] is None) for name in a)
    distances = [
        float((a[name] - b[name]).abs().max() / (1e-2 + b[name].abs().max())) for name in a if b[name] is not None
    ]
    return max(distances)


@pytest.mark.parametrize("case", CASES)
def test_gradients_and_weights_equal_those_of_one_process(case, left_by_two, left_by_one):
    one, two = left_by_one[case], left_by_two[0][case]
    for what in ("first gradients of d", "gradients of d", "gradients of g", "d", "g"):
        assert furthest(two[what], one[what]) < TOLERANCE, what
    assert any(gradient is not None and gradient.abs().max() > 1e-4 for gradient in one["gradients of g"].values())
    assert any(gradient is not None and gradient.abs().max() > 1e-4 for gradient in one["gradients of d"].values())


@pytest.mark.parametrize("case", CASES)
def test_both_ranks_hold_the_same_bits(case, left_by_two):
    a, b = (left[case] for left in left_by_two)
    assert identical(a, b)


@pytest.mark.parametrize("case", CASES)
def test_metrics_are_those_of_the_joined_batch(case, left_by_two, left_by_one):
    for step in range(3):
        one, two = left_by_one[case][f"metrics {step}"], left_by_two[0][case][f"metrics {step}"]
        assert two == pytest.approx(one, rel=1e-4, abs=1e-5)


def test_a_difference_would_be_seen(left_by_one):
    """The comparison's own control: another order of the samples changes gradients by more than the tolerance."""
    other = train(CASES["bce"] | {"seed": 43}, ALONE)
    assert furthest(other["gradients of d"], left_by_one["bce"]["gradients of d"]) > 100 * TOLERANCE
    assert BASE["global_batch_size"] == 4


def test_a_step_spoiled_on_one_rank_is_skipped_on_all(left_by_two, left_by_one):
    for left in (*left_by_two, left_by_one):
        assert identical(left["spoiled"]["after"], left["spoiled"]["before"])
        assert left["spoiled"]["skipped"] == [1.0, 1.0]


def test_validation_shared_out_equals_that_of_one(left_by_two, left_by_one):
    assert left_by_two[0]["validation"] == left_by_two[1]["validation"]
    assert left_by_two[0]["validation"] == pytest.approx(left_by_one["validation"], rel=1e-5)
    assert len(left_by_one["validation"]) >= 3
