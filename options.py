"""Every training option once: its type, default, range and help text, in groups.

Adding an option is adding one line to its group; `config.RunConfig` joins the groups, the command line and `--help`
follow from them.
"""

from typing import Any, Literal

from pydantic import BaseModel, Field


def opt(default: Any, help: str, **limits: Any) -> Any:
    """One option: its default, its help text and its range (pydantic's ge, gt, le, lt)."""
    return Field(default, description=help, **limits)


PlateauMetric = Literal["current", "clean", "ceiling", "d_loss"]


# What `--size` stands for: patch generators of 2.6, 6.8, 31 and 112 million parameters at 128 latent channels.
SIZES = {
    "tiny": {"width": 192, "nhead": 6, "num_layers": 4},
    "small": {"width": 256, "nhead": 8, "num_layers": 7},
    "base": {"width": 512, "nhead": 8, "num_layers": 9},
    "large": {"width": 768, "nhead": 12, "num_layers": 15},
}


class ModelOptions(BaseModel):
    """model"""

    size: Literal["tiny", "small", "base", "large"] | None = opt(
        None, "one-stage patch generator of 2.6, 6.8, 31 or 112 million parameters: sets width, nhead and num_layers"
    )
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
    precondition: bool = opt(
        False, "patch generator: scale what a stage adds to that mean by how far its sources lie apart, up to 1"
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
    unity_test: bool = opt(False, "the target is the input itself: a test of copying, and what several passes need")
    max_bad_clips: int = opt(16, "clips that may turn out unreadable in training and be replaced by others", ge=0)
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
    lr_schedule: Literal["constant", "cosine", "plateau"] = opt("constant", "learning rates after their warm-up")
    lr_min_ratio: float = opt(0.0, "where cosine ends, as a share of the learning rate", ge=0, le=1)
    plateau_metric: PlateauMetric = opt("current", "plateau: the validation figure the generator's rate waits for")
    plateau_factor: float = opt(0.5, "plateau: factor on the learning rate where that figure stands still", gt=0, lt=1)
    plateau_patience: int = opt(10, "plateau: validations without a better one that are borne", ge=0)
    plateau_cooldown: int = opt(0, "plateau: validations after a reduction that do not count", ge=0)
    plateau_min_ratio: float = opt(0.01, "plateau: never under this share of the learning rate", ge=0, le=1)
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
    timeout_minutes: float = opt(10.0, "a rank that waits longer for another one ends the run", ge=0.05)
    max_bad_steps: int = opt(
        10, "skipped updates (not finite) in a row before going back to the last save; 0 = never", ge=0
    )
    max_rollbacks: int = opt(3, "how often a run may go back, each time with half the learning rate", ge=0)
    max_restarts: int = opt(3, "plain launcher: how often a run with a dead worker starts again", ge=0)


class CheckpointOptions(BaseModel):
    """checkpoints"""

    checkpoint_dir: str = opt("checkpoints", "the run's folder")
    save_every: int = opt(10, "keep a checkpoint every so many epochs", ge=1)
    save_every_steps: int = opt(0, "save last.pt every so many steps too; 0 = off", ge=0)
    save_every_minutes: float = opt(10.0, "save last.pt every so many minutes too; 0 = off", ge=0)
    keep_last: int = opt(0, "keep this many of checkpoint_epoch_*.pt, besides best.pt and last.pt; 0 = all", ge=0)
    resume: str | None = opt(None, "a checkpoint, or `auto`: the furthest in checkpoint_dir if there is one")


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
    gan_fade: Literal["off", "linear", "known", "between"] = opt(
        "off",
        "what a sample counts in the game: 1 - alpha; the share k of the target that the input still knows;"
        " or 4 k (1 - k), most where half of it is known",
    )
    discriminator: Literal["conv", "multiscale", "spectrogram", "conv+spectrogram", "multiscale+spectrogram"] = opt(
        "conv", "the discriminator's design, or two whose logits are averaged"
    )
    disc_width: int | None = opt(None, "the discriminator's base width; default: its design's own", ge=4)
    disc_lr: float | None = opt(None, "the discriminator's learning rate; default: half of lr", gt=0)
    disc_optimizer: Literal["adamw", "adam", "sgd"] | None = opt(None, "the discriminator's; default: optimizer")
    disc_beta1: float | None = opt(None, "the discriminator's first beta; default: beta1", ge=0, lt=1)
    disc_beta2: float | None = opt(None, "the discriminator's second beta; default: beta2", ge=0, lt=1)
    disc_plateau_metric: PlateauMetric = opt("d_loss", "plateau: the figure the discriminator's rate waits for")
    disc_plateau_factor: float | None = opt(None, "plateau: default: plateau_factor", gt=0, lt=1)
    disc_plateau_patience: int | None = opt(None, "plateau: default: plateau_patience", ge=0)
    disc_plateau_cooldown: int | None = opt(None, "plateau: default: plateau_cooldown", ge=0)
    disc_plateau_min_ratio: float | None = opt(None, "plateau: default: plateau_min_ratio", ge=0, le=1)
    disc_update_freq: int = opt(1, "train the discriminator every so many steps", ge=1)
    n_critic: int = opt(1, "train the generator every so many steps", ge=1)
    disc_dropout: float = opt(0.3, "dropout in the discriminator", ge=0, lt=1)
    disc_spectral_norm: bool = opt(False, "spectral norm on the discriminator's layers")
    disc_grad_clip: float = opt(1.0, "largest norm of the discriminator's gradient; 0 = no clipping", ge=0)
    r1_weight: float = opt(0.0, "gradient penalty on reals, per second of clip", ge=0)
    r2_weight: float = opt(0.0, "gradient penalty on fakes, per second of clip", ge=0)
    penalty_form: Literal["finite", "exact"] = opt("finite", "R1/R2 by finite differences or by double backward")
    penalty_every: int = opt(1, "take R1 and R2 every so many steps, and that many times as heavily", ge=1)
    penalty_sigma: float = opt(0.05, "step of the finite differences, in standard deviations", gt=0)
    gp_weight: float = opt(10.0, "wgan-gp: weight of the interpolates' gradient penalty", ge=0)
    centring_weight: float = opt(0.0, "pulls the mean squared logit to zero (rpgan, wgan-gp)", ge=0)
    label_smoothing: float = opt(1.0, "one-sided: the label of reals (bce, lsgan); 0.9 is usual", gt=0.5, le=1)
    feature_matching_weight: float = opt(0.0, "match the discriminator's features of fakes to reals", ge=0)
    instance_noise_std: float = opt(0.0, "noise on all that the discriminator sees, in standard deviations", ge=0)
    instance_noise_decay: float = opt(1.0, "factor on instance noise per epoch, step by step", gt=0, le=1)
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
    easy_share: float = opt(
        0.0, "share of samples whose alpha is drawn evenly from 0 to the schedule's: easy cases, to the end", ge=0, le=1
    )
    offset_noise: float = opt(
        0.0, "part of the noise that lasts over a clip: clips then differ more, and are more of a piece", ge=0, lt=1
    )
    offset_seconds: float = opt(
        0.0, "how long that part lasts: its correlation falls by e in this time; 0: over the whole clip", ge=0
    )
    passes: int = opt(
        1,
        "generation: passes from noise to music, each with less noise; needs easy_share and unity_test",
        ge=1,
        le=1000,
    )
    adaptive_alpha: bool = opt(False, "validation slows the curriculum (x 0.9) or speeds it up (x 1.1)")
    adaptive_alpha_threshold: float | None = opt(
        None, "validation loss that slows it; default: half as much again as when noise began", gt=0
    )
    adaptive_alpha_floor: float = opt(0.0, "alpha is at least this once noise has begun", ge=0, le=1)


class LoggingOptions(BaseModel):
    """logging"""

    log_every: int = opt(10, "write a line of figures every so many steps", ge=1)
    sample_every: int = opt(5, "write samples to TensorBoard every so many epochs; 0 = never", ge=0)
    profile: bool = opt(False, "write a torch profiler trace of steps 6 to 10 into the run's folder; print the dearest")


class HealthOptions(BaseModel):
    """health"""

    health_window: int = opt(20, "logged steps that a verdict on the run is based on", ge=4)
    on_collapse: Literal["warn", "stop"] = opt("warn", "what a mode collapse does to the run")
    health_d_accuracy: float = opt(0.95, "the discriminator is too strong from this accuracy on", gt=0.5, le=1)
    health_d_loss: float = opt(0.25, "... if its loss is also under this share of the random guess's", gt=0, le=1)
    health_g_accuracy: float = opt(0.35, "the generator is too strong under this accuracy", ge=0, lt=0.5)
    health_tolerance: float = opt(0.05, "equilibrium: probabilities this close to a half, losses as flat", gt=0, lt=0.5)
    health_swing: float = opt(0.4, "oscillation: spread of the discriminator's loss over its mean", gt=0)
    health_growth: float = opt(10.0, "divergence: growth of gradients and losses within the window", gt=1)
    health_spread: float = opt(3.0, "divergence: deviation of fakes over that of reals", gt=1)
    health_diversity: float = opt(0.15, "mode collapse: diversity of generated clips over that of real ones", gt=0)
    health_variance: float = opt(0.6, "regression to the mean: deviation of fakes over that of reals", gt=0, le=1)
    health_alpha: float = opt(0.8, "regression to the mean is looked for from this alpha on", ge=0, le=1)
    health_nearest: float = opt(0.5, "memorisation: distance to the nearest training clip over held-out clips'", gt=0)
    health_val_rise: float = opt(0.5, "curriculum too fast: rise of the validation loss since noise began", gt=0)


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
    HealthOptions,
    LoggingOptions,
)
