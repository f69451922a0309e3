"""What to do about each verdict, with values that follow from the run's own options."""

from collections.abc import Mapping
from typing import Any

from monitoring.sample_words import CLIPS, SampleWords

ADVICE = {
    "warming up": "wait: a warm-up (learning rates, adversarial weight) or the window of steps is not complete",
    "pre-training": "wait: the generator trains alone; --g_pretrain_steps sets how long (--gan_weight 0: always)",
    "balanced": "nothing to do: both networks learn",
    "equilibrium": "the discriminator cannot separate real from generated; stop, or enlarge it (--disc_width)",
    "discriminator too strong": "lower --disc_lr to {half_disc_lr}, raise --r1_weight to {r1} and --r2_weight to {r2}, "
    "or add --instance_noise_std {instance_noise}",
    "generator too strong": "raise --disc_lr to {twice_disc_lr} or --n_critic to {n_critic}, or lower --disc_dropout, "
    "R1/R2 and instance noise",
    "discriminator overfitting": "use more {data}, --disc_dropout 0.3, --instance_noise_std {instance_noise}, or fewer "
    "--passes: it is right in training steps alone",
    "discriminator weak": "raise --disc_lr to {twice_disc_lr}, or lower --disc_dropout, R1/R2 and instance noise",
    "discriminator not learning": "raise --disc_lr to {twice_disc_lr}, lower --disc_dropout and R1/R2; "
    "--d_warmup_steps must be over",
    "oscillation": "lower --lr to {half_lr} and --disc_lr to {half_disc_lr}, set --beta1 0, or raise --r1_weight to "
    "{r1} and --r2_weight to {r2}",
    "divergence": "resume an earlier checkpoint with --lr {half_lr} --disc_lr {half_disc_lr} --grad_clip 1",
    "mode collapse": "use --gan_loss rpgan with --r1_weight {r1} and --r2_weight {r2}, --batch_size {batch}, --lr "
    "{half_lr}",
    "regression to the mean": "fade the regression loss (--recon_fade linear), or --loss_weight_input {half_input} "
    "--loss_weight_target {half_target}",
    "memorisation": "use more {data}, a smaller generator, or stop earlier: samples repeat training {many}",
    "curriculum too fast": "lower --pure_gan_mode to {half_pace}, or let validation set the pace: --adaptive_alpha",
    "music forgotten": "lower --pure_gan_mode to {half_pace} or --lr to {half_lr}, or raise --easy_share to {easier}",
}
BAD = frozenset(ADVICE) - {"warming up", "pre-training", "balanced", "equilibrium"}


def advise(name: str, options: Mapping[str, Any], words: SampleWords = CLIPS) -> str:
    """The advice for a verdict; empty for verdicts of other versions.

    options: the run's, by name; those that are missing have the values of a default run.
    """
    return ADVICE.get(name, "").format(**_values(options), data=words.data, many=words.many)


def _values(options: Mapping[str, Any]) -> dict[str, str]:
    """Halved and doubled rates, and penalties twice as strong, or 1 where there are none."""
    o = {"lr": 1e-4, "loss_weight_input": 0.3, "loss_weight_target": 0.3, "n_critic": 1, "batch_size": 8} | dict(
        options
    )
    disc_lr = o.get("disc_lr") or 0.5 * o["lr"]
    values = {
        "half_lr": o["lr"] / 2,
        "half_disc_lr": disc_lr / 2,
        "twice_disc_lr": 2 * disc_lr,
        "r1": 2 * o.get("r1_weight", 0) or 1.0,
        "r2": 2 * o.get("r2_weight", 0) or 1.0,
        "instance_noise": 2 * o.get("instance_noise_std", 0) or 0.1,
        "n_critic": o["n_critic"] + 1,
        "batch": 2 * o["batch_size"],
        "half_input": o["loss_weight_input"] / 2,
        "half_target": o["loss_weight_target"] / 2,
        "half_pace": o.get("pure_gan_mode", 0) / 2 or 0.01,
        "easier": min(1.0, o.get("easy_share", 0) + 0.5),
    }
    return {name: f"{value:.3g}" for name, value in values.items()}
