"""Every option does something that can be seen, or a run says that it does nothing and what it needs.

A row names an option, a value other than its default, an observer, and the options that it needs; `setting` holds what
makes the case small. With what it needs, the value must change what the observer sees. Without, the option must be
refused or remarked on, in words that name what is missing.
"""

import inspect
from dataclasses import dataclass, field

import option_observers as see
import pytest
from training_parts import TINY, tiny_config

from command_line import parse
from config import known_options, make_config
from errors import UserError
from registry import mark_of


@dataclass(frozen=True)
class Row:
    option: str
    value: object
    observer: object
    needs: dict = field(default_factory=dict)
    setting: dict = field(default_factory=dict)
    off: dict = field(default_factory=dict)  # values with which the needed options are off


SGD = {"optimizer": "sgd", "weight_decay": 0.5}
NOISE = {"pure_gan_mode": 0.25}
PATCH = {"generator": "patch"}
PLATEAU = {"lr_schedule": "plateau"}
AGENT = {"use_creative_agent": True}
QUICK = {"plateau_patience": 0}
RUN = {"epochs": 4, "sample_every": 0, "save_every_minutes": 0.0, "num_threads": 1}
GUIDED = PATCH | {"conditions": "alpha+labels"}
ARC = PATCH | {"conditions": "alpha", "gan_loss": "arc", "width": 16, "num_layers": 2}
CONV = {"discriminator": "conv"}
DISTILLED = PATCH | NOISE | {"unity_test": True, "init_from": "somewhere", "loss_reconstruction": "mse"}
OFF = {"distil_passes": 0}
DECODED = {"encoding_dim": 128, "nhead": 8, "batch_size": 2, "decode_every": 1}
IMAGES = {"kind": "images", "generator": "dcgan", "discriminator": "dcgan", "encoding_dim": 3}
LARGER = {"kind": "images", "generator": "super_resolution", "discriminator": "dcgan", "encoding_dim": 3}

