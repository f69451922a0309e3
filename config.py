"""RunConfig: every training option once, with its type, default, range and help text.

The command line and YAML files meet here: `parse(argv)` reads `--config FILE.yaml`, lays the command line over it and
returns one frozen RunConfig. Adding an option is adding one line to the group it belongs to.
"""

import argparse
import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from errors import UserError


def opt(default: Any, help: str, **limits: Any) -> Any:
    """One option: its default, its help text and its range (pydantic's ge, gt, le, lt)."""
    return Field(default, description=help, allow_inf_nan=False if isinstance(default, float) else None, **limits)


class ModelOptions(BaseModel):
    """model"""

    generator: Literal["cascade", "patch"] = opt("cascade", "cascade: the reference; patch: tokens of several frames")
    encoding_dim: int = opt(128, "latent channels; must be the codec's", ge=1)
    nhead: int = opt(8, "attention heads", ge=1)
    num_layers: int = opt(4, "transformer blocks per stage", ge=1)
    num_transformer_layers: int = opt(2, "cascade stages", ge=1)
    dropout: float = opt(0.1, "dropout in the generator", ge=0, lt=1)
    anti_cheating: float = opt(0.0, "noise x std added to what the stages see, in training only", ge=0)
    width: int = opt(192, "patch generator: token width", ge=8)
    patch_frames: int = opt(2, "patch generator: latent frames per token", ge=1)
    conv_kernel: int = opt(5, "patch generator: depthwise convolution beside attention (odd)", ge=1)
    attention_window: int = opt(0, "patch generator: frames of attention to each side; 0 = all", ge=0)
    residual: float = opt(
        1.0, "patch generator: share of the mean of the sources added to a stage's output", ge=0, le=1
    )
    ema_samples: float = opt(10_000.0, "half-life of the generator's weight average, in samples", gt=0)
    ema_rampup: float = opt(0.05, "the half-life is at most this share of the samples seen", gt=0)


class CodecOptions(BaseModel):
    """codec"""

    codec: Literal["encodec_24khz", "mel"] | None = opt(None, "audio codec; default: as recorded in the dataset")
    codec_weights: str | None = opt(None, "EnCodec weights: a Hugging Face folder or the original .th file")
    encodec_sr: int = opt(24000, "sample rate in Hz; EnCodec 24 kHz knows this one only", ge=24000, le=24000)
    encodec_bandwidth: float = opt(6.0, "kept for compatibility: latents are taken before quantisation", gt=0)


class DataOptions(BaseModel):
    """data"""

    dataset_folder: str = opt("dataset_pairs_wav", "folder with train/, val/ and dataset.yaml")
    train_dir: str | None = opt(None, "training pairs; default: train in dataset_folder")
    val_dir: str | None = opt(None, "validation pairs; default: val in dataset_folder")
    crop_seconds: float = opt(0.0, "train on random crops of this length; 0 = whole clips", ge=0)
    shuffle_targets: bool = opt(False, "pair each input with another pair's target, anew each epoch")
    unity_test: bool = opt(False, "the target is the input itself: can the generator copy?")
    num_workers: int = opt(0, "processes that read latents per rank; 0 = the rank itself", ge=0, le=64)


