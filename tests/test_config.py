"""The options: names, defaults and ranges that users rely on, and one sentence for whatever is wrong."""

import math

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from option_facts import BOOLEANS, FIELDS, FLOATS, INTEGERS, limits, owner_of, refused, words_of

from command_line import parse
from config import make_config
from errors import UserError
from runtime.files import read_yaml

# What users of this kind of trainer already type, with the values that they know.
KNOWN_DEFAULTS = yaml.safe_load("""
{encoding_dim: 128, nhead: 8, num_layers: 4, num_transformer_layers: 2, dropout: 0.1, anti_cheating: 0.0,
codec: null, codec_weights: null,
dataset_folder: dataset_pairs_wav, train_dir: null, val_dir: null, shuffle_targets: false, unity_test: false,
epochs: 200, batch_size: 8, lr: 0.0001, weight_decay: 0.01, patience: 20, seed: 42,
checkpoint_dir: checkpoints, save_every: 10, resume: null,
loss_weight_input: 0.3, loss_weight_target: 0.3, loss_weight_spectral: 0.0, loss_weight_mel: 0.0, corr_weight: 0.0,
mask_type: none,
use_creative_agent: false, use_compositional_agent: false, mask_reg_weight: 0.1, balance_loss_weight: 5.0,
gan_weight: 0.15, disc_update_freq: 1, disc_dropout: 0.3, log_every: 10, sample_every: 5,
pure_gan_mode: 0.0, gan_curriculum_start_epoch: 1, gan_noise_ceiling: 1.0}
""")

# Those of parts that are not chosen by default: what chooses them.
PART_DEFAULTS = {
    "--codec encodec_24khz": {"encodec_sr": 24000, "encodec_bandwidth": 6.0},
    "--mask_type temporal": {"mask_temporal_segment": 150},
    "--mask_type frequency": {"mask_freq_split": 0.3},
    "--mask_type hybrid": {"mask_temporal_segment": 150, "mask_freq_split": 0.3},
    "--mask_type spectral": {"mask_channel_keep": 0.5},
    "--mask_type energy": {"mask_energy_threshold": 0.7},
}

COMMANDS = {
    "--pure_gan_mode 0.01": {"pure_gan_mode": 0.01},
    "--train_dir dataset_pairs_wav/train --val_dir dataset_pairs_wav/val --checkpoint_dir checkpoints_pure_gan "
    "--epochs 200 --pure_gan_mode 0.01 --gan_curriculum_start_epoch 51 --gan_weight 0.15": {
        "train_dir": "dataset_pairs_wav/train",
        "val_dir": "dataset_pairs_wav/val",
        "checkpoint_dir": "checkpoints_pure_gan",
        "gan_curriculum_start_epoch": 51,
    },
    "--pure_gan_mode 0.02 --gan_curriculum_start_epoch 26": {"gan_curriculum_start_epoch": 26},
    "--pure_gan_mode 0.005 --gan_curriculum_start_epoch 101": {"pure_gan_mode": 0.005},
    "--resume checkpoints/checkpoint_epoch_50.pt --pure_gan_mode 0.01 --gan_curriculum_start_epoch 51 --epochs 200": {
        "resume": "checkpoints/checkpoint_epoch_50.pt"
    },
    "--loss_weight_input 0.3 --loss_weight_target 0.3 --gan_weight 0.15 --mask_reg_weight 0.5 "
    "--balance_loss_weight 15.0": {"mask_reg_weight": 0.5, "balance_loss_weight": 15.0},
    "--shuffle_targets --mask_reg_weight 1.0 --balance_loss_weight 20.0": {
        "shuffle_targets": True,
        "mask_reg_weight": 1.0,
    },
    "--pure_gan_mode 0.01 --gan_curriculum_start_epoch 86 --gan_noise_ceiling 0.3 --checkpoint_dir "
    "checkpoints_GAN_30 --epochs 150": {"gan_noise_ceiling": 0.3, "epochs": 150},
}