ROWS = [
    # networks
    Row("generator", "patch", see.steps),
    Row("encoding_dim", 8, see.networks),
    Row("ema_samples", 0.1, see.steps),
    Row("use_creative_agent", True, see.steps),
    Row("use_compositional_agent", True, see.steps),
    Row("mask_type", "hybrid", see.steps),
    Row("discriminator", "spectrogram", see.steps),
    Row("classifier", "conv", see.classifier),
    Row("nhead", 1, see.steps),
    Row("num_layers", 2, see.networks),
    Row("num_transformer_layers", 1, see.networks),
    Row("dropout", 0.5, see.steps),
    Row("anti_cheating", 0.5, see.steps),
    Row("size", "small", see.networks),
    Row("width", 32, see.networks, PATCH),
    Row("patch_frames", 4, see.networks, PATCH),
    Row("precondition", True, see.steps, PATCH),
    Row("refine_channels", 4, see.networks, PATCH),
    Row("clip_statistics", False, see.steps, PATCH, {"conditions": "alpha"}),
    Row("noise_size", 7, see.networks, {"generator": "dcgan"}, IMAGES),
    Row("gen_width", 8, see.networks, {"generator": "dcgan"}, IMAGES),
    Row("output_limit", 3.0, see.networks, {"generator": "dcgan"}, IMAGES),
    Row("upscale", 4, see.networks, LARGER, {"upscale": 2}),
    Row("blocks", 2, see.networks, LARGER, {"upscale": 2}),
    Row("block_width", 8, see.networks, LARGER, {"upscale": 2}),
    Row("mask_temporal_segment", 4, see.steps, {"mask_type": "temporal"}),
    Row("mask_freq_split", 0.6, see.steps, {"mask_type": "frequency"}),
    Row("mask_channel_keep", 0.9, see.steps, {"mask_type": "spectral"}),
    Row("mask_energy_threshold", 0.2, see.steps, {"mask_type": "energy"}),
    Row("disc_dropout", 0.5, see.steps, {"gan_weight": 0.15}),
    Row("disc_spectral_norm", True, see.steps, {"gan_weight": 0.15}),
    Row("disc_width", 8, see.steps, {"gan_weight": 0.15}),
    Row("backbone_share", 0.3, see.networks, {"discriminator": "denoiser"}, ARC, off=CONV),
    Row("head_width", 8, see.networks, {"discriminator": "denoiser"}, ARC, off=CONV),
    Row("classifier_width", 8, see.classifier, {"classifier": "conv"}),
    Row("classifier_lr", 0.1, see.classifier, {"classifier": "conv"}),
    Row("classifier_labels", "mood", see.classifier, {"classifier": "conv"}),
    # data
    Row("kind", "images", see.networks, {}, {"generator": "dcgan", "discriminator": "dcgan", "encoding_dim": 3}),
    Row("dataset_folder", "elsewhere", see.opened),
    Row("train_dir", "elsewhere", see.opened),
    Row("val_dir", "elsewhere", see.opened),
    Row("codec", "mel", see.opened),
    Row("codec_weights", "weights.bin", see.opened),
    Row("decoder", "griffin_lim", see.opened, {"codec": "mel"}),
    Row("crop_seconds", 0.16, see.opened),
    Row("shuffle_targets", True, see.steps, {"unity_test": False}, off={"unity_test": True}),
    Row("unity_test", True, see.steps),
    Row("num_workers", 1, see.reading),
    Row("conditions", "alpha", see.networks),  # of the discriminator, too
    Row("label_dropout", 0.9, see.labels_left, GUIDED),
    Row("loss_weight_angle", 0.5, see.pictures, {"kind": "images"}, IMAGES),
    # training
    Row("epochs", 3, see.plans),
    Row("max_steps", 3, see.files, {}, RUN),
    Row("batch_size", 2, see.steps, {"global_batch_size": 0}, off={"global_batch_size": 16}),
    Row("global_batch_size", 2, see.steps),
    Row("disc_update_freq", 2, see.plans, {"gan_weight": 0.15}),
    Row("n_critic", 2, see.plans),
    Row("patience", 2, see.patience),
    Row("val_every", 2, see.files, {}, RUN),
    Row("seed", 7, see.steps),
    Row("amp", "bf16", see.steps),
    Row("compile", True, see.compiled),
    Row("max_bad_steps", 2, see.bad_steps),
    Row("optimizer", "sgd", see.steps),
    Row("lr", 0.01, see.steps),
    Row("disc_lr", 0.01, see.steps, {"gan_weight": 0.15}),
    Row("weight_decay", 0.5, see.steps),
    Row("decay", "l2", see.steps, SGD, off={"optimizer": "sgd", "weight_decay": 0.0}),
    Row("beta1", 0.5, see.steps),
    Row("beta2", 0.5, see.steps, {"optimizer": "adamw"}, off={"optimizer": "sgd"}),
    Row("grad_clip", 1e-3, see.steps),
    Row("disc_grad_clip", 1e-3, see.steps, {"gan_weight": 0.15}),
    # losses
    Row("loss_weight_input", 0.9, see.steps),
    Row("loss_weight_target", 0.9, see.steps),
    Row("loss_reconstruction", "l1", see.steps),
    Row("recon_domain", "audio", see.steps, {}, DECODED),
    Row("loss_weight_spectral", 1.0, see.steps, {}, DECODED),
    Row("loss_weight_mel", 1.0, see.steps, {}, DECODED),
    Row("corr_weight", 1.0, see.steps, {}, DECODED),
    Row("decode_every", 2, see.plans, {"loss_weight_mel": 1.0}),
    Row("gan_loss", "hinge", see.steps, {"gan_weight": 0.15}),
    Row("gan_weight", 0.9, see.steps),
    Row("r1_weight", 1.0, see.steps, {"gan_weight": 0.15}),
    Row("r2_weight", 1.0, see.steps, {"gan_weight": 0.15}),
    Row("penalty_every", 2, see.steps, {"r1_weight": 1.0}),
    Row("feature_matching_weight", 1.0, see.steps, {"gan_weight": 0.15}),
    Row("label_smoothing", 0.8, see.steps, {"gan_weight": 0.15}),
    Row("centring_weight", 0.5, see.steps, {"gan_loss": "rpgan"}),
    Row("gp_weight", 1.0, see.steps, {"gan_loss": "wgan-gp"}),
    Row("gp_distance", "rms", see.steps, {"gan_loss": "wgan-gp"}),
    Row("renoise", 0.5, see.steps, {"gan_loss": "arc"}, ARC, off={"gan_loss": "bce"}),
    Row("contrastive_weight", 0.5, see.contrast, {"conditions": "alpha+labels"}, ARC, off={"conditions": "alpha"}),
    Row("adversarial_easy_share", 0.2, see.steps, {"pure_gan_mode": 0.25}, ARC, off={"pure_gan_mode": 0.0}),
    Row("mask_reg_weight", 0.5, see.steps, AGENT),
    Row("balance_loss_weight", 15.0, see.steps, AGENT),
    # schedules
    Row("lr_schedule", "cosine", see.plans),
    Row("g_warmup_steps", 5, see.plans),
    Row("d_warmup_steps", 5, see.plans, {"gan_weight": 0.15}),
    Row("warmup_shape", "cosine", see.plans, {"g_warmup_steps": 8}),
    Row("plateau_metric", "clean", see.plans, PLATEAU, QUICK),
    Row("disc_plateau_metric", "clean", see.plans, PLATEAU, QUICK),
    Row("plateau_factor", 0.3, see.plans, PLATEAU, QUICK),
    Row("plateau_patience", 1, see.plans, PLATEAU),
    Row("recon_fade", "linear", see.plans, NOISE),
    Row("gan_fade", "linear", see.plans, {"easy_share": 1.0}, NOISE),
    Row("g_pretrain_steps", 3, see.plans, {"gan_weight": 0.15}),
    Row("adv_ramp_steps", 5, see.plans, {"gan_weight": 0.15}),
    Row("instance_noise_std", 0.3, see.steps, {"gan_weight": 0.15}),
    Row("instance_noise_decay", 0.5, see.steps, {"instance_noise_std": 0.3}),
    Row("pure_gan_mode", 0.25, see.steps),
    Row("gan_curriculum_start_epoch", 3, see.steps, NOISE),
    Row("gan_noise_ceiling", 0.3, see.steps, NOISE),
    Row("easy_share", 0.5, see.steps, NOISE),
    Row("adaptive_alpha", "level", see.plans, NOISE),
    Row("adaptive_alpha_threshold", 1.0, see.plans, {"adaptive_alpha": "level"}, NOISE),
    Row("adaptive_alpha_floor", 0.5, see.plans, {"adaptive_alpha": "level"}, NOISE),
    Row("passes", 3, see.validation, {"unity_test": True, "easy_share": 1.0}, NOISE),
    Row(
        "distil_passes",
        2,
        see.steps,
        {"pure_gan_mode": 0.25, "unity_test": True},
        PATCH | {"init_from": "somewhere", "loss_reconstruction": "mse"},
        off={"pure_gan_mode": 0.0},
    ),
    Row("distil_guidance", 2.0, see.imitated, {"distil_passes": 2, "conditions": "alpha+labels"}, DISTILLED, off=OFF),
    Row("offset_noise", 0.5, see.steps, NOISE),
    Row("offset_seconds", 0.05, see.steps, {"offset_noise": 0.5}, NOISE),
    Row("noise_channels", "0:2", see.steps, NOISE),
    # checkpoints, log, processes
    Row("checkpoint_dir", "elsewhere", see.files, {}, RUN),
    Row("save_every", 2, see.files, {}, RUN),
    Row("save_every_steps", 3, see.late_saves),
    Row("save_every_minutes", 1.0, see.late_saves),
    Row("keep_last", 1, see.files, {}, RUN | {"save_every": 1}),
    Row("resume", "auto", see.again, {}, RUN | {"max_steps": 2}),
    Row("init_from", "first/last.pt", see.after_another, {}, RUN | {"max_steps": 2}),
    Row("health", {"window": 4}, see.files, {}, RUN),
    Row("log_every", 3, see.files, {}, RUN),
    Row("sample_every", 2, see.files, {}, RUN),
    Row("sample_num", 3, see.samples),
    Row("num_threads", 3, see.processes),
    Row("world_size", 3, see.processes),
    Row("timeout_minutes", 3.0, see.processes),
    Row("max_restarts", 1, see.processes),
    Row("deterministic", True, see.processes),
]
NAMES = [row.option for row in ROWS]
WITHOUT_EFFECT = {name for name, known in known_options().items() if mark_of(known.field, "without_effect")}