class TrainingOptions(BaseModel):
    """training"""

    epochs: int = opt(200, "passes over the training pairs", ge=1)
    max_steps: int = opt(0, "end this call after so many steps in all, resumable; 0 = no limit", ge=0)
    batch_size: int = opt(8, "pairs per device and step", ge=1)
    global_batch_size: int = opt(0, "pairs per step over all devices, instead of batch_size; 0 = off", ge=0)
    lr: float = opt(1e-4, "the generator's learning rate", gt=0)
    weight_decay: float = opt(0.01, "decoupled decay of weight matrices (adamw)", ge=0)
    optimizer: Literal["adamw", "adam", "sgd"] = opt("adamw", "optimizer of both networks")
    beta1: float = opt(0.9, "Adam's first beta, SGD's momentum", ge=0, lt=1)
    beta2: float = opt(0.999, "Adam's second beta", ge=0, lt=1)
    grad_clip: float = opt(1.0, "largest norm of the generator's gradient; 0 = no clipping", ge=0)
    lr_schedule: Literal["constant", "cosine"] = opt("constant", "learning rates after their warm-up")
    lr_min_ratio: float = opt(0.0, "where cosine ends, as a share of the learning rate", ge=0, le=1)
    g_warmup_steps: int = opt(0, "steps over which the generator's learning rate rises", ge=0)
    d_warmup_steps: int = opt(0, "steps over which the discriminator's learning rate rises", ge=0)
    warmup_shape: Literal["linear", "cosine"] = opt("linear", "shape of the warm-ups")
    patience: int = opt(20, "validations without a better one before stopping, once noise is at its ceiling; 0 = never")
    val_every: int = opt(1, "validate every so many epochs", ge=1)
    seed: int = opt(42, "seed of everything", ge=0, lt=2**31)
    amp: Literal["off", "bf16"] = opt("off", "bf16: autocast of the generator")
    tf32: bool = opt(True, "TF32 matrix products on GPUs that have them")
    compile: bool = opt(False, "torch.compile the networks")
    num_threads: int = opt(0, "CPU threads per rank; 0 = this machine's cores shared out", ge=0)
    world_size: int = opt(0, "accepted; taken from torchrun. 1 keeps a bare `torchrun` to one device", ge=0)
    local_rank: int = opt(-1, "accepted; taken from torchrun")
    max_restarts: int = opt(3, "plain launcher: how often a run with a dead worker starts again", ge=0)


class CheckpointOptions(BaseModel):
    """checkpoints"""

    checkpoint_dir: str = opt("checkpoints", "the run's folder")
    save_every: int = opt(10, "keep a checkpoint every so many epochs", ge=1)
    save_every_steps: int = opt(0, "save last.pt every so many steps too; 0 = off", ge=0)
    save_every_minutes: float = opt(10.0, "save last.pt every so many minutes too; 0 = off", ge=0)
    resume: str | None = opt(None, "a checkpoint, or `auto`: the newest in checkpoint_dir if there is one")


class LossOptions(BaseModel):
    """losses"""

    loss_weight_input: float = opt(0.3, "regression to the clean input", ge=0)
    loss_weight_target: float = opt(0.3, "regression to the clean target", ge=0)
    loss_reconstruction: Literal["rmse", "l1", "mse", "huber"] = opt("rmse", "what the regression measures")
    recon_domain: Literal["latent", "audio"] = opt("latent", "where the regression is measured")
    recon_fade: Literal["off", "linear", "known"] = opt(
        "off", "regression fades as (1 - alpha), or as the share of the target that the input still knows"
    )
    recon_floor: float = opt(0.0, "share of the regression that recon_fade leaves", ge=0, le=1)
    loss_weight_spectral: float = opt(0.0, "multi-resolution STFT loss on decoded audio", ge=0)
    loss_weight_mel: float = opt(0.0, "log-mel loss on decoded audio", ge=0)
    corr_weight: float = opt(0.0, "penalty on copying the sources' envelopes, on decoded audio", ge=0)
    decode_every: int = opt(8, "decode for audio-domain losses every so many steps", ge=1)


class MaskOptions(BaseModel):
    """masks"""

    mask_type: Literal["none", "temporal", "frequency", "spectral", "energy", "hybrid"] = opt("none", "fixed masks")
    mask_temporal_segment: int = opt(150, "frames per segment of temporal masks", ge=2)
    mask_freq_split: float = opt(0.3, "share of channels that frequency masks give to the input", gt=0, lt=1)
    mask_channel_keep: float = opt(0.5, "share of channels that spectral masks give to the input", gt=0, lt=1)
    mask_energy_threshold: float = opt(0.7, "quantile of frame energy above which the input stays", gt=0, lt=1)
    use_creative_agent: bool = opt(False, "learned masks")
    use_compositional_agent: bool = opt(False, "learned composition of rhythm, harmony and timbre")
    mask_reg_weight: float = opt(0.1, "creative agent: masks apart, complete and varied", ge=0)
    balance_loss_weight: float = opt(5.0, "creative agent: both sources used alike", ge=0)


