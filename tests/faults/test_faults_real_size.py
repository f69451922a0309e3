"""Exact resume at real sizes, on the default number of threads: recipes as they stand, killed and resumed."""

import pytest
from fault_runs import ROOT, TINY, assert_same_state, lines, run

STEPS, KILLED = 4, 3
# The discriminator joins early, so that both updates are among the few steps.
JOINS = {"g_pretrain_steps": 1, "adv_ramp_steps": 2, "penalty_every": 2}
RECIPES = {
    "classic": {},
    "demo": JOINS,
    "small": JOINS,
    "one_pass": {"init_from": ROOT / "pretrained" / "demo", "global_batch_size": 4},
    "decoder": {"global_batch_size": 4},
    "vocoder": {"global_batch_size": 4, "g_pretrain_steps": 1, "adv_ramp_steps": 2},
}


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Pairs of four-second clips."""
    from kinds.audio.preparing.prepare import Options, prepare

    folder = tmp_path_factory.mktemp("songs") / "pairs"
    prepare(Options(demo="songs", demo_songs=4, workers=1, output_dir=folder))
    return folder


@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_and_resumed_at_real_size(recipe, songs, tmp_path):
    options = dict.fromkeys(TINY) | RECIPES[recipe] | {"config": ROOT / "recipes" / f"{recipe}.yaml"}
    options |= {"max_steps": STEPS, "save_every_steps": 2, "log_every": 1, "sample_every": 0}
    through, stopped = tmp_path / "through", tmp_path / "stopped"
    run(through, songs, faults={}, **options)
    run(stopped, songs, faults={"kill": {"step": KILLED}}, code=-9, **options)
    run(stopped, songs, faults={}, resume="auto", **options)
    assert [line["step"] for line in lines(through)] == list(range(1, STEPS + 1))
    by_regression_alone = recipe in ("decoder", "one_pass")
    assert ("loss/d" in lines(through)[-1]) != by_regression_alone
    assert lines(stopped) == lines(through)
    assert_same_state(stopped, through)