def test_every_option_has_a_row():
    """But for those that are marked as accepted only, whose help says so."""
    assert sorted(NAMES) == sorted(known_options().keys() - WITHOUT_EFFECT)
    for name in WITHOUT_EFFECT:
        assert any(word in known_options()[name].field.description for word in ("compatibility", "supports only"))


def seen(row: Row, values: dict, tmp_path, monkeypatch):
    given = {"folder": tmp_path, "monkeypatch": monkeypatch}
    wanted = inspect.signature(row.observer).parameters.keys() & given.keys()
    config = make_config(small(row.setting | row.needs) | values)
    return row.observer(config, **{name: given[name] for name in wanted})


def small(options: dict) -> dict:
    """The options with small networks; generators of images have other options."""
    own = {"disc_width", "disc_dropout", "batch_size", "lr"}
    of_images = options.get("generator") in ("dcgan", "super_resolution")
    foreign = {"disc_width", "disc_dropout"} if options.get("discriminator") == "denoiser" else set()
    kept = {name: value for name, value in TINY.items() if name in own or not of_images}
    return {name: value for name, value in kept.items() if name not in foreign} | options


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_an_option_changes_what_can_be_seen(row, tmp_path, monkeypatch):
    plain = seen(row, {}, tmp_path / "plain", monkeypatch)
    assert seen(row, {row.option: row.value}, tmp_path / "changed", monkeypatch) != plain


