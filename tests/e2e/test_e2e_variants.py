"""Every generator, agent, mask, discriminator, objective, optimizer and schedule trains for two steps."""

import pytest
from e2e_runs import TINY, figures, train_here

from config import known_options
from registry import mark_of

pytestmark = pytest.mark.e2e


PATCH = "--generator patch --width 16"
NEEDED = {"arc": f"{PATCH} --conditions alpha", "denoiser": PATCH}  # by part
BESIDE = {"denoiser": "denoiser+conv"}  # options of a discriminator are given to all variants


def each(name: str) -> list[str]:
    """An option with each of its choices, but for those of other kinds of data."""
    parts = mark_of(known_options()[name].field, "registry").values()
    return [
        f"--{name} {BESIDE.get(part.name, part.name)} {NEEDED.get(part.name, '')}".strip()
        for part in parts
        if "of" not in part.facts
    ]


VARIANTS = [
    *each("mask_type"),
    *each("gan_loss"),
    *each("discriminator"),
    *each("optimizer"),
    *each("loss_reconstruction"),
    *each("lr_schedule"),
    "--generator patch --width 16",
    "--generator patch --width 16 --patch_frames 4",
    "--discriminator conv+spectrogram",
    "--codec mel_slaney",
    "--health window=5,swing=0.2",
    "--num_transformer_layers 3 --anti_cheating 0.1",
    "--use_creative_agent",
    "--use_compositional_agent",
    "--generator patch --width 16 --use_creative_agent",
    "--gan_loss rpgan --r1_weight 5 --r2_weight 5 --centring_weight 0.02",
    "--gan_loss lsgan --label_smoothing 0.9 --instance_noise_std 0.1 --instance_noise_decay 0.9",
    "--disc_spectral_norm --feature_matching_weight 1",
    "--recon_domain audio --decode_every 1 --loss_weight_spectral 1 --loss_weight_mel 1 --corr_weight 1",
    "--recon_fade known --easy_share 0.2",
    "--amp bf16 --optimizer adam --beta1 0",
    "--unity_test --crop_seconds 0.5",
    "--unity_test --easy_share 1 --passes 3 --loss_reconstruction mse --offset_noise 0.5 --offset_seconds 2",
    "--easy_share 0.5 --gan_fade known --gan_loss rpgan --r1_weight 1 --r2_weight 1",
    "--generator patch --width 16 --precondition --unity_test --easy_share 1 --gan_fade between",
    "--g_pretrain_steps 1 --adv_ramp_steps 4 --n_critic 2",
    "--gan_weight 0",
    "--loss_weight_input 0 --loss_weight_target 0 --gan_weight 1",
    "--num_workers 1 --grad_clip 0 --disc_grad_clip 0",
    "--batch_size 1",
]


@pytest.mark.parametrize("options", VARIANTS)
def test_two_steps(options, here):
    given = [*TINY, "--pure_gan_mode", "0.5", "--max_steps", "2", *options.split()]
    assert train_here(*given) == 0
    lines = figures(here / "checkpoints")
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        texts = {name: value for name, value in line.items() if isinstance(value, str) and name != "phase"}
        assert texts == {}, "a figure that is not finite is written as text"
        assert line["skipped/g"] == line["skipped/d"] == 0
    assert (here / "checkpoints" / "last.pt").exists()
    assert any(line.get("loss/g_total") for line in lines)
