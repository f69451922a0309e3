"""Checkpoints and exports of earlier versions as this version writes them. Plain dictionaries in, dictionaries out."""

from typing import Any

_AUDIO_RATE = 75  # frames a second of every codec that the first version had


def upgraded(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of schema 1 as one of schema 2."""
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
    """What schema 1 kept of the latents, as `synthesis.space.Space` keeps it."""
    statistics = ("mean_D", "std_D", "noise_scales_K2", "lowest_D", "highest_D")
    return {name: latents.get(name) for name in statistics} | {
        "kind": "audio",
        "identity": latents["codec_identity"],
        "shape": [len(latents["mean_D"]), latents["frames"]],
        "rate": _AUDIO_RATE,
        "about": {"codec": latents["codec"], "sample_rate": latents["sample_rate"]},
    }