@pytest.mark.parametrize("row", [row for row in ROWS if row.needs], ids=[row.option for row in ROWS if row.needs])
def test_without_what_it_needs_an_option_is_reported(row):
    """Refused, or remarked on by the run; either names the option and something that it needs."""
    setting = {} if row.setting == IMAGES else row.setting
    off = row.off or {name: 0.0 for name in row.needs if name == "gan_weight"}
    try:
        said = " ".join(make_config(TINY | setting | off | {row.option: row.value}).remarks())
    except UserError as error:
        said = str(error)
    assert row.option in said and any(name in said for name in row.needs), said


def test_a_run_reports_what_has_no_effect():
    config = tiny_config(r1_weight=1.0, disc_lr=1e-3, gan_weight=0.0, easy_share=0.5, mask_reg_weight=0.5)
    assert sorted(config.remarks()) == [
        "note: disc_dropout and disc_width have no effect without gan_weight",
        "note: disc_lr and disc_grad_clip have no effect without gan_weight",
        "note: easy_share has no effect without pure_gan_mode",
        "note: mask_reg_weight acts on learned masks only (--use_creative_agent)",
        "note: r1_weight has no effect without gan_weight",
    ]


def test_options_at_their_defaults_are_not_remarked_on(tmp_path):
    """A run's own file names every option."""
    file = tmp_path / "config.yaml"
    file.write_text(parse(["--epochs", "3"]).to_yaml())
    remarks = parse(["--config", str(file)]).remarks()
    assert remarks == []


@pytest.mark.parametrize("recipe", sorted(see.RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_no_recipe_has_an_option_without_effect(recipe):
    assert parse(["--config", str(recipe)]).remarks() == []
