"""Options of the training loop and of the optimizers. Nothing here imports torch.

An optimizer is built as `definition(parameter_groups, lr, betas)`.
"""

from typing import Literal

from errors import UserError
from registry import Options, Registry, opt

OPTIMIZERS = Registry("optimizer")


class TrainingOptions(Options):
    """training"""

    epochs: int = opt(200, "passes over the training pairs", ge=1)
    max_steps: int = opt(0, "end this call after so many steps in all, resumable; 0 = no limit", ge=0, per_call=True)
    batch_size: int = opt(8, "pairs per device and step", ge=1)
    global_batch_size: int = opt(0, "pairs per step over all devices, instead of batch_size; 0 = off", ge=0)
    disc_update_freq: int = opt(1, "train the discriminator every so many steps", ge=1)
    n_critic: int = opt(1, "train the generator every so many steps", ge=1)
    patience: int = opt(
        20, "validations without improvement before stopping, once noise is at its ceiling; 0 = never", ge=0
    )
    val_every: int = opt(1, "validate every so many epochs", ge=1)
    seed: int = opt(42, "seed of everything", ge=0, lt=2**31, shapes_run=True)
    amp: Literal["off", "bf16"] = opt("off", "bf16: autocast of the generator")
    compile: bool = opt(False, "torch.compile the networks")
    max_bad_steps: int = opt(
        10, "skipped updates (not finite) in a row before going back to the last save; 0 = never", ge=0
    )

    def batch_per_device(self, world: int) -> int:
        """Pairs per device and step on `world` devices. Raises UserError where the global batch cannot be shared."""
        if not self.global_batch_size:
            return self.batch_size
        if self.global_batch_size % world:
            raise UserError(f"--global_batch_size {self.global_batch_size} cannot be shared among {world} devices")
        return self.global_batch_size // world


class OptimizerOptions(Options):
    """optimizers"""

    optimizer: str = OPTIMIZERS.choice("adamw", "optimizer of both networks", shapes_run=True)
    lr: float = opt(1e-4, "the generator's learning rate", gt=0)
    disc_lr: float | None = opt(None, "the discriminator's learning rate; default: half of lr", gt=0)
    weight_decay: float = opt(0.01, "decoupled decay of weight matrices (adamw)", ge=0)
    beta1: float = opt(0.9, "Adam's first beta, SGD's momentum", ge=0, lt=1)
    beta2: float = opt(0.999, "Adam's second beta", ge=0, lt=1)
    grad_clip: float = opt(1.0, "largest norm of the generator's gradient; 0 = no clipping", ge=0)
    disc_grad_clip: float = opt(1.0, "largest norm of the discriminator's gradient; 0 = no clipping", ge=0)

    @property
    def discriminator_lr(self) -> float:
        return 0.5 * self.lr if self.disc_lr is None else self.disc_lr


for _name in ("adamw", "adam", "sgd"):
    OPTIMIZERS.add(_name, f"training.optimizers:{_name}")
