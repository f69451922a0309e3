"""Samples that a run writes: from noise, or from held-out music where only some channels ever get noise."""

from types import SimpleNamespace

import pytest
import torch
from training_parts import tiny_config, tiny_run

from models.networks import Generated
from training.samples import write_samples


class Copy(torch.nn.Module):
    """A generator that gives back its first source."""

    def forward(self, input_BDT, target_BDT) -> Generated:
        return Generated(input_BDT)


def written(**options) -> tuple[torch.Tensor, torch.Tensor]:
    """What a generator that copies writes, and the held-out inputs."""
    run, kept = tiny_run(tiny_config(**options, sample_num=3)), []
    run.average = SimpleNamespace(module=Copy())
    run.decoder = SimpleNamespace(write=lambda log, name, samples_BDT, step, stem: kept.append(samples_BDT))
    write_samples(run, 1)
    (samples_BDT,) = kept
    return samples_BDT, torch.stack([torch.from_numpy(run.held_out.input(i)) for i in range(3)])


@pytest.mark.parametrize("unity", [False, True])
def test_channels_that_never_get_noise_hold_music(unity):
    made, clean = written(pure_gan_mode=0.5, noise_channels="0:2", unity_test=unity)
    torch.testing.assert_close(made[:, 2:], clean[:, 2:])
    assert (made[:, :2] - clean[:, :2]).abs().mean() > 0.5
    half, _ = written(pure_gan_mode=0.5, noise_channels="0:2", gan_noise_ceiling=0.1)
    assert (half[:, :2] - clean[:, :2]).abs().mean() < 0.5 * (made[:, :2] - clean[:, :2]).abs().mean()


def test_other_runs_start_from_noise_alone():
    made, clean = written(pure_gan_mode=0.5)
    assert ((made - clean).abs().mean((0, 2)) > 0.5).all()