def test_defaults_are_the_known_ones():
    config = parse([])
    flat = config.flat()
    assert {name: flat[name] for name in KNOWN_DEFAULTS} == KNOWN_DEFAULTS
    assert config.optimizer.discriminator_lr == 0.5 * config.optimizer.lr


@pytest.mark.parametrize("words", PART_DEFAULTS)
def test_defaults_of_parts_are_the_known_ones(words):
    flat = parse(words.split()).flat()
    assert {name: flat[name] for name in PART_DEFAULTS[words]} == PART_DEFAULTS[words]


@pytest.mark.parametrize("command", COMMANDS)
def test_known_commands_parse(command):
    flat, defaults = parse(command.split()).flat(), parse([]).flat()
    for name, value in COMMANDS[command].items():
        assert flat[name] == value
    untouched = set(defaults) - {word[2:] for word in command.split() if word.startswith("--")}
    assert {name: flat[name] for name in untouched} == {name: defaults[name] for name in untouched}


def test_weights_of_learned_masks_without_any_are_remarked_upon():
    (remark,) = parse(["--mask_reg_weight", "0.5", "--balance_loss_weight", "15"]).remarks()
    assert "mask_reg_weight and balance_loss_weight" in remark and "--use_creative_agent" in remark
    assert parse(["--mask_reg_weight", "0.5", "--use_creative_agent"]).remarks() == []
    (remark,) = parse(["--shuffle_targets", "--unity_test"]).remarks()
    assert "shuffle_targets has no effect" in remark


def test_torchruns_own_flags_are_accepted():
    assert parse(["--world_size", "2", "--local_rank", "1"]).processes.world_size == 2
    assert parse(["--local_rank=-1"]).processes.local_rank == -1


@pytest.mark.parametrize("name", BOOLEANS)
@pytest.mark.parametrize(
    ("words", "value"),
    [([], True), (["true"], True), (["True"], True), (["1"], True), (["false"], False), (["no"], False)],
)
def test_booleans_bare_and_with_a_value(name, words, value):
    needed = {"clip_statistics": ["--conditions", "alpha"]}.get(name, [])
    assert parse([f"--{name}", *words, *words_of(owner_of(name)), *needed]).flat()[name] is value


def test_a_boolean_of_another_kind_is_refused():
    assert "--shuffle_targets perhaps" in refused("--shuffle_targets", "perhaps")


def test_the_command_line_wins_over_yaml(tmp_path):
    file = tmp_path / "some.yaml"
    file.write_text("epochs: 7\nlr: 3e-4\nshuffle_targets: true\nmask_type: temporal\n")
    config = parse(["--epochs", "9", "--config", str(file), "--shuffle_targets", "false"])
    flat = config.flat()
    assert (flat["epochs"], flat["lr"], flat["shuffle_targets"], flat["mask_type"]) == (9, 3e-4, False, "temporal")
    assert config.given == {"epochs", "lr", "shuffle_targets", "mask_type"}


def test_the_last_of_a_repeated_option_wins():
    assert parse(["--epochs", "200", "--epochs", "2"]).training.epochs == 2


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("gan_wieght", "gan_weight"),
        ("batchsize", "batch_size"),
        ("pure-gan-mode", "pure_gan_mode"),
        ("learning_rate_schedule", "lr_schedule"),
        ("masktype", "mask_type"),
    ],
)
def test_an_unknown_option_names_the_nearest(typo, meant, tmp_path):
    assert f"unknown option --{typo}; did you mean {meant}?" in refused(f"--{typo}", "1")
    assert f"unknown option --{typo}; did you mean {meant}?" in refused(f"--{typo}=1")
    file = tmp_path / "wrong.yaml"
    file.write_text(f"{typo}: 1\n")
    said = refused("--config", str(file))
    assert str(file) in said
    assert f"unknown option {typo}; did you mean {meant}?" in said


