"""The adaptive curriculum: alpha by validation, as a formula and as a run keeps it."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import parse
from config import make_config
from curriculum.adaptive import AdaptiveLevel, AdaptiveSpeed, Curriculum
from curriculum.alpha import AdaptiveAlpha, adapt_alpha, adapt_speed, alpha_at
from curriculum.options import AdaptiveOptions, CurriculumOptions
from errors import UserError

ceilings = st.floats(0.0, 1.0)


def adapt_over(losses, **options):
    settings = {"rate": 0.01, "start_epoch": 1, "ceiling": 1.0, "threshold": 1.0} | options
    states = [AdaptiveAlpha()]
    for epoch, loss in enumerate(losses, start=1):
        states.append(adapt_speed(states[-1], loss, epoch=epoch, **settings))
    return states[1:]


@given(st.integers(0, 60), st.floats(0.001, 0.3), ceilings)
def test_at_the_threshold_the_adaptive_curriculum_is_the_plain_one(start, rate, ceiling):
    states = adapt_over([1.0] * 80, rate=rate, start_epoch=start, ceiling=ceiling)
    plain = [alpha_at(epoch, rate, start, ceiling) for epoch in range(1, 81)]
    assert [state.alpha for state in states] == pytest.approx(plain)


def test_adaptive_alpha_slows_and_speeds_up():
    slowed = adapt_over([None, 2.0, 2.0, float("nan"), 0.5])
    speeds = [1.0, 0.9, 0.81, 0.729, 0.8019]
    assert [state.speed for state in slowed] == pytest.approx(speeds)
    assert [state.alpha for state in slowed] == pytest.approx([0.01 * sum(speeds[: i + 1]) for i in range(5)])


def test_losses_of_the_music_phase_do_not_count():
    assert [state.speed for state in adapt_over([9.0] * 10, start_epoch=11)] == [1.0] * 10


@given(st.lists(st.floats(0, 2) | st.just(float("nan")), min_size=1, max_size=80), st.floats(0, 0.5))
def test_adaptive_alpha_is_bounded_and_never_moves_backwards(losses, floor):
    states = adapt_over(losses, ceiling=0.6, floor=floor)
    alphas = [state.alpha for state in states]
    assert alphas == sorted(alphas) and floor <= alphas[0] and alphas[-1] <= 0.6
    assert all(0.1 <= state.speed <= 10 for state in states)


def test_adaptive_state_survives_a_checkpoint():
    whole = adapt_over([None, 2.0, 0.5, 0.5])
    kept = AdaptiveAlpha(**asdict(adapt_over([None, 2.0])[-1]))
    for epoch in (3, 4):
        kept = adapt_speed(kept, 0.5, epoch=epoch, rate=0.01, start_epoch=1, ceiling=1.0, threshold=1.0)
    assert kept == whole[-1]


# --- alpha itself ---------------------------------------------------------------------------------------------------


def level_over(losses, **options):
    settings = {"rate": 0.2, "start_epoch": 1, "ceiling": 1.0, "threshold": 1.0} | options
    states = [AdaptiveAlpha()]
    for epoch, loss in enumerate(losses, start=1):
        states.append(adapt_alpha(states[-1], loss, epoch=epoch, **settings))
    return [state.alpha for state in states[1:]]


def test_alpha_itself_is_multiplied():
    """x 1.1 under the threshold, x 0.9 over it or not finite, unchanged at it or without a validation."""
    losses = [None, 0.5, 0.5, 2.0, float("nan"), 1.0, None, 0.999]
    factors = [1.1, 1.1, 0.9, 0.9, 1, 1, 1.1]
    expected = [0.2]
    for factor in factors:
        expected.append(max(0.2, expected[-1] * factor))  # the first step is the floor
    assert level_over(losses) == pytest.approx(expected)
    assert level_over([9.0] * 4, rate=0.5, floor=0.1) == pytest.approx([0.5, 0.45, 0.405, 0.3645])


def test_alpha_is_bounded_from_below_and_above():
    assert level_over([9.0] * 30, floor=0.15)[-1] == 0.15 < 0.2  # a floor under the first step is reached
    assert level_over([9.0] * 5, floor=0.4) == [0.4] * 5  # and one over it is where noise begins
    assert level_over([9.0] * 5) == [0.2] * 5  # without a floor of its own the first step is one
    assert level_over([0.0] * 30, ceiling=0.7)[-1] == 0.7
    assert level_over([0.0] * 3, ceiling=0.1) == [0.1] * 3  # the ceiling wins over the rate and the floor


@given(st.lists(st.floats(0, 2) | st.just(float("nan")), min_size=1, max_size=80), st.floats(0, 0.5))
def test_alpha_never_leaves_its_bounds(losses, floor):
    alphas = level_over(losses, ceiling=0.6, floor=floor)
    assert all((floor or 0.2) <= alpha <= 0.6 for alpha in alphas)
    for before, after, loss in zip(alphas, alphas[1:], losses[1:], strict=False):
        assert after >= before if loss < 1 else after <= before


def test_it_goes_back_where_the_other_form_only_slows_down():
    losses = [0.5, 0.5, 2.0, 2.0]
    (level, _), (speed, _) = (run_over(losses, adaptive_alpha=form, pure_gan_mode=0.2) for form in ("level", "speed"))
    assert level == pytest.approx([0.2, 0.22, 0.242, 0.2178])
    assert speed == sorted(speed) and level[-1] < level[-2]


def test_music_lasts_until_the_start_epoch():
    alphas, curriculum = run_over([0.5] * 5, adaptive_alpha="level", gan_curriculum_start_epoch=4)
    assert alphas == pytest.approx([0, 0, 0, 0.1, 0.11]) and curriculum.state.alpha == pytest.approx(0.121)


@pytest.mark.parametrize("given_as", [True, "true", "yes", "level"])
def test_the_bare_option_is_alpha_itself(given_as):
    config = make_config({"pure_gan_mode": 0.1, "adaptive_alpha": given_as})
    assert config.curriculum.adaptive_alpha == "level"
    assert isinstance(config.chosen("adaptive_alpha").build(config.curriculum), AdaptiveLevel)
    assert parse(["--pure_gan_mode", "0.1", "--adaptive_alpha"]).flat()["adaptive_alpha"] == "level"
    assert make_config({"adaptive_alpha": False}).curriculum.adaptive_alpha == "none"


# --- as a run keeps it ---------------------------------------------------------------------------------------------

ADAPTIVE = {"pure_gan_mode": 0.1, "adaptive_alpha": "speed", "adaptive_alpha_threshold": 1.0}


def built(**options):
    """The curriculum of a run with these options."""
    own = {name: options.pop(name) for name in AdaptiveOptions.model_fields if name in options}
    kind = {"level": AdaptiveLevel, "speed": AdaptiveSpeed}[options.get("adaptive_alpha", "speed")]
    return kind(AdaptiveOptions(**own), CurriculumOptions(**options))


def run_over(losses, **options):
    """Alpha of each epoch, the validation after epoch k + 1 having measured `losses[k]`."""
    curriculum = built(**ADAPTIVE | options)
    alphas = []
    for k, loss in enumerate(losses):
        alphas.append(curriculum.state.alpha)
        curriculum.end_of_epoch(k + 1, alphas[-1], loss)
    return alphas, curriculum


def test_each_validation_changes_the_next_step_of_alpha():
    """Under the threshold by 1.1, over it by 0.9, without a validation not at all."""
    alphas, curriculum = run_over([0.5, 0.5, 2.0, None, 2.0, 0.5])
    speeds = [1.0, 1.1, 1.21, 1.21 * 0.9, 1.21 * 0.9, 1.21 * 0.81]
    assert alphas == pytest.approx([0.1 * sum(speeds[: k + 1]) for k in range(6)])
    assert curriculum.state.speed == pytest.approx(1.21 * 0.81 * 1.1)


def test_it_waits_for_its_start_and_ends_at_its_ceiling():
    alphas, _ = run_over([0.5] * 40, gan_curriculum_start_epoch=4, gan_noise_ceiling=0.6)
    assert alphas[:3] == [0, 0, 0] and alphas[3] == pytest.approx(0.1) and alphas[-1] == 0.6
    assert alphas == sorted(alphas)


def test_it_has_a_floor_from_its_first_noisy_epoch_on():
    assert run_over([9.0] * 10, adaptive_alpha_floor=0.4)[0][:3] == pytest.approx([0.4, 0.49, 0.571])
    late, _ = run_over([9.0] * 5, adaptive_alpha_floor=0.4, gan_curriculum_start_epoch=3)
    assert late[:4] == pytest.approx([0, 0, 0.4, 0.49])


@given(st.integers(0, 30), st.floats(0.001, 0.5), ceilings)
def test_at_the_threshold_a_run_follows_the_plain_curriculum(start, rate, ceiling):
    alphas, _ = run_over([1.0] * 40, pure_gan_mode=rate, gan_curriculum_start_epoch=start, gan_noise_ceiling=ceiling)
    assert alphas == pytest.approx([alpha_at(epoch, rate, start, ceiling) for epoch in range(1, 41)])


def test_the_default_threshold_is_half_as_much_again_as_when_noise_began():
    options = {"pure_gan_mode": 0.01, "adaptive_alpha_threshold": None, "gan_curriculum_start_epoch": 3}
    curriculum = built(**ADAPTIVE | options)
    assert curriculum.threshold is None and curriculum.began is None
    for epoch, loss in enumerate((5.0, 2.0), start=1):
        curriculum.end_of_epoch(epoch, 0.0, loss)
    assert curriculum.threshold == 3.0 and curriculum.began == 2.0
    curriculum.end_of_epoch(3, 0.01, 3.1)
    assert curriculum.state.speed == pytest.approx(0.9) and curriculum.threshold == 3.0
    curriculum.end_of_epoch(4, 0.019, 2.9)
    assert curriculum.state.speed == pytest.approx(0.99)


def test_noise_from_the_first_epoch_on_is_compared_with_the_first_validation():
    curriculum = built(**ADAPTIVE | {"adaptive_alpha_threshold": None})
    curriculum.end_of_epoch(1, 0.1, None)
    assert curriculum.threshold is None and curriculum.state == AdaptiveAlpha(0.2, 1.0)
    curriculum.end_of_epoch(2, 0.2, 4.0)
    assert curriculum.threshold == 6.0 and curriculum.state.speed == 1.1


def test_without_the_option_alpha_is_left_to_the_plain_curriculum():
    curriculum = Curriculum(AdaptiveOptions(), CurriculumOptions(pure_gan_mode=0.1))
    before = curriculum.state
    for epoch in range(1, 6):
        curriculum.end_of_epoch(epoch, 0.1 * epoch, 9.0)
    assert curriculum.state == before and curriculum.began == 9.0
    assert [curriculum.alpha(epoch) for epoch in (1, 5, 20)] == pytest.approx([0.1, 0.5, 1.0])


@pytest.mark.parametrize("form", ["level", "speed"])
@given(st.lists(st.floats(0.1, 3.0) | st.none(), min_size=2, max_size=20), st.integers(1, 19), st.booleans())
def test_kept_and_restored_it_goes_on_alike(form, losses, cut, given_threshold):
    options = ADAPTIVE | {"adaptive_alpha": form} | ({} if given_threshold else {"adaptive_alpha_threshold": None})
    whole, kept = built(**options), built(**options)
    for epoch, loss in enumerate(losses, start=1):
        for curriculum in (whole, kept):
            curriculum.end_of_epoch(epoch, curriculum.state.alpha, loss)
        if epoch == cut:
            state = json.loads(json.dumps(kept.state_dict()))
            kept = built(**options)
            kept.load_state_dict(state)
    assert kept.state_dict() == whole.state_dict() and kept.threshold == whole.threshold


def test_the_state_is_alpha_speed_and_where_noise_began():
    _, curriculum = run_over([2.0, 0.5])
    assert curriculum.state_dict() == {"alpha": curriculum.state.alpha, "speed": pytest.approx(0.99), "began": 2.0}
    with pytest.raises(KeyError):
        curriculum.load_state_dict({"alpha": 0.5})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"adaptive_alpha": True}, "--pure_gan_mode"),
        *(
            ({"pure_gan_mode": 0.1, name: 0.2}, f"{name} is an option of --adaptive_alpha level or speed, not of none")
            for name in ("adaptive_alpha_floor", "adaptive_alpha_threshold")
        ),
    ],
)
def test_options_without_effect_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        make_config(options)
