"""Exact resume of the image recipes: what is killed and resumed is the run that would have been."""

import random

import pytest
from fault_runs import ROOT, TINY, assert_same_run, board_steps, kill_tree, lines, run, start

import prepare_dataset

RECIPES = {
    "dcgan": {"gen_width": 4, "noise_size": 8, "encoding_dim": 3, "classifier_width": 4, "disc_dropout": 0.1},
    "super_resolution": {"blocks": 1, "block_width": 4, "g_pretrain_steps": 10, "adv_ramp_steps": 10},
}
SMALL = {"disc_width": 4, "batch_size": 2, "epochs": 4, "val_every": 2, "save_every": 2, "save_every_steps": 3,
         "save_every_minutes": 0, "log_every": 1, "sample_every": 0, "num_threads": 1}  # fmt: skip


@pytest.fixture(scope="module")
def sprites(tmp_path_factory):
    """20 training and 4 validation images."""
    folder = tmp_path_factory.mktemp("data") / "images"
    options = ["--kind", "images", "--demo", "sprites", "--count", "24", "--size", "16", "--val_fraction", "0.17"]
    assert prepare_dataset.main([*options, "--output_dir", str(folder)]) == 0
    return folder


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


def options_of(recipe: str) -> dict:
    return dict.fromkeys(TINY) | {"config": ROOT / "recipes" / f"{recipe}.yaml"} | SMALL | RECIPES[recipe]


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
