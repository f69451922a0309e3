"""What each measure for stable adversarial training does, over a number of steps of tiny networks."""

import pytest
import torch
from training_parts import plan_for, take_batches, tiny_config, tiny_trainer

STEPS = 60


def train_discriminator(steps=STEPS, **options):
    """The discriminator alone against a generator that stands still; the trainer and the course of its metrics."""
    config = tiny_config(**{"disc_lr": 1e-2, "beta1": 0.0, "disc_width": 8, "epochs": 1000} | options)
    trainer, course = tiny_trainer(config), []
    for step, batch in enumerate(take_batches(config, steps)):
        view = trainer.view(batch, plan := plan_for(config, batch, step))
        with torch.no_grad():
            fake_BDT = trainer.generator(view.source_input_BDT, view.source_target_BDT).output_BDT
        metrics = trainer.discriminator_step(view, 0.5 * fake_BDT, plan)  # plainly other than reals
        course.append({name: float(value.detach()) for name, value in metrics.items()})
    return trainer, course


def mean_of(course, name, last=15):
    return sum(metrics[name] for metrics in course[-last:]) / last


def test_one_sided_labels_keep_the_discriminator_from_being_sure_of_reals():
    _, sure = train_discriminator(gan_loss="bce")
    _, smoothed = train_discriminator(gan_loss="bce", label_smoothing=0.8)
    assert mean_of(sure, "d/real_prob") > 0.95
    assert mean_of(smoothed, "d/real_prob") == pytest.approx(0.8, abs=0.05)
    assert mean_of(smoothed, "d/fake_prob") < 0.1  # fakes keep their label


def test_penalties_flatten_the_discriminator():
    """With the weight far lower than with next to none, and its lead smaller."""
    _, free = train_discriminator(gan_loss="rpgan", r1_weight=1e-6, r2_weight=1e-6)
    _, held = train_discriminator(gan_loss="rpgan", r1_weight=20.0, r2_weight=20.0)
    for name in ("loss/r1", "loss/r2"):
        assert mean_of(held, name) < 0.1 * mean_of(free, name)
    assert mean_of(held, "loss/d") > 2 * mean_of(free, "loss/d")
    assert mean_of(held, "d/gap") > 0.1  # it still tells them apart


@pytest.mark.parametrize("distance", ["euclidean", "rms"])
def test_the_interpolates_penalty_leads_the_slope_to_one(distance):
    _, free = train_discriminator(gan_loss="wgan-gp", gp_weight=1e-6, gp_distance=distance)
    _, held = train_discriminator(gan_loss="wgan-gp", gp_weight=10.0, gp_distance=distance)
    assert mean_of(held, "loss/gp") < 0.2 < 5 < mean_of(free, "loss/gp")
    assert mean_of(free, "d/gap") > 5 * mean_of(held, "d/gap") > 0  # the free critic's gap has no unit


def test_centring_holds_the_level_of_the_logits():
    def level(weight):
        _, course = train_discriminator(gan_loss="rpgan", centring_weight=weight)
        return mean_of(course, "loss/centring")

    assert level(1.0) < 0.3 * level(1e-6)


def test_instance_noise_takes_from_the_discriminators_lead():
    _, clear = train_discriminator(gan_loss="hinge")
    _, noisy = train_discriminator(gan_loss="hinge", instance_noise_std=3.0)
    assert mean_of(noisy, "loss/d") > mean_of(clear, "loss/d") + 0.3
    assert mean_of(noisy, "d/accuracy") < mean_of(clear, "d/accuracy") - 0.05


def test_interpolates_lie_between_what_the_discriminator_is_shown():
    """With instance noise, between the noisy reals and the noisy fakes."""
    config = tiny_config(gan_loss="wgan-gp", instance_noise_std=5.0)
    trainer, batch = tiny_trainer(config), take_batches(config, 1)[0]
    seen = []
    trainer.discriminator.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().clone()))
    trainer.step(batch, plan_for(config, batch))
    joined_NDT, between_BDT = seen[0], seen[1]
    real_BDT, fake_BDT = joined_NDT.chunk(2)
    assert float(real_BDT.std()) > 4
    share = (between_BDT - fake_BDT) / (real_BDT - fake_BDT)
    share_B = share.flatten(1).median(dim=1).values
    assert bool(((share_B >= 0) & (share_B < 1)).all()) and len(set(share_B.tolist())) == len(share_B)
    torch.testing.assert_close(
        between_BDT, share_B[:, None, None] * real_BDT + (1 - share_B[:, None, None]) * fake_BDT, atol=1e-3, rtol=1e-3
    )


def test_spectral_norm_bounds_the_discriminators_slope():
    def slope(**options):
        trainer, _ = train_discriminator(gan_loss="hinge", **options)
        trainer.discriminator.eval()
        x_BDT = torch.randn(16, 4, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
        (gradient_BDT,) = torch.autograd.grad(trainer.discriminator(x_BDT).sum(), x_BDT)
        return float(gradient_BDT.flatten(1).norm(dim=1).max())

    assert slope(disc_spectral_norm=True) < 1.5 < slope()


def test_matching_features_brings_the_generator_nearer_to_them():
    """Without any other loss than a next to silent adversarial one, against a discriminator that stands still."""

    def distance_after(steps):
        config = tiny_config(
            loss_weight_input=0.0, loss_weight_target=0.0, gan_weight=1.0, feature_matching_weight=5.0, lr=3e-3,
            gan_loss="wgan-gp", disc_lr=1e-12, epochs=1000, pure_gan_mode=1.0,
        )  # fmt: skip
        trainer = tiny_trainer(config)
        for parameter in trainer.discriminator.parameters():
            parameter.data.mul_(1.5)
        course = []
        for step, batch in enumerate(take_batches(config, steps)):
            metrics = trainer.step(batch, plan_for(config, batch, step))
            course.append(float(metrics["loss/features"]))
        return sum(course[:5]) / 5, sum(course[-5:]) / 5

    first, last = distance_after(40)
    assert last < 0.8 * first


@pytest.mark.parametrize(("option", "network"), [("grad_clip", "g"), ("disc_grad_clip", "d")])
def test_clipping_holds_one_networks_steps_and_not_the_others(option, network):
    """With plain gradient descent a step is at most rate times norm long."""
    config = tiny_config(
        optimizer="sgd", beta1=0.0, weight_decay=0.0, lr=1.0, disc_lr=1.0, gan_weight=5.0, **{option: 1e-3}
    )
    trainer, batch = tiny_trainer(config), take_batches(config, 1)[0]
    networks = {"g": trainer.generator, "d": trainer.discriminator}
    before = {name: [p.detach().clone() for p in module.parameters()] for name, module in networks.items()}
    metrics = trainer.step(batch, plan_for(config, batch))
    moved = {}
    for name, module in networks.items():
        steps = [(p.detach() - q).flatten() for p, q in zip(module.parameters(), before[name], strict=True)]
        moved[name] = float(torch.cat(steps).norm())
    other = "d" if network == "g" else "g"
    assert moved[network] == pytest.approx(1e-3, rel=1e-2)
    assert moved[other] == pytest.approx(float(metrics[f"grad_norm/{other}"]), rel=1e-2)
    assert float(metrics[f"grad_norm/{network}"]) > 1e-2  # the norm that is logged is that before clipping