class GanOptions(BaseModel):
    """gan"""

    gan_loss: Literal["bce", "hinge", "lsgan", "wgan-gp", "rpgan"] = opt("bce", "the adversarial objective")
    gan_weight: float = opt(0.15, "weight of the generator's adversarial loss", ge=0)
    discriminator: Literal["conv", "multiscale", "spectrogram", "conv+spectrogram", "conv+multiscale"] = opt(
        "conv", "the discriminator's design, or two whose logits are averaged"
    )
    disc_width: int | None = opt(None, "the discriminator's base width; default: its design's own", ge=4)
    disc_lr: float | None = opt(None, "the discriminator's learning rate; default: half of lr", gt=0)
    disc_update_freq: int = opt(1, "train the discriminator every so many steps", ge=1)
    n_critic: int = opt(1, "train the generator every so many steps", ge=1)
    disc_dropout: float = opt(0.3, "dropout in the discriminator", ge=0, lt=1)
    disc_spectral_norm: bool = opt(False, "spectral norm on the discriminator's layers")
    disc_grad_clip: float = opt(1.0, "largest norm of the discriminator's gradient; 0 = no clipping", ge=0)
    r1_weight: float = opt(0.0, "gradient penalty on reals, per second of clip", ge=0)
    r2_weight: float = opt(0.0, "gradient penalty on fakes, per second of clip", ge=0)
    penalty_form: Literal["finite", "exact"] = opt("finite", "R1/R2 by finite differences or by double backward")
    penalty_sigma: float = opt(0.05, "step of the finite differences, in standard deviations", gt=0)
    gp_weight: float = opt(10.0, "wgan-gp: weight of the interpolates' gradient penalty", ge=0)
    centring_weight: float = opt(0.0, "pulls the mean squared logit to zero (rpgan, wgan-gp)", ge=0)
    label_smoothing: float = opt(1.0, "one-sided: the label of reals (bce, lsgan); 0.9 is usual", gt=0.5, le=1)
    feature_matching_weight: float = opt(0.0, "match the discriminator's features of fakes to reals", ge=0)
    instance_noise_std: float = opt(0.0, "noise on all that the discriminator sees, in standard deviations", ge=0)
    instance_noise_decay: float = opt(1.0, "factor on instance noise per epoch", gt=0, le=1)
    g_pretrain_steps: int = opt(0, "steps before the discriminator joins", ge=0)
    adv_ramp_steps: int = opt(0, "steps over which gan_weight rises once it has joined", ge=0)
    adv_ramp_shape: Literal["linear", "cosine"] = opt("linear", "shape of that rise")


class CurriculumOptions(BaseModel):
    """curriculum"""

    pure_gan_mode: float = opt(0.0, "noise added per epoch: alpha grows by this; 0 = no curriculum", ge=0)
    gan_curriculum_start_epoch: int = opt(1, "first epoch with noise, from 1 (0 means the same)", ge=0)
    gan_noise_ceiling: float = opt(1.0, "alpha never passes this", ge=0, le=1)
    noise_mix: Literal["linear", "variance_preserving"] = opt("linear", "how noise and music are mixed")
    alpha_jitter: float = opt(0.0, "each sample's alpha is drawn up to this far around the schedule", ge=0, le=1)


class LoggingOptions(BaseModel):
    """logging"""

    log_every: int = opt(10, "write a line of figures every so many steps", ge=1)
    sample_every: int = opt(5, "write samples to TensorBoard every so many epochs; 0 = never", ge=0)


GROUPS = (
    ModelOptions,
    CodecOptions,
    DataOptions,
    TrainingOptions,
    CheckpointOptions,
    LossOptions,
    MaskOptions,
    GanOptions,
    CurriculumOptions,
    LoggingOptions,
)


PATCH_ONLY = ("width", "patch_frames", "conv_kernel", "attention_window", "residual")
CASCADE_ONLY = ("anti_cheating",)


