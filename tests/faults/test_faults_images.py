"""Exact resume of the image recipes: what is killed and resumed is the run that would have been."""

import random

import pytest
from fault_data import RECIPES, make_sprites, options_of
from fault_runs import assert_same_run, board_steps, kill_tree, lines, run, start


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    return make_sprites(tmp_path_factory.mktemp("data") / "images")


@pytest.fixture(scope="module")
def untouched(tmp_path_factory, sprites):
    """untouched(recipe, ranks) -> the folder of a run to its end."""
    done = {}

    def folder_of(recipe: str, ranks: int):
        if (recipe, ranks) not in done:
            done[recipe, ranks] = tmp_path_factory.mktemp("untouched") / "run"
            run(done[recipe, ranks], sprites, ranks=ranks, faults={}, **options_of(recipe))
        return done[recipe, ranks]

    return folder_of


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_twice_and_resumed_on_one_rank(recipe, tmp_path, sprites, untouched):
    folder, options = tmp_path / "run", options_of(recipe)
    first, second = random.randint(4, 18), random.randint(21, 38)
    print("killed at steps", first, second)
    run(folder, sprites, faults={"kill": {"step": first}}, code=-9, **options)
    run(folder, sprites, faults={"kill": {"step": second}}, code=-9, resume="auto", **options)
    assert "resumed from" in run(folder, sprites, faults={}, resume="auto", **options).output
    assert_same_run(folder, untouched(recipe, 1))
    assert board_steps(folder) == [line["step"] for line in lines(folder) if "loss/g_total" in line]


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_and_resumed_on_two_ranks(recipe, tmp_path, sprites, untouched):
    folder, options = tmp_path / "run", options_of(recipe)
    program = start(folder, sprites, ranks=2, faults={"slow_steps": {"seconds": 0.2}}, **options)
    program.wait_for_step(folder, random.randint(4, 12))
    kill_tree(program.process.pid)
    program.end()
    run(folder, sprites, ranks=2, faults={}, resume="auto", **options)
    assert_same_run(folder, untouched(recipe, 2))


def test_an_update_that_is_not_finite_is_skipped(tmp_path, sprites):
    program = run(tmp_path / "run", sprites, faults={"nan_real": {"first": 5, "last": 6}}, **options_of("dcgan"))
    assert lines(tmp_path / "run")[-1]["health"]
    assert lines(tmp_path / "run")[-2]["skipped/d"] == 2, program.output
