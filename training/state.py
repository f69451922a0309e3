"""What a run remembers: its counters, and all of it as one checkpoint."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from config import RunConfig
from errors import UserError
from runtime.checkpoint import plain
from training.networks import wants_final_bias
from training.steps import Game

# Options that shaped a run's past: another value would not fit the weights or the samples in the checkpoint.
SHAPING = (
    *("generator", "encoding_dim", "nhead", "num_layers", "num_transformer_layers", "width", "patch_frames"),
    *("conv_kernel", "residual", "precondition", "use_creative_agent", "use_compositional_agent"),
    *("discriminator", "disc_width", "disc_spectral_norm", "optimizer", "disc_optimizer", "gan_loss", "seed"),
)


@dataclass
class Counters:
    """Where the run is. `samples_seen` is the whole state of the data; schedules follow from it.

    Attributes:
        best: lowest validation loss within the present phase; `since_best`: validations since then.
        phase: the phase that `best` belongs to.
        finished_epochs: epochs whose end (validation, samples, checkpoint) has been dealt with.
        reactions: what validation has changed about the schedules (`Reactions.state`).
        turn: how often the run went back to an older save; saves of an earlier turn are no longer its future.
        rollbacks: how often of its own accord, each time halving `lr_factor`, the factor on the learning rates.
    """

    step: int = 0
    samples_seen: int = 0
    finished_epochs: int = 0
    best: float | None = None
    since_best: int = 0
    phase: str = "music"
    reactions: dict[str, Any] = field(default_factory=dict)
    turn: int = 0
    rollbacks: int = 0
    lr_factor: float = 1.0


@dataclass(frozen=True)
class LatentSpace:
    """What generation needs to know of the data.

    Attributes:
        mean_D, std_D: statistics of the training latents, per channel.
        noise_scales_K2: standard deviations of normalised training clips, (input, target) each.
        frames: length of a training clip.
        lowest_D, highest_D: range of the normalised training latents, per channel; None in checkpoints of old.
    """

    codec: str
    codec_identity: str
    sample_rate: int
    frames: int
    mean_D: Tensor
    std_D: Tensor
    noise_scales_K2: Tensor
    lowest_D: Tensor | None = None
    highest_D: Tensor | None = None

    def within(self, x_BDT: Tensor) -> Tensor:
        """Normalised latents, those beyond the training latents' range brought back to its ends."""
        if self.lowest_D is None or self.highest_D is None:
            return x_BDT
        return x_BDT.clamp(self.lowest_D.to(x_BDT)[:, None], self.highest_D.to(x_BDT)[:, None])

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def full_state(
    config: RunConfig, game: Game, ema, counters: Counters, space: LatentSpace, global_batch: int, pairs: int = 0
) -> dict[str, Any]:
    """Everything that a resumed run needs, as tensors and plain types."""
    return {
        "config": plain(config.model_dump()),
        "counters": asdict(counters),
        "global_batch": global_batch,
        "pairs": pairs,
        "latents": space.state(),
        "generator": game.generator.state_dict(),
        "discriminator": game.discriminator.state_dict(),
        "ema": ema.state_dict(),
        "optimizer_g": plain(game.update_g.optimizer.state_dict()),
        "optimizer_d": plain(game.update_d.optimizer.state_dict()),
        "skipped": torch.stack(
            [game.update_g.bad, game.update_d.bad, game.update_g.bad_in_row, game.update_d.bad_in_row]
        ),
    }


def restore(state: dict[str, Any], game: Game, ema) -> Counters:
    """Puts a checkpoint back into the networks, optimizers and the weight average; returns its counters.

    Raises:
        UserError: the weights are of another shape.
    """
    try:
        game.generator.load_state_dict(state["generator"])
        game.discriminator.load_state_dict(state["discriminator"])
        ema.load_state_dict(state["ema"])
        game.update_g.optimizer.load_state_dict(state["optimizer_g"])
        game.update_d.optimizer.load_state_dict(state["optimizer_d"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise UserError(f"the checkpoint does not fit this program's networks: {str(error).splitlines()[0]}") from None
    for updater, (bad, in_row) in zip((game.update_g, game.update_d), state["skipped"].view(2, 2).T, strict=True):
        updater.bad, updater.bad_in_row = bad.to(updater.bad), in_row.to(updater.bad)
    return Counters(**state["counters"])


def resumed_config(given: RunConfig, state: dict[str, Any]) -> tuple[RunConfig, list[str]]:
    """The checkpoint's options under those given now, and what changed ("lr 0.0001 -> 0.0002").

    Raises:
        UserError: an option given now contradicts one that shaped the run's past.
    """
    saved = {name: value for name, value in state["config"].items() if name in RunConfig.model_fields}
    explicit = {name: getattr(given, name) for name in RunConfig.model_fields if name in given.model_fields_set}
    for name in SHAPING:
        if name in explicit and name in saved and not _goes_with(name, explicit[name], saved[name]):
            raise UserError(
                f"--{name} {explicit[name]} contradicts the checkpoint, which was trained with {saved[name]}: "
                "leave it out, or start a new run without --resume"
            )
    passing = {"resume", "checkpoint_dir", "max_steps", "world_size", "local_rank", "timeout_minutes", "profile"}
    base = {name: value for name, value in saved.items() if name not in passing}
    changed = [
        f"{name} {saved[name]} -> {value}"
        for name, value in explicit.items()
        if name in saved and name not in passing and saved[name] != value
    ]
    return RunConfig(**(base | explicit)), changed


def _goes_with(name: str, value: Any, saved: Any) -> bool:
    """Whether a run that was trained with `saved` can go on with `value`."""
    if name == "gan_loss":
        return wants_final_bias(value) == wants_final_bias(saved)
    return value == saved


def check_space(state: dict[str, Any], space: LatentSpace) -> None:
    """Raises UserError where a checkpoint's latents are not those of the dataset."""
    saved = state["latents"]
    if saved["codec_identity"] != space.codec_identity:
        raise UserError(
            f"the checkpoint was trained on {saved['codec_identity']} latents, not on {space.codec_identity}: "
            "prepare the dataset with the same codec and weights"
        )