class RunConfig(*reversed(GROUPS)):
    """All options of a run; frozen. `model_fields_set` names those that were given rather than defaulted."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    @model_validator(mode="after")
    def _fit_together(self) -> "RunConfig":
        if self.use_creative_agent and self.use_compositional_agent:
            raise ValueError("use_creative_agent and use_compositional_agent exclude each other: choose one")
        if self.mask_type != "none" and (self.use_creative_agent or self.use_compositional_agent):
            raise ValueError("mask_type and the agents exclude each other: leave one out")
        for name in PATCH_ONLY if self.generator == "cascade" else CASCADE_ONLY:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} is no option of --generator {self.generator}: leave it out")
        if self.generator == "patch" and self.width % (2 * self.nhead):
            raise ValueError(f"width {self.width} must be a multiple of 2 x nhead ({2 * self.nhead})")
        if self.generator == "cascade" and 2 * self.encoding_dim % self.nhead:
            raise ValueError(f"nhead {self.nhead} must divide 2 x encoding_dim ({2 * self.encoding_dim})")
        if self.conv_kernel % 2 == 0:
            raise ValueError(f"conv_kernel {self.conv_kernel} must be odd")
        if self.gan_weight == 0 and self.recon_weight_sum == 0:
            raise ValueError("gan_weight and every other loss weight are 0: the generator would learn nothing")
        return self

    @property
    def recon_weight_sum(self) -> float:
        return (
            self.loss_weight_input
            + self.loss_weight_target
            + self.loss_weight_spectral
            + self.loss_weight_mel
            + self.feature_matching_weight
        )

    @property
    def needs_audio(self) -> bool:
        """Whether some loss is measured on decoded audio."""
        in_audio = self.recon_domain == "audio" and self.loss_weight_input + self.loss_weight_target > 0
        return in_audio or self.loss_weight_spectral + self.loss_weight_mel + self.corr_weight > 0

    @property
    def disc_lr_value(self) -> float:
        return 0.5 * self.lr if self.disc_lr is None else self.disc_lr

    def batch_per_device(self, world: int) -> int:
        """Pairs per device and step on `world` devices. Raises UserError where the global batch cannot be shared."""
        if not self.global_batch_size:
            return self.batch_size
        if self.global_batch_size % world:
            raise UserError(f"--global_batch_size {self.global_batch_size} cannot be shared among {world} devices")
        return self.global_batch_size // world

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(), sort_keys=False)


def make_config(values: dict[str, Any], source: str = "") -> RunConfig:
    """Builds a RunConfig or raises a UserError of one sentence that names the option, its value and its range."""
    for key in values:
        if key not in RunConfig.model_fields:
            raise UserError(f"{source}unknown option {key}{_nearest(key)}")
    try:
        return RunConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if not first["loc"]:
            raise UserError(f"{source}{reason}") from None
        raise UserError(f"{source}--{first['loc'][0]} {first['input']} is not possible: it must be {reason}") from None


def _nearest(key: str) -> str:
    close = difflib.get_close_matches(key.replace("-", "_"), RunConfig.model_fields, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; --help lists all"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UserError(message.replace("argument ", "", 1))


def _parser() -> _Parser:
    parser = _Parser(description="Trains a generator from music to music to noise to music.", allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE.yaml", help="options from a file; the command line wins")
    parser.add_argument("--print_config", action="store_true", help="print the whole resolved configuration and end")
    for group in GROUPS:
        section = parser.add_argument_group(group.__doc__)
        for name, field in group.model_fields.items():
            text = f"{field.description} (default: {field.default})".replace("%", "%%")
            section.add_argument(f"--{name}", default=argparse.SUPPRESS, help=text, **_argument_kind(field.annotation))
    return parser


def _argument_kind(annotation: Any) -> dict[str, Any]:
    if annotation is bool:  # accepted bare and with a value
        return {"nargs": "?", "const": "true", "metavar": "true|false"}
    choices = [c for c in getattr(annotation, "__args__", ()) if isinstance(c, str)]
    return {"metavar": "|".join(choices) if choices else getattr(annotation, "__name__", "value").upper()}


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file of options. Raises UserError where there is none."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{path} must hold `option: value` lines")
    return values


def parse(argv: list[str]) -> RunConfig:
    """The command line as a RunConfig.

    Raises:
        UserError: an unknown option (with the nearest valid name), a value out of range, options that exclude
            each other, a configuration file that cannot be read.
        SystemExit: 0 after --help or --print_config.
    """
    given, unknown = _parser().parse_known_args(argv)
    if unknown:
        key = unknown[0].split("=")[0]
        raise UserError(f"unknown option {key}{_nearest(key.lstrip('-'))}")
    options = vars(given)
    path, show = options.pop("config"), options.pop("print_config")
    values = read_yaml(path) if path else {}
    if path:
        make_config(values, source=f"{path}: ")
    config = make_config(values | options)
    if show:
        print(config.to_yaml(), end="")
        raise SystemExit(0)
    return config