def test_options_are_not_abbreviated():
    assert "did you mean epochs?" in refused("--epoch", "3")


@given(st.sampled_from(sorted(FIELDS)), st.integers(0, 30), st.sampled_from("xq0"))
def test_every_near_miss_is_answered_with_a_valid_name(name, position, letter):
    position %= len(name)
    missed = name[:position] + letter + name[position + 1 :]
    if missed in FIELDS:
        return
    answer = refused(f"--{missed}", "1").split("did you mean ")[1].rstrip("?")
    assert answer in FIELDS
    common = sum(a == b for a, b in zip(answer, name, strict=False))
    assert answer == name or common >= len(name) // 3  # very short names may be as near to another


@pytest.mark.parametrize("name", [name for name in FLOATS + INTEGERS if limits(name)])
def test_values_just_out_of_range_are_refused(name):
    step = 1 if name in INTEGERS else 1e-6
    outside = {"ge": -step, "gt": 0, "le": step, "lt": 0}
    for kind, bound in limits(name).items():
        value = bound + outside[kind]
        said = refused(f"--{name}={value!r}", *words_of(owner_of(name)))
        assert f"--{name} " in said
        assert f"{bound:g}" in said or str(bound) in said
        with pytest.raises(UserError, match=f"--{name} "):
            make_config({name: value} | owner_of(name))


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_floats_must_be_finite(name, value, tmp_path):
    assert f"--{name} {value}" in refused(f"--{name}={value}", *words_of(owner_of(name)))
    file = tmp_path / "odd.yaml"
    file.write_text(yaml.safe_dump({name: float(value)} | owner_of(name)))
    assert f"--{name} " in refused("--config", str(file))


@pytest.mark.parametrize("name", FLOATS + INTEGERS)
@pytest.mark.parametrize("value", ["abc", "", "1,5", "0x10", "1 2"])
def test_numbers_must_be_numbers(name, value):
    assert f"--{name} {value}" in refused(f"--{name}={value}", *words_of(owner_of(name)))


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_take_no_fractions(name):
    assert f"--{name} 8.5" in refused(f"--{name}", "8.5", *words_of(owner_of(name)))


@pytest.mark.parametrize("value", ["[1, 2]", "{a: 1}", "2020-01-01"])
@pytest.mark.parametrize("name", ["epochs", "lr", "mask_type", "shuffle_targets", "resume"])
def test_yaml_of_another_type_is_refused(name, value, tmp_path):
    file = tmp_path / "types.yaml"
    file.write_text(f"{name}: {value}\n")
    said = refused("--config", str(file))
    assert f"--{name} " in said
    assert str(file) in said


def test_choices_are_named():
    said = refused("--gan_loss", "wgan")
    assert "wgan-gp" in said
    assert "hinge" in said


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--use_creative_agent --use_compositional_agent", "exclude each other"),
        ("--use_creative_agent --mask_type hybrid", "exclude each other"),
        ("--use_compositional_agent --mask_type energy", "exclude each other"),
        ("--width 64", "width is an option of --generator patch or spectrum or vocoder, not of cascade"),
        ("--generator patch --anti_cheating 0.1", "anti_cheating is an option of --generator cascade, not of patch"),
        ("--gan_loss hinge --label_smoothing 0.9", "an option of --gan_loss bce or lsgan, not of hinge"),
        ("--gp_weight 1", "an option of --gan_loss wgan-gp, not of bce"),
        ("--plateau_patience 3", "an option of --lr_schedule plateau, not of constant"),
        ("--mask_freq_split 0.2", "an option of --mask_type frequency or hybrid, not of none"),
        ("--codec mel --encodec_sr 24000", "an option of --codec encodec_24khz, not of mel"),
        ("--lr_schedule plateau --plateau_metric ceiling", "pure_gan_mode"),
        ("--lr_schedule plateau --plateau_metric loss", "plateau_metric loss"),
        ("--adaptive_alpha", "pure_gan_mode"),
        ("--adaptive_alpha_floor 0.1 --pure_gan_mode 0.1", "adaptive_alpha"),
        ("--discriminator conv+conv", "different names"),
        ("--discriminator conv+wide", "wide is not one of them"),
        ("--generator patch --width 100 --nhead 8", "multiple of"),
        ("--nhead 7", "must divide"),
        ("--passes 2 --easy_share 1", "unity_test"),
        ("--passes 2 --unity_test", "easy_share"),
        ("--passes 2 --unity_test --easy_share 1 --mask_type hybrid", "mask_type"),
        ("--gan_fade linear", "easy_share"),
        ("--gan_fade between --easy_share 1", "pure_gan_mode"),
        ("--offset_seconds 4", "offset_noise"),
        ("--gan_weight 0 --loss_weight_input 0 --loss_weight_target 0", "learn nothing"),
    ],
)
def test_options_that_do_not_fit_together(words, reason):
    assert reason in refused(*words.split())


