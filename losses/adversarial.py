"""Adversarial objectives: the losses of D and G, given the logits of D.

Shapes: B batch. There is one logit per sample; a D with logits per patch averages them first. Every function returns
one loss per sample, at least in float32, and never mixes samples of a batch, so that the mean over ranks equals the
mean over the joined batch.

To add an objective: a function that builds it from its options, and one line in `losses/options.py`.

    objective = relativistic(CentringOptions())
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

from losses.options import ArcOptions, CentringOptions, LabelOptions, WassersteinOptions
from losses.penalties import interpolate_penalty
from registry import Options


@dataclass(frozen=True)
class Regulariser:
    """An additional term of an objective in the discriminator's loss.

    measure(critic, real_BDT, fake_BDT, real_logits_B, fake_logits_B, draw) -> value_B; `draw()` gives a uniform number
    in [0, 1) for each sample, [B].
    """

    name: str
    weight: float
    measure: Callable[..., Tensor]


@dataclass(frozen=True)
class Objective:
    """The losses of both networks, and their properties.

    discriminator(real_logits_B, fake_logits_B) -> loss_B; generator(real_logits_B or None, fake_logits_B) -> loss_B.
    needs_real_in_generator: G's loss compares fakes with reals, so G's step also needs D's logits of reals.
    baseline: the discriminator's loss when it cannot distinguish real from fake (with the best constant logit).
    boundary: logits above it are classified as real.
    compares_pairs: a common shift of all logits changes nothing, so only pairs of a real and a fake are meaningful.
    probability: from logits_B to probabilities of being real, on the objective's own scale.
    undecided: the probability from a discriminator that cannot distinguish real from fake.
    regularisers: additional terms of the discriminator's loss.
    own_reals: the real paired with a generated sample is the one that it was made from.
    renoise: largest noise level that real and generated samples get, 0 to 1.
    contrastive: weight of `contrastive` on right and shuffled labels.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor | None, Tensor], Tensor]
    needs_real_in_generator: bool = False
    baseline: float | None = None
    boundary: float = 0.0
    compares_pairs: bool = False
    probability: Callable[[Tensor], Tensor] = torch.sigmoid
    undecided: float = 0.5
    regularisers: tuple[Regulariser, ...] = ()
    own_reals: bool = False
    renoise: float = 0.0
    contrastive: float = 0.0


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
    """Maximise the critic's value: hinge (Miyato et al. 2018, eq. 17) and Wasserstein (Arjovsky et al. 2017) alike."""
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


def bce(options: LabelOptions) -> Objective:
    """Binary cross-entropy; a smoothed D does a little better than log 2, by sigmoid(D) = label / 2 everywhere."""
    label = options.label_smoothing
    loss = _with_label(_bce_discriminator, label)
    return Objective(loss, _bce_generator, baseline=log(2), undecided=0.5 * label)


def hinge(options: Options) -> Objective:
    return Objective(_hinge_discriminator, _critic_generator, baseline=2.0)


def lsgan(options: LabelOptions) -> Objective:
    """Least squares: with labels t and 0 the best constant logit is t / 2 and its loss t^2 / 2."""
    label = options.label_smoothing
    loss = _with_label(_lsgan_discriminator, label)
    return Objective(
        loss, _lsgan_generator, baseline=label**2 / 2, boundary=label / 2, probability=_clamped, undecided=label / 2
    )


def _clamped(logits_B: Tensor) -> Tensor:
    """The outputs themselves, which are trained towards the labels 1 (or the smoothed one) and 0."""
    return _wide(logits_B).clamp(0.0, 1.0)


def wasserstein(options: WassersteinOptions) -> Objective:
    """A critic with the interpolates' gradient penalty."""
    per_element = options.gp_distance == "rms"
    return Objective(
        _critic_discriminator,
        _critic_generator,
        baseline=0.0,
        compares_pairs=True,
        regularisers=(
            Regulariser(
                "gp",
                options.gp_weight,
                lambda critic, real, fake, real_B, fake_B, draw: interpolate_penalty(
                    critic, real, fake, draw(), per_element
                ),
            ),
            _centring(options),
        ),
    )


def relativistic(options: CentringOptions) -> Objective:
    """Pairs of a real and a fake."""
    return Objective(
        _relativistic_discriminator,
        _relativistic_generator,
        needs_real_in_generator=True,
        baseline=log(2),
        compares_pairs=True,
        regularisers=(_centring(options),),
    )


def arc(options: ArcOptions) -> Objective:
    """Adversarial relativistic-contrastive post-training (Novack et al. 2025, arXiv 2505.08175): pairs of a generated
    sample and the one that it was made from, both with new noise of the same level."""
    return replace(
        relativistic(options), own_reals=True, renoise=options.renoise, contrastive=options.contrastive_weight
    )


def contrastive(right_logits_B: Tensor, wrong_logits_B: Tensor) -> Tensor:
    """[B]: reals with their own labels against the same reals with those of other samples (Novack et al. 2025).

    Where both have the same labels the logits are the same too, and so there is no gradient.
    """
    right_B, wrong_B = _pair(right_logits_B, wrong_logits_B)
    return softplus(wrong_B - right_B)


def _with_label(discriminator: Callable[..., Tensor], label: float) -> Callable[[Tensor, Tensor], Tensor]:
    return discriminator if label == 1.0 else partial(discriminator, label_smoothing=label)


def _centring(options: CentringOptions) -> Regulariser:
    measure = lambda critic, real, fake, real_B, fake_B, draw: centring(real_B, fake_B)  # noqa: E731
    return Regulariser("centring", options.centring_weight, measure)


def centring(real_logits_B: Tensor, fake_logits_B: Tensor) -> Tensor:
    """Mean squared logit of each pair, [B]: keeps D's logits near 0 if the objective does not depend on a common shift
    (rpgan, wgan-gp). The drift term of Karras et al. 2018, app. A.1, on reals and fakes; a weight of 0.01 or less.
    """
    real_B, fake_B = _pair(real_logits_B, fake_logits_B)
    return 0.5 * (real_B.square() + fake_B.square())
