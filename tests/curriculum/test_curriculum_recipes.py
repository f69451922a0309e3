"""The three phases of the recipes that make music from noise, at the amount of music that each is made for."""

import re
from pathlib import Path

import pytest

from command_line import parse
from curriculum.alpha import alpha_at

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("recipe, pairs, rising", [("demo", 96, 20), ("small", 618, 20), ("base", 618, 20)])
def test_music_transition_and_noise_can_be_seen(recipe, pairs, rising):
    c = parse(["--config", str(RECIPES / f"{recipe}.yaml")])
    epochs, batch = range(1, c.training.epochs + 1), c.training.global_batch_size
    rate, begin = c.curriculum.pure_gan_mode, c.curriculum.gan_curriculum_start_epoch
    alphas = {epoch: alpha_at(epoch, rate, begin, 1.0) for epoch in epochs}
    music = [epoch for epoch in epochs if alphas[epoch] == 0]
    noise = [epoch for epoch in epochs if alphas[epoch] == 1]
    transition = [epoch for epoch in epochs if 0 < alphas[epoch] < 1]
    assert len(music) >= 2 and len(transition) >= rising and len(noise) >= len(epochs) * 0.4
    assert sum(epoch % c.training.val_every == 0 for epoch in transition) >= 3
    joins = c.weights.g_pretrain_steps * batch // pairs + 1  # the epoch of the first step with the discriminator
    assert transition[len(transition) // 2] < joins <= transition[-1]


def test_with_ten_hours_of_music_five_epochs_have_the_same_phases():
    said = (RECIPES.parent / "README.md").read_text().replace("\n", " ")
    options = " ".join(re.search(r"with ten hours, .*?`(--epochs .*?)`.*?also `(.*?)`", said).groups()).split()
    c = parse(["--config", str(RECIPES / "small.yaml"), *options])
    rate, begin = c.curriculum.pure_gan_mode, c.curriculum.gan_curriculum_start_epoch
    assert [alpha_at(epoch, rate, begin, 1.0) for epoch in range(1, c.training.epochs + 1)] == [0, 0.34, 0.68, 1, 1]
    assert c.weights.g_pretrain_steps * c.training.global_batch_size // 6180 + 1 == 3  # in the transition
