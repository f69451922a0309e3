"""Thresholds of the verdicts come as one block: on the command line, in a file, from a run of an earlier version."""

import pytest
from test_health import doctor_of, window

from command_line import parse
from config import make_config
from errors import UserError
from monitoring.options import HealthThresholds


def thresholds(*arguments: str) -> HealthThresholds:
    return parse(list(arguments)).health.health


def test_without_a_block_all_are_at_their_defaults():
    assert thresholds() == HealthThresholds()


def test_a_block_on_the_command_line_changes_what_it_names():
    assert thresholds("--health", "window=5,val_rise=0.7") == HealthThresholds(window=5, val_rise=0.7)
    assert thresholds("--health", " window = 5 , on_collapse=stop") == HealthThresholds(window=5, on_collapse="stop")


def test_a_block_in_a_file_and_the_command_line_over_it(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("health:\n  window: 6\n  diversity: 0.05\n")
    assert thresholds("--config", str(path)) == HealthThresholds(window=6, diversity=0.05)
    assert thresholds("--config", str(path), "--health", "window=7").window == 7


def test_the_single_options_of_earlier_versions_are_understood(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("health_window: 6\nhealth_val_rise: 0.7\non_collapse: stop\nlr: 0.001\n")
    config = parse(["--config", str(path)])
    assert config.health.health == HealthThresholds(window=6, val_rise=0.7, on_collapse="stop")
    assert config.optimizer.lr == 1e-3


def test_a_run_writes_down_the_whole_block_and_reads_it_again():
    config = make_config({"health": {"window": 9}})
    assert config.flat()["health"] == HealthThresholds(window=9).model_dump()
    assert make_config(config.flat()).health == config.health
    assert config.replace(lr=1e-3).health == config.health


@pytest.mark.parametrize(
    "given, complaint",
    [
        ("windows=5", "--health: unknown name windows; did you mean window?"),
        ("window=3", "--health.window 3 is not possible: it must be greater than or equal to 4"),
        ("window=many", "--health.window many is not possible"),
        ("d_accuracy=nan", "--health.d_accuracy nan is not possible"),
        ("on_collapse=panic", "--health.on_collapse panic is not possible: it must be 'warn' or 'stop'"),
        ("5", "--health 5 is not possible: write name=value,name=value"),
        ("window=5,", "write name=value,name=value"),
        ("=5", "write name=value,name=value"),
    ],
)
def test_a_wrong_block_is_one_sentence(given, complaint):
    with pytest.raises(UserError) as caught:
        thresholds("--health", given)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("given", [{"windows": 5}, {"window": 3}, [5], 7, None, {"window": None}])
def test_a_wrong_block_in_a_file_is_one_sentence(given):
    with pytest.raises(UserError, match="health") as caught:
        make_config({"health": given})
    assert "\n" not in str(caught.value)


def test_the_doctor_of_a_run_goes_by_the_block():
    def verdict_after(count, **health):
        doctor = doctor_of(make_config({"health": health}))
        for line in window(count):
            doctor.see(line)
        return doctor.verdicts[0].name

    assert verdict_after(5, window=5) == verdict_after(20) == "balanced"
    assert verdict_after(5) == verdict_after(5, window=6) == "warming up"
