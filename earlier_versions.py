"""Converts what earlier versions wrote: removed options, checkpoints and exports of schema 1.

Functions take and return plain dictionaries.
"""

from typing import Any

from errors import UserError

# Removed options and the value that is built in now. Runs with that value continue unchanged.
BUILT_IN: dict[str, Any] = {
    "adv_ramp_shape": "linear",
    "alpha_jitter": 0.0,
    "attention_window": 0,
    "conv_kernel": 5,
    "disc_beta1": None,
    "disc_beta2": None,
    "disc_optimizer": None,
    "disc_plateau_cooldown": None,
    "disc_plateau_factor": None,
    "disc_plateau_min_ratio": None,
    "disc_plateau_patience": None,
    "ema_rampup": 0.05,
    "lr_min_ratio": 0.0,
    "max_bad_clips": 16,
    "max_rollbacks": 3,
    "noise_mix": "linear",
    "penalty_form": "finite",
    "penalty_sigma": 0.05,
    "plateau_cooldown": 0,
    "plateau_min_ratio": 0.01,
    "recon_floor": 0.0,
    "residual": 1.0,
    "tf32": True,
}
# With another value of these, weights or generator inputs differ from what this version's networks expect.
ESSENTIAL = ("attention_window", "conv_kernel", "noise_mix", "residual")
HEALTH = "health_"  # health_window is health.window now, on_collapse is health.on_collapse


def current_options(
    saved: dict[str, Any], source: str | None = None, for_training: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """The options of a checkpoint or export under their current names, and a remark for each ignored one.

    Args:
        source: the file that they are from, for messages; None where nothing will be built from them.
        for_training: the run is to be resumed, with its optimizers.

    Raises:
        UserError: the networks were trained in a way that this version no longer has.
    """
    values, remarks, health = {}, [], {}
    saved = _with_later_options(saved)
    for name, value in saved.items():
        if name.startswith(HEALTH) or name == "on_collapse":
            health[name.removeprefix(HEALTH)] = value
        elif name not in BUILT_IN:
            values[name] = value
        elif value != BUILT_IN[name] and not (name == "disc_optimizer" and value == saved.get("optimizer")):
            essential = name in ESSENTIAL and _has_effect(name, saved) or (for_training and name == "disc_optimizer")
            if source is not None and essential:
                raise UserError(f"{source} was trained with {name} {value}, which this version no longer has")
            remarks.append(f"note: {name} {value} of the earlier run is ignored: it is no longer an option")
    adaptive = saved.get("adaptive_alpha") in (True, "speed") and not saved.get("adaptive_alpha_threshold")
    if health.get("val_rise", 0.5) != 0.5 and adaptive:
        remarks.append("note: health_val_rise no longer sets the pace of --adaptive_alpha: give its threshold")
    return values | ({"health": health} if health else {}), remarks


def _with_later_options(saved: dict[str, Any]) -> dict[str, Any]:
    """The options of an earlier run, with what was built in before an option existed. Files that do not hold all
    options of a run are written by hand, and follow the defaults of this version."""
    if not {"resume", "local_rank"} <= saved.keys():
        return saved
    saved = dict(saved)
    if isinstance(saved.get("adaptive_alpha"), bool):
        saved["adaptive_alpha"] = "speed" if saved["adaptive_alpha"] else "none"
    if saved.get("gan_loss") == "wgan-gp":
        saved.setdefault("gp_distance", "rms")
    if saved.get("optimizer") == "adam" and "decay" not in saved:
        saved["weight_decay"] = 0.0  # it was without
    if saved.get("optimizer") in ("adam", "sgd"):
        saved.setdefault("decay", "l2")
    return saved


def _has_effect(name: str, saved: dict[str, Any]) -> bool:
    if name == "noise_mix":
        return bool(saved.get("pure_gan_mode"))
    return saved.get("generator") == "patch"


_AUDIO_RATE = 75  # frames per second of every codec in the first version


def upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of schema 1, converted to schema 2."""
    counters = dict(state["counters"])
    reactions = counters.pop("reactions", {})
    counters["rewinds"] = counters.pop("turn", 0)
    schedules = {}
    if reactions:
        plateaus = {
            network: {name: plateau[name] for name in ("multiplier", "best", "stale")}
            | {"measured_at": reactions["measured_at"]}
            for network, plateau in reactions["plateaus"].items()
        }
        schedules = {"adaptive": reactions["adaptive"] | {"began": reactions["began"]}, "rates": plateaus}
    trainer = {name: state[name] for name in ("generator", "discriminator", "optimizer_g", "optimizer_d", "skipped")}
    return {
        "schema": 2,
        "config": state["config"],
        "global_batch": state["global_batch"],
        "pairs": state.get("pairs", 0),
        "space": upgraded_space(state["latents"]),
        "counters": counters,
        "trainer": trainer,
        "ema": state["ema"],
        "schedules": schedules,
    }


def upgraded_space(latents: dict[str, Any]) -> dict[str, Any]:
    """The description of the latents in schema 1, in the form of `synthesis.space.Space`."""
    statistics = ("mean_D", "std_D", "noise_scales_K2", "lowest_D", "highest_D")
    return {name: latents.get(name) for name in statistics} | {
        "kind": "audio",
        "identity": latents["codec_identity"],
        "shape": [len(latents["mean_D"]), latents["frames"]],
        "rate": _AUDIO_RATE,
        "about": {"codec": latents["codec"], "sample_rate": latents["sample_rate"]},
    }


_SLANEY = "mel-09117f97a404a52d"  # the latents of the codec that was called `mel` and is `mel_slaney` now
RENAMED_CODECS = {"mel_fine": "mel"}


def with_current_codec(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint or export with the codec's current name in its options and its description of the data."""
    space = state.get("space", {})
    about, identity = space.get("about", {}), space.get("identity")
    if identity == _SLANEY and about.get("codec") == "mel":
        renamed = "mel_slaney"
    elif about.get("codec") in RENAMED_CODECS:
        renamed = RENAMED_CODECS[about["codec"]]
        identity = identity.replace(about["codec"], renamed, 1)
    else:
        return state
    space = space | {"identity": identity, "about": about | {"codec": renamed}}
    return state | {"config": state["config"] | {"codec": renamed}, "space": space}
