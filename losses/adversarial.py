"""Adversarial objectives: what D and G minimise, given the logits of D.

Shapes: B batch. A logit is one number per sample; a D that judges patches averages them first. Every function returns
one loss per sample, in float32 at least, and never mixes samples of a batch: so the mean over ranks equals the mean
over the joined batch.

To add an objective: write its two functions, add one line to `OBJECTIVES`.

    objective = choose_objective("rpgan")
    d_loss = objective.discriminator(real_logits_B, fake_logits_B).mean()
    g_loss = objective.generator(real_logits_B if objective.needs_real_in_generator else None, fake_logits_B).mean()
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import log

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from errors import UserError


@dataclass(frozen=True)
class Objective:
    """One way to play the game.

    discriminator(real_logits_B, fake_logits_B) -> loss_B; generator(real_logits_B or None, fake_logits_B) -> loss_B.
    needs_real_in_generator: G's loss compares fakes with reals, so D must also judge reals in G's step.
    baseline: the discriminator's loss when it cannot tell real from fake (its best constant logit).
    smooths_labels: the discriminator takes `label_smoothing`, the label of reals (1: off).
    boundary: the logit over which the discriminator says "real".
    compares_pairs: a common shift of all logits changes nothing, so only pairs of a real and a fake say something.
    """

    discriminator: Callable[..., Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    needs_real_in_generator: bool = False
    baseline: float | None = None
    smooths_labels: bool = False
    boundary: float = 0.0
    compares_pairs: bool = False


def _wide(logits_B: Tensor) -> Tensor:
    """At least float32: half precision loses small losses."""
    return logits_B.float() if logits_B.dtype in (torch.float16, torch.bfloat16) else logits_B


def _pair(real_logits_B: Tensor | None, fake_logits_B: Tensor) -> tuple[Tensor, Tensor]:
    assert real_logits_B is not None, "this objective compares fakes with reals: give the logits of both"
    assert real_logits_B.shape == fake_logits_B.shape, f"{real_logits_B.shape} reals, {fake_logits_B.shape} fakes"
    return _wide(real_logits_B), _wide(fake_logits_B)


def _bce_discriminator(real_logits_B: Tensor, fake_logits_B: Tensor, label_smoothing: float = 1.0) -> Tensor:
    """Goodfellow et al. 2014, eq. 1, as the mean of its two terms. Reals have the label `label_smoothing`, fakes 0
    (one-sided: Salimans et al. 2016, sec. 3.4)."""
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    on_real_B = label_smoothing * softplus(-real_B) + (1.0 - label_smoothing) * softplus(real_B)
    return 0.5 * (on_real_B + softplus(fake_B))


def _bce_generator(real_logits_B: Tensor | None, fake_logits_B: Tensor) -> Tensor:
    """The non-saturating form (Goodfellow et al. 2014, sec. 3): -log sigmoid(D(y))."""
    return softplus(-_wide(fake_logits_B))


def _hinge_discriminator(real_logits_B: Tensor, fake_logits_B: Tensor) -> Tensor:
    """Lim and Ye 2017; Miyato et al. 2018, eq. 16."""
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return relu(1.0 - real_B) + relu(1.0 + fake_B)


def _critic_discriminator(real_logits_B: Tensor, fake_logits_B: Tensor) -> Tensor:
    """Arjovsky et al. 2017, eq. 2: minus the critic gap. Its penalty is `penalties.interpolate_penalty`."""
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return fake_B - real_B


def _critic_generator(real_logits_B: Tensor | None, fake_logits_B: Tensor) -> Tensor:
    """Raise the critic's value: hinge (Miyato et al. 2018, eq. 17) and Wasserstein (Arjovsky et al. 2017) alike."""
    return -_wide(fake_logits_B)


def _lsgan_discriminator(real_logits_B: Tensor, fake_logits_B: Tensor, label_smoothing: float = 1.0) -> Tensor:
    """Mao et al. 2017, eq. 9 without its factor 1/2; reals have the label `label_smoothing`, fakes 0."""
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return (real_B - label_smoothing).square() + fake_B.square()


def _lsgan_generator(real_logits_B: Tensor | None, fake_logits_B: Tensor) -> Tensor:
    """Mao et al. 2017, eq. 9 without its factor 1/2."""
    return (_wide(fake_logits_B) - 1.0).square()


def _relativistic_discriminator(real_logits_B: Tensor, fake_logits_B: Tensor) -> Tensor:
    """RSGAN, Jolicoeur-Martineau 2018; R3GAN, Huang et al. 2024. Real i is paired with fake i."""
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return softplus(fake_B - real_B)


def _relativistic_generator(real_logits_B: Tensor | None, fake_logits_B: Tensor) -> Tensor:
    """The same with the roles exchanged."""
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return softplus(real_B - fake_B)


OBJECTIVES: dict[str, Objective] = {
    "bce": Objective(_bce_discriminator, _bce_generator, baseline=log(2), smooths_labels=True),
    "hinge": Objective(_hinge_discriminator, _critic_generator, baseline=2.0),
    "lsgan": Objective(_lsgan_discriminator, _lsgan_generator, baseline=0.5, smooths_labels=True, boundary=0.5),
    "wgan-gp": Objective(_critic_discriminator, _critic_generator, baseline=0.0, compares_pairs=True),
    "rpgan": Objective(
        _relativistic_discriminator, _relativistic_generator, True, baseline=log(2), compares_pairs=True
    ),
}


def choose_objective(name: str, label_smoothing: float = 1.0) -> Objective:
    """The objective of that name, its discriminator bound to `label_smoothing`, the label of reals in (0.5, 1].

    The baseline follows: with labels t and 0, lsgan's best constant logit is t/2 and its loss t^2/2; that of bce at
    logit 0 stays log 2 (a smoothed D does a little better by saying sigmoid(D) = t/2 everywhere).

    Raises UserError for an unknown name, a label out of range, or smoothing where the objective has no labels.
    """
    if name not in OBJECTIVES:
        raise UserError(f"gan_loss '{name}' is unknown: choose one of {', '.join(OBJECTIVES)}.")
    objective = OBJECTIVES[name]
    if label_smoothing == 1.0:
        return objective
    if not 0.5 < label_smoothing < 1.0:
        raise UserError(
            f"label_smoothing {label_smoothing} is out of range: give the label of reals, over 0.5, up to 1."
        )
    if not objective.smooths_labels:
        fitting = ", ".join(key for key, value in OBJECTIVES.items() if value.smooths_labels)
        raise UserError(f"gan_loss '{name}' has no labels to smooth: set label_smoothing to 1, or choose {fitting}.")
    changed = {"baseline": label_smoothing**2 / 2, "boundary": label_smoothing / 2} if name == "lsgan" else {}
    smoothed = partial(objective.discriminator, label_smoothing=label_smoothing)
    return replace(objective, discriminator=smoothed, **changed)


def centring(real_logits_B: Tensor, fake_logits_B: Tensor) -> Tensor:
    """Mean squared logit of each pair, [B]: keeps D's values near 0 where the objective does not see a common shift
    (rpgan, wgan-gp). The drift term of Karras et al. 2018, app. A.1, on reals and fakes; a weight of 0.01 or less.
    """
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return 0.5 * (real_B.square() + fake_B.square())
