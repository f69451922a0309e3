"""Diversity on latents: what it says of copies, of one clip repeated, and of music; measuring changes nothing."""

import numpy as np
import pytest
import torch
from fake_latents import FakePairs
from training_parts import CHANNELS, tiny_config, tiny_gauge, tiny_trainer, tiny_validation

from kinds.audio.kind import AudioKind
from kinds.audio.options import AudioOptions
from training.diversity import FEWEST

FRAMES = 64
FEATURES = AudioKind(AudioOptions()).features


class Tunes(FakePairs):
    """Clips with levels and spreads of their own, as music has."""

    def __init__(self, count, seed):
        super().__init__(count, FRAMES, CHANNELS, random=True, seed=seed)
        rng = np.random.default_rng(seed + 100)
        level, spread = rng.normal(0, 1, (2, 2, count, CHANNELS, 1))
        self._clips = (level + np.exp(0.5 * spread) * self._clips).astype(np.float32)


@pytest.fixture(scope="module")
def trainer():
    return tiny_trainer(tiny_config())


@pytest.fixture(scope="module")
def gauge(trainer):
    return tiny_gauge(trainer, Tunes(40, 0), Tunes(16, 1))


def statistics_of(trainer, clips):
    return FEATURES(trainer.normalise(torch.from_numpy(np.stack(clips)))).double().numpy()


def test_statistics_of_a_constant_and_of_a_slow_wave():
    wave_T = torch.sin(torch.arange(640.0) * 2 * torch.pi / 320)
    clip_1DT = torch.stack([torch.full((640,), 3.0), wave_T, torch.tensor([1.0, -1.0]).repeat(320)])[None]
    mean_D, std_D, slow_D, slower_D = FEATURES(clip_1DT).view(4, 3)
    assert mean_D.tolist() == pytest.approx([3.0, 0.0, 0.0], abs=1e-6)
    assert std_D.tolist() == pytest.approx([0.0, 0.5**0.5, 1.0], abs=1e-6)
    assert slow_D.tolist() == pytest.approx([0.0, 0.7066, 0.0], abs=1e-3)  # a wave of 4 s passes, a trill does not
    assert slower_D.tolist() == pytest.approx([0.0, 0.6958, 0.0], abs=2e-3)


def test_real_music_scores_one(trainer, gauge):
    held_out = Tunes(16, 1)
    metrics = gauge(statistics_of(trainer, [held_out.target(i) for i in range(16)]))
    assert metrics["diversity/ratio"] == pytest.approx(1.0)
    assert metrics["diversity/nearest_train"] == pytest.approx(1.0)
    others = gauge(statistics_of(trainer, [Tunes(16, 9).target(i) for i in range(16)]))
    assert 0.7 < others["diversity/ratio"] < 1.3 and 0.7 < others["diversity/nearest_train"] < 1.4


def test_one_clip_repeated_has_no_diversity(trainer, gauge):
    rng = np.random.default_rng(0)
    clip = Tunes(1, 5).target(0)
    alike = [clip + 0.01 * rng.standard_normal(clip.shape).astype(np.float32) for _ in range(8)]
    assert gauge(statistics_of(trainer, alike))["diversity/ratio"] < 0.02


def test_copies_of_training_clips_are_found(trainer, gauge):
    train = Tunes(40, 0)
    metrics = gauge(statistics_of(trainer, [train.target(i) for i in range(12)]))
    assert metrics["diversity/nearest_train"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["diversity/ratio"] > 0.7


def test_too_few_clips_are_not_compared(trainer):
    assert tiny_gauge(trainer, Tunes(8, 0), Tunes(FEWEST - 1, 1)).compared == 0
    assert tiny_gauge(trainer, Tunes(8, 0), Tunes(FEWEST, 1)).compared == FEWEST


def test_the_width_of_a_row_is_known_before_any_clip_is_read(gauge):
    assert gauge.width == 4 * CHANNELS


def measuring(**options):
    """A trainer and a validation whose measures are called by the tests, not by itself."""
    config = tiny_config(**options)
    trainer, unused = tiny_trainer(config), FakePairs(1, FRAMES, CHANNELS)
    gauge = tiny_gauge(trainer, unused, unused)
    return trainer, tiny_validation(config, trainer, trainer.generator, unused, gauge)


@torch.no_grad()
@pytest.mark.parametrize("loss", ["bce", "lsgan", "rpgan"])
def test_loss_and_accuracy_of_the_discriminator_on_held_out_clips(loss):
    trainer, validation = measuring(gan_loss=loss, disc_dropout=0.5)
    discriminator, objective = trainer.discriminator, trainer.objective
    x_BDT = torch.randn(4, CHANNELS, 12)
    state = {name: value.clone() for name, value in discriminator.state_dict().items()}
    torch.manual_seed(0)
    sums = validation.discriminator_sums(x_BDT, -x_BDT, 0.0, [0, 1, 2, 3], {})
    torch.manual_seed(1)
    assert torch.equal(sums, validation.discriminator_sums(x_BDT, -x_BDT, 0.0, [0, 1, 2, 3], {}))  # no dropout
    discriminator.eval()
    real_B, fake_B = discriminator(torch.cat([x_BDT, -x_BDT])).chunk(2)
    discriminator.train()
    assert sums[0] == pytest.approx(float(objective.discriminator(real_B, fake_B).sum()), rel=1e-5)
    border = 0.5 if loss == "lsgan" else 0.0
    right_B = (real_B > fake_B) if loss == "rpgan" else 0.5 * ((real_B > border) + 1.0 * (fake_B <= border))
    assert sums[1] == pytest.approx(float(right_B.sum()))
    assert all(torch.equal(value, state[name]) for name, value in discriminator.state_dict().items())


def test_the_discriminator_is_in_training_again_even_after_an_error():
    trainer, validation = measuring()
    with pytest.raises(RuntimeError):
        validation.discriminator_sums(*torch.randn(2, 2, CHANNELS + 1, 12), 0.0, [0, 1], {})
    assert trainer.discriminator.training
