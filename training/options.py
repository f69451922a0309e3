"""Options of the training loop and of the optimizers. Nothing here imports torch.

An optimizer is built as `definition(options, parameter_groups, lr, betas)`, from its own options.
"""

from typing import Literal

from errors import UserError
from registry import Options, Registry, opt

OPTIMIZERS = Registry("optimizer")


class TrainingOptions(Options):
    """training"""

    epochs: int = opt(200, "number of epochs; an epoch uses every training pair once", ge=1)
    max_steps: int = opt(0, "stop after this training step, resumable; 0 = no limit", ge=0, per_call=True)
    batch_size: int = opt(8, "training pairs per device and step", ge=1)
    global_batch_size: int = opt(0, "pairs per step over all devices; replaces batch_size; 0 = off", ge=0)
    disc_update_freq: int = opt(1, "update the discriminator every this many steps", ge=1, needs="gan_weight")
    n_critic: int = opt(1, "update the generator every this many steps", ge=1)
    patience: int = opt(
        20, "early stopping: validations without a new best, once alpha is at its ceiling; 0 = never", ge=0
    )
    val_every: int = opt(1, "validate every this many epochs", ge=1)
    seed: int = opt(42, "random seed of weights, data order, noise and dropout", ge=0, lt=2**31, shapes_run=True)
    amp: Literal["off", "bf16"] = opt("off", "mixed precision: bf16 autocast of the generator")
    compile: bool = opt(False, "compile the networks with torch.compile")
    max_bad_steps: int = opt(
        10, "non-finite (skipped) updates in a row before returning to the last good checkpoint; 0 = never", ge=0
    )

    def remarks(self, config) -> list[str]:
        remarks = super().remarks(config)
        given = "batch_size" in config.given and self.batch_size != type(self).model_fields["batch_size"].default
        if given and self.global_batch_size:
            remarks.append("note: batch_size has no effect with global_batch_size, which replaces it")
        return remarks

    def batch_per_device(self, world: int) -> int:
        """Pairs per device and step on `world` devices. Raises UserError where the global batch cannot be shared."""
        if not self.global_batch_size:
            return self.batch_size
        if self.global_batch_size % world:
            raise UserError(f"--global_batch_size {self.global_batch_size} is not divisible by {world} devices")
        return self.global_batch_size // world


class OptimizerOptions(Options):
    """optimizers"""

    optimizer: str = OPTIMIZERS.choice("adamw", "optimizer of both networks", shapes_run=True)
    lr: float = opt(1e-4, "learning rate of the generator", gt=0)
    disc_lr: float | None = opt(
        None, "learning rate of the discriminator; default: half of lr", gt=0, needs="gan_weight"
    )
    weight_decay: float = opt(0.01, "weight decay of matrices, decoupled from the gradient (see decay)", ge=0)
    beta1: float = opt(0.9, "Adam's beta1; momentum of SGD", ge=0, lt=1)
    beta2: float = opt(0.999, "Adam's beta2", ge=0, lt=1)
    grad_clip: float = opt(1.0, "clip the norm of the generator's gradient to this; 0 = off", ge=0)
    disc_grad_clip: float = opt(
        1.0, "clip the norm of the discriminator's gradient to this; 0 = off", ge=0, needs="gan_weight"
    )

    def remarks(self, config) -> list[str]:
        """Also options that the chosen optimizer does not have."""
        without = config.chosen("optimizer").part.facts.get("without", ())
        idle = [
            name
            for name in without
            if name in config.given and getattr(self, name) != type(self).model_fields[name].default
        ]
        return [
            *super().remarks(config),
            *(f"note: {name} has no effect with optimizer {self.optimizer}" for name in idle),
        ]

    @property
    def discriminator_lr(self) -> float:
        return 0.5 * self.lr if self.disc_lr is None else self.disc_lr


class DecayOptions(Options):
    """form of the weight decay"""

    decay: Literal["decoupled", "l2"] = opt(
        "decoupled",
        "weight decay: decoupled, as in adamw, so that optimizers can be compared; l2: in the gradient",
        needs="weight_decay",
    )


OPTIMIZERS.add("adamw", "training.optimizers:adamw")
OPTIMIZERS.add("adam", "training.optimizers:adam", DecayOptions)
OPTIMIZERS.add("sgd", "training.optimizers:sgd", DecayOptions, without=("beta2",))