def test_a_missing_value_and_stray_words_are_refused():
    assert "--epochs" in refused("--epochs")
    assert "stray" in refused("stray")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"just words", "option: value"),
        (b"- a\n- b\n", "option: value"),
        (b"3: 4\n", "option: value"),
        (b"", "option: value"),
        (b"a: [1\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_yaml_that_holds_no_options(content, reason, tmp_path):
    file = tmp_path / "odd.yaml"
    file.write_bytes(content)
    assert reason in refused("--config", str(file))


def test_yaml_that_is_not_there(tmp_path):
    assert "No such file" in refused("--config", str(tmp_path / "none.yaml"))
    assert "cannot read" in refused("--config", str(tmp_path))


def test_yaml_is_checked_even_where_the_command_line_wins(tmp_path):
    file = tmp_path / "out.yaml"
    file.write_text("epochs: 0\n")
    assert "--epochs 0" in refused("--config", str(file), "--epochs", "2")


def test_print_config_round_trip(tmp_path, capsys):
    words = ["--generator", "patch", "--width", "64", "--nhead", "4", "--shuffle_targets", "--disc_lr", "1e-5"]
    with pytest.raises(SystemExit) as ended:
        parse([*words, "--print_config"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert set(yaml.safe_load(printed)) == set(parse(words).flat())
    file = tmp_path / "printed.yaml"
    file.write_text(printed)
    assert parse(["--config", str(file)]).flat() == parse(words).flat()


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"])
    shown = capsys.readouterr().out
    assert all(f"--{name} " in shown for name in FIELDS)


def number_in_range(name: str) -> st.SearchStrategy:
    bounds = limits(name)
    if name in INTEGERS:
        low = bounds.get("ge", -1)
        return st.integers(low, bounds.get("le", bounds.get("lt", low + 10**6) - 1))
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt", 1e6))
    return st.floats(low, high, exclude_min="gt" in bounds, exclude_max="lt" in bounds, allow_subnormal=False)


@settings(max_examples=100)
@given(st.data())
def test_any_numbers_in_range_survive_command_line_and_yaml(data):
    names = data.draw(st.lists(st.sampled_from(FLOATS + INTEGERS), min_size=1, max_size=4, unique=True))
    values = {name: data.draw(number_in_range(name), label=name) for name in names}
    owners = [word for name in names for word in words_of(owner_of(name))]
    try:
        config = parse([*owners, *(f"--{name}={value!r}" for name, value in values.items())])
    except UserError as error:
        assert "is not possible" not in str(error)  # each is in its range; together they may not fit
        assume(False)
    flat = config.flat()
    assert {name: flat[name] for name in names} == values
    assert all(math.isfinite(flat[name]) for name in names)
    again = make_config(yaml.safe_load(config.to_yaml()))
    assert again.flat() == config.flat()


def test_read_yaml_gives_the_mapping(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("epochs: 2\nresume: auto\n")
    assert read_yaml(file) == {"epochs": 2, "resume": "auto"}
